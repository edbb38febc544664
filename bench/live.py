"""`alike mirror` watching a tree: the time from a write to its copy, and from the end of a storm to identical trees.

lsyncd, where it is installed, then gets writes of the same kind into the same folders.
"""

import os
import random
import shutil
import subprocess
import time

import measure
import trees

# A write that has not arrived by then is lost, a storm that has not settled is a failure.
LOST_AFTER = 10.0
SETTLED_WITHIN = 180.0
# Each of lsyncd's takes a start of rsync, and its tail needs no more.
PEER_WRITES = 200
# Its default waits 15 s for company; without a delay it is as fast as it can be.
LSYNCD = """settings { nodaemon = true, inotifyMode = "CloseWrite or Modify" }
sync { default.rsync, source = "%s", target = "%s", delay = 0,
       rsync = { archive = true, _extra = { "-HAX" } } }
"""
# What lsyncd exits with after SIGTERM.
LSYNCD_ENDED = 143


class Wrong(Exception):
    """The live mirror gave a wrong answer; there are no figures."""


def session(bench, args, source):
    results = with_alike(bench, args, source)
    results["peers"] = [with_lsyncd(bench, args, source)] if shutil.which("lsyncd") else []
    return results


def with_lsyncd(bench, args, source):
    """It leaves the times of folders as they come, so it is held to less."""
    measure.say("live: first pass of lsyncd")
    replica, settings = bench.fresh("live"), bench.work / "lsyncd.conf"
    replica.mkdir()
    settings.write_text(LSYNCD % (source, replica))
    child = measure.Child(["lsyncd", settings], bench.work / "lsyncd.log")
    results = {"label": "lsyncd, delay 0", "writes": [], "wrong": ""}
    count = min(args.writes, PEER_WRITES)
    try:
        until_identical(child, source, replica, measure.LESS)
        # Identical is not yet ready: it puts its watches up while rsync makes the first copy, and listens after that.
        time.sleep(1.0)
        measure.say(f"live: {count} writes for lsyncd")
        results["writes"] = latencies(child, source, replica, count, "lsyncd")
        until_identical(child, source, replica, measure.LESS)
    except Wrong as wrong:
        results["wrong"] = str(wrong)
    results |= end(child, source, replica, results["wrong"], measure.LESS, LSYNCD_ENDED)
    trees.hollow(replica)
    return results


def with_alike(bench, args, source):
    measure.say("live: first pass of alike mirror")
    replica, state = bench.fresh("live"), bench.fresh_state()
    archive = bench.work / "tree.tar"
    subprocess.run(["tar", "-cf", archive, "-C", source, "."], check=True)
    child = measure.Child([args.alike.resolve(), "mirror", "-q", "--state-dir", state, source, replica],
                          bench.work / "live.log")
    results = {"writes": [], "storms": [], "wrong": ""}
    try:
        until_identical(child, source, replica)
        measure.say(f"live: {args.writes} writes, one at a time")
        results["writes"] = latencies(child, source, replica, args.writes)
        for round_ in range(bench.runs):
            measure.say(f"live: storms, run {round_ + 1} of {bench.runs}")
            results["storms"] += storms(child, source, replica, archive, round_)
    except Wrong as wrong:
        results["wrong"] = str(wrong)
    results |= end(child, source, replica, results["wrong"])
    archive.unlink()
    trees.hollow(replica)
    return results


def end(child, source, replica, wrong, held_to=measure.EVERYTHING, goodbye=0, every_byte=True):
    """SIGTERM, and a last look."""
    asked = time.perf_counter()
    if not child.ended():
        child.stop()
    while not child.ended() and time.perf_counter() - asked < LOST_AFTER:
        time.sleep(0.001)
    stopped = time.perf_counter() - asked
    if not child.ended():
        measure.end_all()
        return {"wrong": wrong or f"did not stop within {LOST_AFTER:.0f} s of SIGTERM"}
    run = child.wait()
    if run.code == goodbye:
        run.code = 0
    wrong = wrong or measure.fault(run, source, replica, held_to, every_byte)
    return {"wrong": wrong, "stop": stopped, "cpu": run.cpu, "peak_mib": run.peak_mib, "seconds": run.seconds}


def until_identical(child, source, replica, held_to=measure.EVERYTHING):
    """When the first comparison without a difference ended, and how long that one took.

    The trees were identical at the latest then, so the figure is an upper bound; the comparison itself is in it.
    """
    begin = time.perf_counter()
    while True:
        looked = time.perf_counter()
        found = measure.first_difference(source, replica, held_to) if replica.exists() else "no replica yet"
        now = time.perf_counter()
        if not found:
            return now, now - looked
        if child.ended():
            raise Wrong("it ended by itself")
        if now - begin > SETTLED_WITHIN:
            raise Wrong(f"not identical after {SETTLED_WITHIN:.0f} s: {found[:150]}")
        # The judge must not take the processors from what it judges.
        time.sleep(0.05)


def latencies(child, source, replica, count, name="live"):
    """Small files into random folders, each awaited in a tight loop; every third write goes to a file written before."""
    chance = random.Random(trees.SEED)
    folders = sorted(folder for folder, _, _ in os.walk(source))
    written, found = [], []
    for number in range(count):
        if number % 3 == 2:
            path = chance.choice(written)
        else:
            path = os.path.join(chance.choice(folders), f"{name}-{number}.txt")
            written.append(path)
        copy, words = os.path.join(replica, os.path.relpath(path, source)), chance.randbytes(200 + number)
        # From before the first call: the watcher may be given this processor between two of ours, and may be done
        # when we get it back.
        begin = time.perf_counter()
        with open(path, "wb") as file:
            file.write(words)
            file.flush()
            stamp = os.fstat(file.fileno())
        found.append(wait_for(child, begin, copy, stamp))
        time.sleep(chance.uniform(0.01, 0.05))
    return found


def wait_for(child, begin, copy, stamp):
    while True:
        try:
            seen = os.stat(copy)
            if seen.st_size == stamp.st_size and seen.st_mtime_ns == stamp.st_mtime_ns:
                return time.perf_counter() - begin
        except FileNotFoundError:
            pass
        if time.perf_counter() - begin > LOST_AFTER:
            reason = "it ended by itself" if child.ended() else f"not there after {LOST_AFTER:.0f} s"
            raise Wrong(f"{os.path.basename(copy)}: {reason}")


def storms(child, source, replica, archive, round_):
    """The whole tree unpacked into the watched source, its top folder renamed, and all of it deleted."""
    folder, moved = source / f"storm-{round_}", source / f"storm-{round_}-moved"
    folder.mkdir()
    steps = [
        ("the tree unpacked", lambda: subprocess.run(["tar", "-xf", archive, "-C", folder], check=True)),
        ("its top folder renamed", lambda: folder.rename(moved)),
        ("all of it deleted", lambda: subprocess.run(["rm", "-rf", "--", moved], check=True)),
    ]
    found = []
    for name, act in steps:
        begin = time.perf_counter()
        act()
        ended = time.perf_counter()
        identical, looking = until_identical(child, source, replica)
        found.append({"name": name, "took": ended - begin, "identical": identical - ended, "looking": looking})
    return found
