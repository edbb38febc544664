"""Live, from the start: how soon `alike mirror` picks up changes, with an index, in a tree of a million files."""

import random
import time

import arrivals
import live
import measure
import mirrors
import nothing
import trees

# So many files a second from the moment of the start, in some of the folders.
RATE = 100
IN_FOLDERS = 50
BYTES = 100
# From here on changes are to be picked up at once.
READY = 0.2


def start(bench, args, _source):
    sizes = bench.sizes
    files = sizes.many_folders * sizes.many_each
    with bench.disk.place("ext4", room=files * nothing.BYTES_A_FILE * 4, inodes=files * 4 + 100_000) as place:
        inner = bench.at(place)
        source = inner.work / "source"
        measure.say(f"start: making {files:,} files")
        trees.flat(source, sizes.many_folders, sizes.many_each)
        found = [started(inner, args, mirror, source) for mirror in mirrors.alikes(args)]
    return {"mirrors": found, "files": files, "folders": sizes.many_folders}


def started(bench, args, mirror, source):
    """An index first, then some starts while files are being written."""
    replica, room = bench.fresh("replica"), bench.fresh("room")
    (room / "state").mkdir(parents=True)
    found = {"label": mirror.label, "is_alike": True, "starts": [], "wrong": ""}
    argv = [args.alike.resolve(), "once", "-q", "--state-dir", room / "state", source, replica]
    for _ in range(2):
        found["wrong"] = measure.fault(measure.Child(argv, room / "once.log").wait(), source, replica, measure.EVERYTHING,
                                       every_byte=False)
    try:
        for round_ in range(0 if found["wrong"] else bench.runs):
            measure.say(f"start: {mirror.label}, run {round_ + 1} of {bench.runs}")
            found["starts"].append(one(bench, mirror, source, replica, room, round_))
            # What was made for this start goes, and the next finds an index of all.
            measure.Child(argv, room / "once.log").wait()
    except live.Wrong as wrong:
        found["wrong"] = str(wrong)
        measure.end_all()
    trees.hollow(replica)
    return found


def one(bench, mirror, source, replica, room, round_):
    chance = random.Random(trees.SEED + round_)
    all_folders = sorted(source.iterdir())
    folders = chance.sample(all_folders, min(IN_FOLDERS, len(all_folders)))
    # This happened while it was not running.
    before = chance.choice(folders) / f"new-before-{round_}"
    before.write_text("before the start")
    with arrivals.Ear([replica / folder.name for folder in folders]) as ear:
        begin = time.monotonic_ns()
        writer = arrivals.Writer(folders, RATE, round(RATE * bench.sizes.start_seconds), BYTES, start=begin)
        child = mirrors.Started(mirror, source, replica, room)
        written = writer.wait()
        lags = ear.lags(written | {before.name: begin}, live.SETTLED_WITHIN)
        arrived = ear.arrived()
    if lags is None:
        raise live.Wrong(f"not all there after {live.SETTLED_WITHIN:.0f} s")
    child.until_calm(live.SETTLED_WITHIN)
    live.until_identical(child, source, replica)
    ended = child.end("", every_byte=False)
    if ended["wrong"]:
        raise live.Wrong(ended["wrong"])
    ready = sorted(lags[name] for name, stamp in written.items() if stamp >= begin + READY * 1e9)
    found = {"first": (min(arrived[name] for name in written) - begin) / 1e9, "before": lags[before.name],
             "late": max((lags[name] for name, stamp in written.items() if stamp < begin + READY * 1e9), default=0.0),
             "peak_mib": ended["peak_mib"], "cpu": ended["cpu"], "p50": measure.percentile(ready, 50),
             "p99": measure.percentile(ready, 99), "max": ready[-1]}
    for folder in folders:
        for path in folder.glob("new-*"):
            path.unlink()
    return found
