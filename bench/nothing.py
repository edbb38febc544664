"""Nothing to do, with less to go on: a million files, a cold cache, no index."""

import os
import shutil
import subprocess

import disk
import measure
import passes
import trees

# What one small file takes on ext4: its block, its inode, its name.
BYTES_A_FILE = 4_096 + 256 + 64
CACHES = "/proc/sys/vm/drop_caches"


def million(bench, _source):
    """The first copies are measured as well, for the section on memory: nobody makes a million files twice."""
    sizes = bench.sizes
    files = sizes.many_folders * sizes.many_each
    with bench.disk.place("ext4", room=files * BYTES_A_FILE * 4, inodes=files * 4 + 100_000) as place:
        inner = bench.at(place)
        source = inner.work / "source"
        measure.say(f"making {files:,} files")
        trees.flat(source, sizes.many_folders, sizes.many_each)
        rows = inner.rows("alike-none", "rsync-all", "rsync-a")
        firsts = inner.rows("alike-none", "rsync-all")
        replicas = measured_first_copies(inner, source, rows, firsts)
        rounds(inner, source, rows, replicas, f"nothing to do with {files:,} files", every_byte=False)
    bench.found["million"] = files, sizes.many_each, firsts, {key: rows[key] for key in firsts}
    return {"tables": [{
        "title": f"Nothing to do with {files:,} files", "rows": list(rows.values()),
        "base": "rsync-all", "base_synced": "rsync-sync",
        "note": f"{sizes.many_folders:,} folders of {sizes.many_each:,} files of a few bytes. Each tool ran twice before, but "
                "both rsyncs on one replica.",
    }]}


def measured_first_copies(bench, source, rows, firsts):
    """A replica of alike's and one of rsync's, and one pass on each that is not measured."""
    passes.own_second()
    replicas = {}
    for key, first in firsts.items():
        measure.say(f"first copy with {first.tool.label}")
        replicas[key] = replica, state = bench.fresh("replica"), bench.fresh_state()
        trees.warm(source, contents=False)
        passes.judge(first, bench.run(first.tool, source, replica, state), source, replica)
        rows[key].wrong = f"first copy: {first.wrong}" if first.wrong else ""
        if not first.wrong:
            bench.run(first.tool, source, replica, state)
    if "rsync-a" in rows:
        replicas["rsync-a"] = replicas["rsync-all"]
        rows["rsync-a"].wrong = rows["rsync-all"].wrong
    return replicas


def one_copy_for_peers(bench, source, rows):
    """alike's index belongs to the replica that it made; rsync takes any, and `cp -a` makes one sooner."""
    replicas = {}
    peers = [key for key, row in rows.items() if not row.tool.is_alike()]
    if peers:
        measure.say("preparing a replica with cp -a")
        replica = bench.fresh("replica")
        trees.copy(source, replica)
        replicas = {key: (replica, bench.fresh_state()) for key in peers}
        wrong = measure.different_bytes(source, replica)
        for key in peers if wrong else []:
            rows[key].wrong = f"cp -a made another replica: {measure.shortened(wrong[0], source, replica)}"
    passes.prepare(bench, source, rows, replicas)
    for key, row in rows.items():
        if row.tool.is_alike() and not row.wrong:
            wrong = measure.different_bytes(source, replicas[key][0])
            row.wrong = f"first copy: {measure.shortened(wrong[0], source, replicas[key][0])}" if wrong else ""
    return replicas


def cold(bench, source):
    if os.geteuid() != 0:
        raise disk.Skipped("The cold cache is not measured: only root may empty the caches")
    if not os.access(CACHES, os.W_OK):
        raise disk.Skipped("The cold cache is not measured: this kernel lets nobody empty the caches")
    with bench.disk.place("ext4", room=trees.size_of(source).bytes * 3) as place:
        inner = bench.at(place)
        own = copy_of(inner, source)
        rows = inner.rows("alike-none", "rsync-all", "rsync-a")
        replicas = one_copy_for_peers(inner, own, rows)
        rounds(inner, own, rows, replicas, "cold cache", before=lambda _tool, _state: empty_caches(), warm=False)
    return {"tables": [{
        "title": "Nothing to do with a cold cache", "rows": list(rows.values()),
        "base": "rsync-all", "base_synced": "rsync-sync",
        "note": "The caches of the system were emptied before each run (`sync`, then 3 into `drop_caches`), so every name "
                "and stamp comes from the disk. A virtual machine's host may still have some of it.",
    }]}


def index(bench, source):
    with bench.disk.place("ext4", room=trees.size_of(source).bytes * 6) as place:
        inner = bench.at(place)
        own = copy_of(inner, source)
        rows = inner.rows("alike-none", "alike-noindex", "rsync-all", "rsync-sum")
        replicas = one_copy_for_peers(inner, own, rows)
        rounds(inner, own, rows, replicas, "index", before=forget, contents=True)
    return {"tables": [{
        "title": "Nothing to do, with the index and without", "rows": list(rows.values()),
        "base": "rsync-all", "base_synced": "rsync-sync",
        "note": "Without: alike's state is removed before each run, and it has to compare contents. Next to it rsync, which "
                "trusts size and time, and `rsync --checksum`, which reads every byte. Contents are in memory.",
    }]}


def forget(tool, state):
    if tool.key == "alike-noindex":
        shutil.rmtree(state)
        state.mkdir()


def empty_caches():
    os.sync()
    with open(CACHES, "w") as switch:
        switch.write("3\n")


def copy_of(bench, source):
    own = bench.work / "source"
    measure.say("copying the tree to a fresh filesystem")
    trees.copy(source, own)
    return own


def rounds(bench, source, rows, replicas, name, before=None, warm=True, contents=False, every_byte=None):
    for round_ in range(bench.runs):
        measure.say(f"{name}, run {round_ + 1} of {bench.runs}")
        for tool in bench.turns(round_, rows):
            replica, state = replicas[tool.key]
            if warm:
                trees.warm(source, replica, contents=contents)
            if contents:
                subprocess.run(["find", replica, "-type", "f", "-exec", "cat", "{}", "+"],
                               stdout=subprocess.DEVNULL, check=True)
            if before:
                before(tool, state)
            passes.judge(rows[tool.key], bench.run(tool, source, replica, state), source, replica, every_byte)
