"""How alike's own cost grows with files, depth, width and threads: a first copy, and a pass with nothing to do."""

import dataclasses

import measure
import nothing
import passes
import trees

A_FOLDER = 100


def growth(bench, _source):
    if "alike-none" not in bench.by_key:
        return {"series": []}
    sizes = bench.sizes
    series = [
        ("files", f"Files, in folders of {A_FOLDER}", files_of(sizes)),
        ("depth", f"Depth: {sizes.growth_deep_files:,} files in a chain of folders", depths_of(sizes)),
        ("width", "Width: all files in one folder", widths_of(sizes)),
        ("threads", f"Threads, with {sizes.growth_threads_files:,} files in folders of {A_FOLDER}", threads_of(sizes)),
    ]
    found = []
    for key, title, points in series:
        # Replicas are hollowed, not deleted.
        most = sum(count for _, count, _, _ in points)
        room, inodes = most * nothing.BYTES_A_FILE * 2, most * (bench.runs + 2) + 100_000
        with bench.disk.place("ext4", room=room, inodes=inodes) as place:
            found.append({"id": key, "title": title, "points": measured(bench.at(place), key, points)})
    return {"series": found}


# ---- what is measured: for each point its name, its files, how its tree is made, and alike's flags ----

def files_of(sizes):
    return [(f"{files:,}", files, lambda root, n=files: trees.flat(root, n // A_FOLDER, A_FOLDER), [])
            for files in sizes.growth_files]


def depths_of(sizes):
    files = sizes.growth_deep_files
    return [(f"{depth:,}", files, lambda root, n=depth: trees.chain(root, n, files), []) for depth in sizes.growth_depths]


def widths_of(sizes):
    return [(f"{files:,}", files, lambda root, n=files: trees.flat(root, 1, n), []) for files in sizes.growth_widths]


def threads_of(sizes):
    files = sizes.growth_threads_files
    return [(f"{threads}", files, lambda root: trees.flat(root, files // A_FOLDER, A_FOLDER), ["--threads", str(threads)])
            for threads in sizes.growth_threads]


# ---- measuring ----

def measured(bench, key, points):
    rows = {name: (measure.Row(with_flags(bench, flags)), measure.Row(with_flags(bench, flags)))
            for name, _, _, flags in points}
    sources = {}
    for name, _, make, _ in points:
        # Threads share one tree.
        if key != "threads" or not sources:
            measure.say(f"growth: making a tree, {key} {name}")
            source = bench.fresh("source")
            make(source)
        sources[name] = source
    for round_ in range(bench.runs):
        measure.say(f"growth, {key}, run {round_ + 1} of {bench.runs}")
        for name, _, _, _ in points:
            pass_twice(bench, sources[name], *rows[name])
    return [{"value": name, "files": files, "rows": list(rows[name])} for name, files, _, _ in points]


def with_flags(bench, flags):
    tool = bench.by_key["alike-none"]
    argv = tool.argv

    def more(source, replica, state):
        program, once, *rest = argv(source, replica, state)
        return [program, once, *flags, *rest]
    return dataclasses.replace(tool, argv=more)


def pass_twice(bench, source, first, again):
    """A first copy, a pass that brings the index up to date, and one with nothing to do."""
    if first.wrong or again.wrong:
        return
    replica, state = bench.fresh("replica"), bench.fresh_state()
    trees.warm(source, contents=False)
    passes.judge(first, bench.run(first.tool, source, replica, state), source, replica)
    if not first.wrong:
        bench.run(again.tool, source, replica, state)
        trees.warm(source, replica, contents=False)
        passes.judge(again, bench.run(again.tool, source, replica, state), source, replica, every_byte=False)
    trees.hollow(replica)
