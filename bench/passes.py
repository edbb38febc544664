"""The workloads of one pass: first copy, nothing to do, one file in a hundred edited, a large folder renamed."""

import time
from dataclasses import dataclass, field
from pathlib import Path

import measure
import trees


# A folder of the kernel tree with some thousand files.
SYNCED = "fs"


@dataclass
class Bench:
    work: Path
    runs: int
    sizes: trees.Sizes
    tools: list
    # Every tool that is there, by its key; where filesystems come from.
    by_key: dict = field(default_factory=dict)
    disk: object = None
    # What one workload found that another shows as well.
    found: dict = field(default_factory=dict)
    _made: int = 0
    # The replicas that "nothing" and "edited" go on from.
    kept: dict = field(default_factory=dict)

    def at(self, place):
        """The same bench on another filesystem."""
        return Bench(work=place.folder, runs=self.runs, sizes=self.sizes, tools=self.tools, by_key=self.by_key,
                     disk=self.disk, found=self.found)

    def rows(self, *keys):
        """A row for each of these tools that is there."""
        return {key: measure.Row(self.by_key[key]) for key in keys if key in self.by_key}

    def fresh(self, kind):
        """A path that was never used."""
        self._made += 1
        return self.work / f"{kind}-{self._made}"

    def fresh_state(self):
        state = self.fresh("state")
        state.mkdir()
        return state

    def turns(self, round_, rows):
        """Every tool that is right so far, once, starting one later each round: nobody always follows the same neighbour."""
        tools = [row.tool for row in rows.values()]
        start = round_ % max(1, len(tools))
        return [tool for tool in tools[start:] + tools[:start] if not rows[tool.key].wrong]

    def run(self, tool, source, replica, state):
        argv = tool.argv(source, replica, state)
        return measure.Child(argv, self.work / "last.log", tool.env(state)).wait()


def first_copy(bench, source):
    rows = {tool.key: measure.Row(tool) for tool in bench.tools}
    for round_ in range(bench.runs):
        measure.say(f"first copy, run {round_ + 1} of {bench.runs}")
        for tool in bench.turns(round_, rows):
            replica, state = bench.fresh("first"), bench.fresh_state()
            trees.warm(source, contents=True)
            judge(rows[tool.key], bench.run(tool, source, replica, state), source, replica)
            trees.hollow(replica)
    return {"tables": [{
        "title": "First copy", "rows": list(rows.values()),
        "base": "cp", "base_synced": "cp-sync",
        "note": "Into an empty place on the same filesystem.",
    }]}


def synced(bench, source):
    """What it costs to have it on the disk, in one folder of the tree: a sync a file takes minutes for all of it."""
    source = source / SYNCED if (source / SYNCED).is_dir() else source
    rows = bench.rows("alike-none", "alike", "alike-file", "rsync-all", "rsync-sync", "rsync-fsync")
    for round_ in range(bench.runs):
        measure.say(f"on the disk, run {round_ + 1} of {bench.runs}")
        for tool in bench.turns(round_, rows):
            replica, state = bench.fresh("synced"), bench.fresh_state()
            trees.warm(source, contents=True)
            judge(rows[tool.key], bench.run(tool, source, replica, state), source, replica)
            trees.hollow(replica)
    return {"tables": [{
        "title": "What it costs to be on the disk", "rows": list(rows.values()),
        "base": "rsync-all", "base_synced": "rsync-all",
        "note": f"First copy of one folder, {SYNCED}, {len(trees.regular_files(source)):,} files. Rows that sync nothing, that sync "
                "once at the end, and that sync each file. `rsync --fsync` does not sync folders.",
    }]}


def nothing_to_do(bench, source):
    rows, replicas = rows_of_updaters(bench), bench.kept
    prepare(bench, source, rows, replicas)
    for round_ in range(bench.runs):
        measure.say(f"nothing to do, run {round_ + 1} of {bench.runs}")
        for tool in bench.turns(round_, rows):
            replica, state = replicas[tool.key]
            trees.warm(source, replica, contents=False)
            judge(rows[tool.key], bench.run(tool, source, replica, state), source, replica)
    return {"tables": [{
        "title": "Nothing to do", "rows": list(rows.values()),
        "base": "rsync-all", "base_synced": "rsync-sync",
        "note": "The replica is already identical; every tool ran twice before.",
    }]}


def edited(bench, source):
    rows, replicas = rows_of_updaters(bench), bench.kept
    prepare(bench, source, rows, replicas)
    files = trees.regular_files(source)
    count = 0
    for round_ in range(bench.runs):
        measure.say(f"1 % edited, run {round_ + 1} of {bench.runs}")
        count = trees.edit(files, round_, bench.runs)
        for tool in bench.turns(round_, rows):
            replica, state = replicas[tool.key]
            trees.warm(source, replica, contents=False)
            judge(rows[tool.key], bench.run(tool, source, replica, state), source, replica)
    release(bench)
    return {"tables": [{
        "title": "One file in a hundred edited", "rows": list(rows.values()),
        "base": "rsync-all", "base_synced": "rsync-sync",
        "note": f"{count:,} files all over the tree, half of them with the size they had, other files in each run.",
    }]}


def renamed(bench, _source):
    source = bench.fresh("renamed-source")
    folder = source / "pictures-0"
    trees.many_small(folder, bench.sizes.renamed)
    rows = rows_of_updaters(bench)
    for round_ in range(bench.runs):
        measure.say(f"a folder renamed, run {round_ + 1} of {bench.runs}")
        own_second()
        # Replicas of this round only: what a peer deleted in the last one would slow its copying in this one.
        replicas = {}
        prepare(bench, source, rows, replicas)
        own_second()
        folder = folder.rename(source / f"pictures-{round_ + 1}")
        own_second()
        for tool in bench.turns(round_, rows):
            replica, state = replicas[tool.key]
            trees.warm(source, replica, contents=True)
            judge(rows[tool.key], bench.run(tool, source, replica, state), source, replica)
    return {"tables": [{
        "title": f"A folder of {bench.sizes.renamed:,} files renamed", "rows": list(rows.values()),
        "base": "rsync-all", "base_synced": "rsync-sync",
        "note": "Only its name changed, while no tool was running.",
    }]}


def own_second():
    """rsync takes times within one second for equal, and leaves a folder's time wrong when it changed in the second that
    rsync works in. That is a finding, but not what is measured here."""
    time.sleep(1.1)


def judge(row, run, source, replica, every_byte=None):
    """Keeps the figure, or the reason why there is none. The first answer of each tool is read byte for byte."""
    every_byte = not row.runs if every_byte is None else every_byte
    row.wrong = measure.fault(run, source, replica, row.tool.held_to, every_byte)
    row.runs.append(run)


def rows_of_updaters(bench):
    return {tool.key: measure.Row(tool) for tool in bench.tools if not tool.only_first_copy}


def prepare(bench, source, rows, replicas):
    """A replica of each tool's own making, and one pass on it that is not measured: indexes and archives are there."""
    for tool in (row.tool for row in rows.values() if not row.wrong):
        if tool.key not in replicas:
            measure.say(f"preparing a replica with {tool.label}")
            replicas[tool.key] = replica, state = bench.fresh("replica"), bench.fresh_state()
            for _ in range(1 if tool.only_first_copy else 2):
                run = bench.run(tool, source, replica, state)
            rows[tool.key].wrong = measure.fault(run, source, replica, tool.held_to, every_byte=False)


def release(bench):
    for replica, _ in bench.kept.values():
        trees.hollow(replica)
    bench.kept.clear()
