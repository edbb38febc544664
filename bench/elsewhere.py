"""First copies where the two sides are not one ext4: another filesystem, btrfs, xfs, and blocks that are shared."""

import disk
import measure
import passes
import trees

SHARED = "The copies share the blocks of the source: nothing but names and stamps is written."


def filesystems(bench, source):
    size = trees.size_of(source).bytes
    plain = ["alike-none", "cp", "rsync-all"]
    never = ["alike-never", "cp-never", "rsync-all"]
    shared = ["alike-none", "cp-always"]
    tables, skipped = [], []
    for measured in [
        lambda: across(bench, source, "ext4", "ext4", plain, size),
        lambda: across(bench, source, "ext4", "tmpfs", plain, size),
        lambda: within(bench, source, "btrfs", [("plain", never), ("shared", shared)], size),
        lambda: within(bench, source, "xfs", [("plain", never), ("shared", shared)], size),
    ]:
        try:
            tables += measured()
        except disk.Skipped as reason:
            skipped.append(str(reason))
    return {"tables": tables, "skipped": skipped}


def across(bench, source, here, there, keys, size):
    if not bench.disk.own:
        raise disk.Skipped("Another filesystem is not measured: it needs root, for filesystems of its own")
    # Contents of replicas are given back one by one, so one tree more is enough; two are kind.
    with bench.disk.place(here, room=size * 2) as near, bench.disk.place(there, room=size * 3) as far:
        inner, target = bench.at(near), bench.at(far)
        rows = copies(inner, target, copy_of(inner, source), keys, f"{here} to {there}")
    what = "another ext4" if here == there else there
    return [table(f"{here}-{there}", f"First copy from {here} to {what}", rows, "cp", "Two filesystems of their own.")]


def within(bench, source, kind, groups, size):
    with bench.disk.place(kind, room=size * 4) as place:
        inner, found = bench.at(place), []
        own = copy_of(inner, source)
        for name, keys in groups:
            rows = copies(inner, inner, own, keys, f"{kind}, {name}")
            title = f"First copy within {kind}" + (", blocks shared" if name == "shared" else "")
            base = "cp-always" if name == "shared" else "cp-never"
            note = SHARED if name == "shared" else "Contents are copied, though they could be shared."
            found.append(table(f"{kind}-{name}", title, rows, base, note))
    return found


def copy_of(bench, source):
    own = bench.work / "source"
    trees.copy(source, own)
    return own


def copies(near, far, source, keys, name):
    """Every tool in turns, each into a place never used; its state stays beside the source."""
    rows = near.rows(*keys)
    for round_ in range(near.runs):
        measure.say(f"first copy, {name}, run {round_ + 1} of {near.runs}")
        for tool in near.turns(round_, rows):
            replica, state = far.fresh("first"), near.fresh_state()
            trees.warm(source, contents=True)
            passes.judge(rows[tool.key], near.run(tool, source, replica, state), source, replica)
            trees.hollow(replica)
    return rows


def table(key, title, rows, base, note):
    return {"id": key, "title": title, "rows": list(rows.values()), "base": base, "base_synced": "cp-sync", "note": note}
