"""Peak memory while the tree grows tenfold and tenfold again, its folders as wide as before."""

import measure
import nothing
import passes
import trees

# From here on a run takes minutes and its peak says the same each time.
ONCE_FROM = 500_000


def memory(bench, _source):
    sizes, tables = bench.sizes, []
    for files in sizes.memory:
        known = bench.found.get("million")
        if known and known[:2] == (files, sizes.memory_each):
            # The same tree was copied and compared a moment ago.
            tables += tables_of(files, *known[2:])
            continue
        with bench.disk.place("ext4", room=files * nothing.BYTES_A_FILE * 4, inodes=inodes_for(files, bench.runs)) as place:
            tables += of_size(bench.at(place), files, sizes.memory_each)
    return {"tables": tables, "sizes": list(sizes.memory), "each": sizes.memory_each}


def inodes_for(files, runs):
    """The tree, and two replicas of each run; replicas are hollowed, not deleted."""
    return files * (1 + 2 * runs_with(files, runs)) * 11 // 10 + 100_000


def runs_with(files, runs):
    return 1 if files >= ONCE_FROM else runs


def of_size(bench, files, each):
    source = bench.work / "source"
    measure.say(f"memory: making {files:,} files")
    trees.flat(source, files // each, each)
    passes.own_second()
    first, again = (bench.rows("alike-none", "rsync-all") for _ in range(2))
    for round_ in range(runs_with(files, bench.runs)):
        measure.say(f"memory with {files:,} files, run {round_ + 1}")
        for tool in bench.turns(round_, first):
            replica, state = bench.fresh("replica"), bench.fresh_state()
            trees.warm(source, contents=False)
            passes.judge(first[tool.key], bench.run(tool, source, replica, state), source, replica)
            if not first[tool.key].wrong and not again[tool.key].wrong:
                trees.warm(source, replica, contents=False)
                passes.judge(again[tool.key], bench.run(tool, source, replica, state), source, replica, every_byte=False)
            trees.hollow(replica)
    return tables_of(files, first, again)


def tables_of(files, first, again):
    return [table("first", "First copy", files, first), table("nothing", "Nothing to do", files, again)]


def table(phase, title, files, rows):
    # A tool that failed in the first copy has no answer to the second question.
    kept = [row for row in rows.values() if row.runs or row.wrong]
    return {"id": f"{phase}-{files}", "phase": phase, "files": files, "title": f"{title}, {files:,} files", "rows": kept,
            "base": "rsync-all", "base_synced": "rsync-sync", "note": ""}
