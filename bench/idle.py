"""Live, when nothing happens: what each mirror costs a minute, over the tree."""

import time
from pathlib import Path

import live
import measure
import mirrors
import trees

# What was copied a moment ago is looked at once more, and flushed.
SETTLES = 5.0


def idle(bench, args, source):
    found = []
    for mirror in mirrors.present(args):
        measure.say(f"idle: first pass of {mirror.label}")
        found.append(measured(bench, mirror, source))
    return {"mirrors": found, "seconds": bench.sizes.idle_seconds}


def measured(bench, mirror, source):
    replica, room = bench.fresh("idle"), bench.fresh("room")
    child = mirrors.Started(mirror, source, replica, room)
    found = {"label": mirror.label, "is_alike": mirror.is_alike(), "wrong": ""}
    try:
        child.until_listening()
        time.sleep(SETTLES)
        child.until_calm(live.SETTLED_WITHIN)
        measure.say(f"idle: {mirror.label} for {bench.sizes.idle_seconds:.0f} s")
        before = figures(child)
        time.sleep(bench.sizes.idle_seconds)
        found["idle"] = {name: value - before[name] for name, value in figures(child).items()}
    except live.Wrong as wrong:
        found["wrong"] = str(wrong)
    found |= child.end(found["wrong"], every_byte=False)
    trees.hollow(replica)
    return found


def figures(child):
    tasks = [task for pid in child.processes() for task in Path(f"/proc/{pid}/task").iterdir()]
    switches = [mirrors.number_after(f"{kind}_ctxt_switches", task / "status")
                for task in tasks for kind in ("voluntary", "nonvoluntary")]
    return {
        # In nanoseconds, where `stat` has hundredths of a second.
        "cpu": sum(int((task / "schedstat").read_text().split()[0]) for task in tasks) / 1e9,
        "wakes": sum(switches),
        "read": child.count_of("io", "read_bytes"),
        "written": child.count_of("io", "write_bytes"),
        "calls": child.count_of("io", "syscr") + child.count_of("io", "syscw"),
    }
