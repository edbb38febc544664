"""Live, when all happens at once: how long after a storm the replica is identical, beside what `alike once` needs for the same.

When the replica became identical is told by the replica: the last change of anything on it. That it is, is told by the judge.
"""

import contextlib
import json
import os
import random
import subprocess
import time
from pathlib import Path

import live
import measure
import mirrors
import trees

CHANGES = {"create", "update", "meta", "rename", "delete", "mkdir", "rmdir", "link"}
# A queue of so many events runs over all the time.
SHORT_QUEUE = 64
QUEUES = {"fanotify": "anon_inode:[fanotify]", "inotify": "anon_inode:inotify"}
# What a storm does to a tree must not be held back for its size.
FREE = ["--max-delete", "100%"]
# The tree and its second copy, on the source, the replica and the replica of `once`; and what both keep in the trash.
COPIES = 10


def storms(bench, args, source):
    archive, size = bench.work / "tree.tar", trees.size_of(source)
    subprocess.run(["tar", "-cf", archive, "-C", source, "."], check=True)
    found = []
    for mirror in mirrors.alikes(args, *FREE, "--log-file", mirrors.LOG):
        for queue in [None, SHORT_QUEUE] if os.geteuid() == 0 else [None]:
            room, inodes = size.bytes * COPIES, (size.files + size.folders) * COPIES + 100_000
            with bench.disk.place("ext4", room=room, inodes=inodes) as place:
                measure.say(f"storms: {mirror.label}, " + (f"a queue of {queue}" if queue else "the usual queue"))
                found.append(series(bench.at(place), args, mirror, source, archive, queue))
    archive.unlink()
    return {"mirrors": found, "tree": size.files, "renames": bench.sizes.storm_renames, "touches": bench.sizes.storm_touches,
            "queue": SHORT_QUEUE}


def series(bench, args, mirror, tree, archive, queue):
    """One storm after another over one tree, each with a mirror of its own, which is stopped after it."""
    source, found = bench.work / "source", []
    own, other = pair_of(bench), pair_of(bench)
    (source / "tree").mkdir(parents=True)
    trees.copy(tree, source / "tree")
    (source / "kept").write_text("A source that became empty would be refused.\n")
    results = {"label": mirror.label, "is_alike": True, "queue": queue, "storms": found, "wrong": ""}
    name = "the first copy"
    try:
        for replica, room in (own, other):
            for _ in range(2):
                run_once(args, source, replica, room)
        for name, prepare in STORMS:
            measure.say(f"storms: {name}")
            found.append({"name": name} | one(bench, args, mirror, source, (own, other), prepare(source, archive, bench.sizes),
                                              queue))
    except live.Wrong as wrong:
        results["wrong"] = f"{name}: {wrong}"
        measure.end_all()
    return results


def pair_of(bench):
    """A replica, and the room of its mirror, with the state in it."""
    room = bench.fresh("room")
    (room / "state").mkdir(parents=True)
    return bench.fresh("replica"), room


def one(bench, args, mirror, source, pairs, act, queue):
    (replica, room), (other, other_room) = pairs
    with short_queues(queue) as until_open:
        child = mirrors.Started(mirror, source, replica, room)
        until_open(child)
    child.until_listening()
    child.until_calm(live.SETTLED_WITHIN)
    child.peak_mib(since_now=True)
    before, begin = child.cpu(), time.perf_counter()
    act()
    took, ended = time.perf_counter() - begin, time.time_ns()
    until_identical(child, source, replica)
    cpu, peak = child.cpu() - before, child.peak_mib()
    identical = max(0.0, (last_change(replica) - ended) / 1e9)
    overflows = sum("ran over" in line for line in (room / mirrors.LOG).read_text(errors="replace").splitlines())
    (room / mirrors.LOG).unlink()
    if wrong := child.end("", every_byte=False)["wrong"]:
        raise live.Wrong(wrong)
    left = steps_left(args, source, replica, room)
    begun = time.time_ns()
    run = run_once(args, source, other, other_room)
    once = max(0.0, (last_change(other) - begun) / 1e9)
    if left:
        raise live.Wrong(f"once found {len(left)} things left to do, first: {left[0]}")
    return {"took": took, "identical": identical, "cpu": cpu, "peak_mib": peak, "overflows": overflows, "left": len(left),
            "once": once, "once_seconds": run.seconds, "once_cpu": run.cpu, "once_peak_mib": run.peak_mib}


@contextlib.contextmanager
def short_queues(length):
    """The kernel reads the length when a queue is opened: nobody else's gets shorter, but who opens one in this moment."""
    files = [Path(f"/proc/sys/fs/{kind}/max_queued_events") for kind in QUEUES]
    before = [file.read_text() for file in files] if length else []
    try:
        for file in files if length else []:
            file.write_text(str(length))
        yield lambda child: mirrors.until(lambda: has_queue(child) or child.ended(), LISTENS) if length else None
    finally:
        for file, text in zip(files, before):
            file.write_text(text)


LISTENS = 30.0


def has_queue(child):
    """The queue of the means that it watches by."""
    wanted, folder = QUEUES[child.mirror.key.removeprefix("alike-")], f"/proc/{child.pid}/fd"
    for name in os.listdir(folder):
        with contextlib.suppress(FileNotFoundError):
            if os.readlink(f"{folder}/{name}") == wanted:
                return True
    return False


def until_identical(child, source, replica):
    """The judge works only when the mirror does not: both would want the processors."""
    begin = time.perf_counter()
    while True:
        child.until_calm(live.SETTLED_WITHIN)
        found = measure.first_difference(source, replica)
        if not found:
            return
        if child.ended():
            raise live.Wrong("it ended by itself")
        if time.perf_counter() - begin > live.SETTLED_WITHIN:
            raise live.Wrong(f"not identical after {live.SETTLED_WITHIN:.0f} s: {measure.shortened(found, source, replica)}")


def last_change(replica):
    """When anything on the replica was changed last, in nanoseconds; alike's own folder is not of it."""
    last, folders = os.lstat(replica).st_ctime_ns, [replica]
    while folders:
        for entry in os.scandir(folders.pop()):
            if entry.name != ".alike":
                last = max(last, entry.stat(follow_symlinks=False).st_ctime_ns)
                if entry.is_dir(follow_symlinks=False):
                    folders.append(entry.path)
    return last


# ---- alike once ----

def run_once(args, source, replica, room):
    argv = [args.alike.resolve(), "once", "-q", *FREE, "--state-dir", room / "state", source, replica]
    run = measure.Child(argv, room / "once.log").wait()
    if wrong := measure.fault(run, source, replica, measure.EVERYTHING, every_byte=False):
        raise live.Wrong(f"alike once: {wrong}")
    return run


def steps_left(args, source, replica, room):
    """What `once` still finds to do, as action and path."""
    argv = [args.alike.resolve(), "once", "--json", *FREE, "--state-dir", room / "state", source, replica]
    run = subprocess.run(argv, capture_output=True, text=True, errors="replace")
    events = [json.loads(line) for line in run.stdout.splitlines()]
    left = [f"{event['action']} {event['path']}" for event in events if event["action"] in CHANGES]
    return left + ([] if run.returncode == 0 else [f"exit {run.returncode}"])


# ---- what breaks loose: each is prepared, and then done in one go ----

def unpack(source, archive, _sizes):
    folder = source / "unpacked"

    def act():
        folder.mkdir()
        subprocess.run(["tar", "-xf", archive, "-C", folder], check=True)
    return act


def switch(source, _archive, _sizes):
    """As git does it: what differs is removed and made anew."""
    chance, tree = random.Random(trees.SEED), source / "tree"
    files = trees.regular_files(tree)
    chance.shuffle(files)
    some = len(files) // 20
    gone, changed, names = files[:some], files[some:some * 6], files[some * 6:some * 7]
    noise = chance.randbytes(1 << 16)

    def act():
        for path in gone:
            os.unlink(path)
        for path in changed:
            os.unlink(path)
            trees.write(path, noise, chance.randrange(1 << 15), chance.randrange(500, 30_000), 0o644)
        for path in names:
            trees.write(path + ".new", noise, chance.randrange(1 << 15), chance.randrange(500, 30_000), 0o644)
    return act


def rename(source, _archive, sizes):
    files = trees.regular_files(source / "tree")

    def act():
        for number in range(sizes.storm_renames):
            path = files[number % len(files)]
            # The second time around, back again.
            ends = (path, path + "~") if number // len(files) % 2 == 0 else (path + "~", path)
            os.rename(*ends)
    return act


def touch(source, _archive, sizes):
    files = trees.regular_files(source)

    def act():
        for number in range(sizes.storm_touches):
            stamp = (trees.EPOCH + number) * 10**9
            os.utime(files[number % len(files)], ns=(stamp, stamp))
    return act


def delete(source, _archive, _sizes):
    folders = [source / "tree", source / "unpacked"]
    return lambda: subprocess.run(["rm", "-rf", "--", *folders], check=True)


STORMS = [("a second tree unpacked", unpack), ("another version checked out", switch), ("files renamed", rename),
          ("files touched", touch), ("all deleted", delete)]
