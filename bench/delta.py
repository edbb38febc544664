"""One byte changed in a large file: the time, and how much reaches the disk for it."""

import random
import subprocess

import disk
import measure
import passes
import trees

NAME = "disk-image.raw"
# More runs of gigabytes say the same again.
ENOUGH = 3


def delta(bench, _source):
    tables, skipped = [], []
    for kind in ["ext4", "btrfs"]:
        keys = ["alike-none", "cp", "rsync-all", "rsync-inplace"]
        if kind == "btrfs":
            # There `cp -a` shares blocks instead of copying them.
            keys = ["alike-none", "alike-never", "cp", "cp-never", "rsync-all", "rsync-inplace"]
        try:
            tables.append(on(bench, kind, keys))
        except disk.Skipped as reason:
            skipped.append(str(reason))
    return {"tables": tables, "skipped": skipped}


def on(bench, kind, keys):
    size, chance = bench.sizes.large, random.Random(trees.SEED)
    rows = bench.rows(*keys)
    with bench.disk.place(kind, room=size * (len(rows) + 2)) as place:
        place.without_a_second_cache()
        inner = bench.at(place)
        source = inner.work / "source"
        measure.say(f"making a file of {size >> 20} MiB on {place.kind}")
        trees.large_file(source / NAME, size)
        replicas = made(inner, source, rows, shares=kind == "btrfs")
        runs = min(inner.runs, ENOUGH)
        for round_ in range(runs):
            measure.say(f"one byte changed on {place.kind}, run {round_ + 1} of {runs}")
            passes.own_second()
            change = trees.change_one_byte(source / NAME, chance)
            for tool in inner.turns(round_, rows):
                once(inner, place, rows[tool.key], source, replicas[tool.key])
                if len([each for each, _ in replicas.values() if each == replicas[tool.key][0]]) > 1:
                    # The next peer finds it as this one did.
                    trees.put_back(replicas[tool.key][0] / NAME, change)
            settle(source, rows, replicas, change)
    return {
        "id": kind, "title": f"One byte changed in {size >> 20:,} MiB, {place.kind}", "rows": list(rows.values()),
        "base": "cp", "base_synced": "cp-sync",
        "note": "Another byte in each run. Written is what reached the disk until all of it was there, after the time was "
                "taken: contents, the filesystem's own, and what the tool keeps for itself.",
    }


def made(bench, source, rows, shares):
    """alike's index belongs to its own replica. Peers that copy share one, put back after each: six would not stay in memory.

    A copy that shares blocks with the source is no place for a peer that does not.
    """
    replicas = {}
    passes.prepare(bench, source, {key: row for key, row in rows.items() if row.tool.is_alike()}, replicas)
    common = bench.fresh("replica")
    subprocess.run(["cp", "-a", "--reflink=never", f"{source}/.", common], check=True)
    for key in (key for key, row in rows.items() if not row.tool.is_alike()):
        replica = common
        if shares and key == "cp":
            replica = bench.fresh("replica")
            trees.copy(source, replica)
        replicas[key] = replica, bench.fresh_state()
    return replicas


def settle(source, rows, replicas, change):
    """Before the next round the peers' common replica is what the source is now."""
    for key, (replica, _) in replicas.items():
        if not rows[key].tool.is_alike():
            trees.repeat(source / NAME, replica / NAME, change)


def once(bench, place, row, source, replica_and_state):
    replica, state = replica_and_state
    trees.warm(source, contents=True)
    trees.warm(replica, contents=True)
    before = place.written()
    run = bench.run(row.tool, source, replica, state)
    after = place.written()
    run.written = None if before is None else after - before
    # Nobody's word counts for the other four billion bytes.
    passes.judge(row, run, source, replica, every_byte=True)
