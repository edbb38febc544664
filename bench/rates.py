"""Live, as the rate of changes grows: how long after it was written each file is on the replica."""

import time

import arrivals
import live
import measure
import mirrors
import trees

FOLDERS = 100
# At one file a second a few seconds tell nothing.
FEWEST = 10
BYTES = 100


def rates(bench, args, source):
    found = []
    lsyncd = [mirror for mirror in mirrors.peers() if mirror.key == "lsyncd"]
    for mirror in ([] if args.peers_only else mirrors.alikes(args)) + lsyncd:
        measure.say(f"rates: first pass of {mirror.label}")
        found.append(measured(bench, mirror, source))
    return {"mirrors": found, "seconds": bench.sizes.rate_seconds}


def measured(bench, mirror, source):
    replica, room = bench.fresh("rates"), bench.fresh("room")
    child = mirrors.Started(mirror, source, replica, room)
    found = {"label": mirror.label, "is_alike": mirror.is_alike(), "rates": [], "wrong": ""}
    tops = []
    try:
        child.until_listening()
        for rate in bench.sizes.rates:
            measure.say(f"rates: {mirror.label}, {rate:,} files a second")
            tops.append(source / f"rate-{rate}")
            found["rates"].append(at_rate(child, tops[-1], rate, bench.sizes.rate_seconds))
    except live.Wrong as wrong:
        found["wrong"] = str(wrong)
    found |= child.end(found["wrong"])
    for top in tops:
        trees.remove(top)
    trees.hollow(replica)
    return found


def at_rate(child, top, rate, seconds):
    folders = [top / f"folder-{number:03}" for number in range(FOLDERS)]
    for folder in folders:
        folder.mkdir(parents=True)
    live.until_identical(child, child.source, child.replica, child.mirror.held_to)
    child.until_calm(live.SETTLED_WITHIN)
    before, count = child.cpu(), max(FEWEST, round(rate * seconds))
    with arrivals.Ear([child.copy_of(folder) for folder in folders]) as ear:
        written = arrivals.Writer(folders, rate, count, BYTES).wait()
        lags = ear.lags(written, live.SETTLED_WITHIN)
    if lags is None:
        raise live.Wrong(f"at {rate:,} a second: not all there after {live.SETTLED_WITHIN:.0f} s")
    child.until_calm(live.SETTLED_WITHIN)
    live.until_identical(child, child.source, child.replica, child.mirror.held_to)
    stamps = list(written.values())
    took = (max(stamps) - min(stamps)) / 1e9
    ordered = sorted(lags.values())
    shares = {name: measure.percentile(ordered, share) for name, share in [("p50", 50), ("p90", 90), ("p99", 99), ("max", 100)]}
    return {"rate": rate, "files": count, "reached": (count - 1) / took if took else 0.0, "cpu": child.cpu() - before, **shares}
