"""Live, change by change: how long each kind of change takes to the replica, one at a time, by every mirror that there is."""

import os
import random
import time
from pathlib import Path

import live
import measure
import mirrors
import trees

KINDS = ["create", "write", "chmod", "rename", "mkdir", "delete"]
# Some start a whole rsync for each change: they get fewer.
ENOUGH = 60.0
LOST_AFTER = 60.0
# A look in a tight loop takes a processor; whoever is not there by then is not measured in microseconds.
TIGHT = 0.02


def kinds(bench, args, source):
    found = []
    for mirror in mirrors.present(args):
        measure.say(f"kinds: first pass of {mirror.label}")
        found.append(measured(bench, mirror, source))
    return {"mirrors": found, "absent": mirrors.absent()}


def measured(bench, mirror, source):
    replica, room = bench.fresh("kinds"), bench.fresh("room")
    child = mirrors.Started(mirror, source, replica, room)
    found = {"label": mirror.label, "is_alike": mirror.is_alike(), "kinds": {kind: [] for kind in KINDS}, "wrong": ""}
    made = []
    try:
        child.until_listening()
        measure.say(f"kinds: {mirror.label}")
        before, begin = child.cpu(), time.perf_counter()
        changes(child, bench.sizes.kinds_rounds, found["kinds"], made)
        found["busy_cpu"], found["busy_seconds"] = child.cpu() - before, time.perf_counter() - begin
        live.until_identical(child, source, replica, mirror.held_to)
    except live.Wrong as wrong:
        found["wrong"] = str(wrong)
    found |= child.end(found["wrong"])
    for path in made:
        path.rmdir()
    trees.hollow(replica)
    return found


def changes(child, rounds, found, made):
    """Round after round in random folders; each change is awaited before the next."""
    chance = random.Random(trees.SEED)
    folders = sorted(Path(folder) for folder, _, _ in os.walk(child.source) if ".stfolder" not in folder)
    begin = time.perf_counter()
    for number in range(rounds):
        if time.perf_counter() - begin > ENOUGH:
            return
        folder, other = chance.choice(folders), chance.choice(folders)
        old, new = folder / f"kinds-{number}.txt", other / f"kinds-{number}-moved.txt"
        made.append(folder / f"kinds-{number}")
        acts = {
            "create": (lambda: old.write_bytes(chance.randbytes(200 + number)), [old], []),
            "write": (lambda: old.write_bytes(chance.randbytes(5_000 + number)), [old], []),
            "chmod": (lambda: old.chmod(0o600), [old], []),
            "rename": (lambda: old.rename(new), [new], [old]),
            "mkdir": (lambda: made[-1].mkdir(), [made[-1]], []),
            "delete": (new.unlink, [], [new]),
        }
        for kind in KINDS:
            found[kind].append(latency(child, *acts[kind], kind))
            time.sleep(chance.uniform(0.01, 0.05))


def latency(child, act, there, gone, kind):
    """From just before the call until the replica shows what the source shows, and no longer what is gone."""
    # The watcher may be given this processor between two of our calls, and may be done when we get it back.
    begin = time.perf_counter()
    act()
    stamps = [(child.copy_of(path), looks(path)) for path in there] + [(child.copy_of(path), None) for path in gone]
    while not all(looks(copy) == stamp for copy, stamp in stamps):
        waited = time.perf_counter() - begin
        if waited > LOST_AFTER:
            reason = "it ended by itself" if child.ended() else f"not there after {LOST_AFTER:.0f} s"
            raise live.Wrong(f"{kind}: {reason}")
        if waited > TIGHT:
            time.sleep(0.0005)
    return time.perf_counter() - begin


def looks(path):
    """What a change is told by; of folders, not the time, which others change as well."""
    try:
        seen = os.lstat(path)
    except FileNotFoundError:
        return None
    is_file = not os.path.isdir(path)
    return seen.st_mode, (seen.st_size, seen.st_mtime_ns) if is_file else None
