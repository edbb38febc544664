"""Makes the trees that are measured on, changes them, and takes them away. The same seed makes the same tree."""

import math
import os
import random
import subprocess
from dataclasses import dataclass

SEED = 20_261_121
# Sizes of a kernel tree: a median of 4.5 KiB, a mean near 14 KiB, a few of megabytes.
MEDIAN, SPREAD, LARGEST = 4_500, 1.5, 8 << 20
DEEPEST = 9
NOISE = 16 << 20
EPOCH = 1_700_000_000


@dataclass(frozen=True)
class Sizes:
    files: int
    folders: int
    renamed: int
    # Folders of the tree for "million", and small files in each.
    many_folders: int
    many_each: int
    # Bytes of the one file of "delta".
    large: int
    # Files in the trees of "memory", and how many a folder has.
    memory: tuple
    memory_each: int
    # "growth": files in folders of 100; then one number of files in chains of so many folders; then so many in one folder;
    # then a tree for so many threads.
    growth_files: tuple
    growth_deep_files: int
    growth_depths: tuple
    growth_widths: tuple
    growth_threads_files: int
    growth_threads: tuple
    # Live: rounds of each kind of change, files a second and for how long, what a storm renames and touches, how long
    # nothing happens, how long files are written from a start on.
    kinds_rounds: int
    rates: tuple
    rate_seconds: float
    storm_renames: int
    storm_touches: int
    idle_seconds: float
    start_seconds: float


@dataclass(frozen=True)
class Count:
    files: int
    folders: int
    bytes: int


def synthetic(root, sizes):
    """Folders grow on folders, files fall where they fall, and everything is a while old."""
    chance = random.Random(SEED)
    noise = chance.randbytes(NOISE)
    folders = [(root, 0)]
    root.mkdir()
    while len(folders) < sizes.folders:
        parent, depth = chance.choice(folders)
        if depth < DEEPEST:
            folder = parent / f"{chance.choice(WORDS)}-{len(folders)}"
            folder.mkdir()
            folders.append((folder, depth + 1))
    for number in range(sizes.files):
        folder, _ = chance.choice(folders)
        path = folder / f"{chance.choice(WORDS)}_{number}.{chance.choice(ENDINGS)}"
        if number % 1_000 == 999:
            path.symlink_to(f"../{chance.choice(WORDS)}")
            continue
        size = min(LARGEST, int(math.exp(chance.gauss(math.log(MEDIAN), SPREAD))))
        write(path, noise, chance.randrange(NOISE), size, 0o755 if number % 50 == 0 else 0o644)
        age(path, chance)
    for folder, _ in reversed(folders):
        age(folder, chance)


WORDS = "drivers net include arch sound fs kernel block crypto lib mm tools docs usb power clock media video".split()
ENDINGS = ["c", "c", "c", "h", "h", "rst", "dts", "txt", "S", "yaml"]


def write(path, noise, start, size, mode):
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, mode)
    try:
        left = size
        while left:
            left -= os.write(descriptor, noise[start:start + left] or noise[:left])
            start = 0
    finally:
        os.close(descriptor)


def age(path, chance):
    stamp = (EPOCH + chance.randrange(10_000_000)) * 10**9 + chance.randrange(10**9)
    os.utime(path, ns=(stamp, stamp))


def many_small(folder, count):
    """One folder of many small files, for the rename."""
    chance = random.Random(SEED)
    noise = chance.randbytes(1 << 16)
    folder.mkdir(parents=True)
    for number in range(count):
        path = folder / f"picture-{number:05}.jpg"
        write(path, noise, chance.randrange(1 << 15), chance.randrange(500, 3_000), 0o644)
        age(path, chance)


def flat(root, folders, each):
    """So many folders with so many files of a few bytes."""
    root.mkdir(parents=True, exist_ok=True)
    for number in range(folders):
        folder = root / f"folder-{number:05}"
        folder.mkdir()
        tiny_files(folder, each)


def chain(root, depth, files):
    """Folders in folders, `depth` of them, the files spread evenly."""
    root.mkdir(parents=True)
    # Names of one letter: the path of the deepest must stay below the 4,096 bytes that Linux takes.
    folder = root
    for number in range(depth):
        folder = folder / "d"
        folder.mkdir()
        tiny_files(folder, files * (number + 1) // depth - files * number // depth)


def tiny_files(folder, count):
    """Without paths and objects for each: a million files take half a minute."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        for number in range(count):
            file = os.open(f"file-{number:06}", os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o644, dir_fd=descriptor)
            os.write(file, b"%d\n" % number)
            os.close(file)
    finally:
        os.close(descriptor)


def write_anew(root):
    """Each file gets other contents of the same length."""
    for folder in sorted(root.iterdir()):
        for file in sorted(folder.iterdir()):
            contents = file.read_bytes()
            file.write_bytes(b"x" * (len(contents) - 1) + b"\n")


def large_file(path, size):
    """Bytes of which no two MiB are equal, so that nobody finds them in another place."""
    chance = random.Random(SEED)
    noise = chance.randbytes(NOISE)
    path.parent.mkdir(parents=True, exist_ok=True)
    with open(path, "wb", buffering=0) as file:
        for number in range(0, size, 1 << 20):
            start = chance.randrange(NOISE - (1 << 20))
            file.write(number.to_bytes(8, "little") + noise[start + 8:start + (1 << 20)])


@dataclass(frozen=True)
class Change:
    """A byte of a file, as it was before, and the file's time then."""
    place: int
    old: int
    stamp: int


def change_one_byte(path, chance):
    """Another byte somewhere in a file, its size unchanged."""
    stamp = os.stat(path).st_mtime_ns
    place = chance.randrange(os.path.getsize(path))
    with open(path, "r+b", buffering=0) as file:
        file.seek(place)
        old = file.read(1)[0]
        file.seek(place)
        file.write(bytes([old ^ 0xFF]))
    return Change(place, old, stamp)


def put_back(path, change):
    set_byte(path, change.place, change.old, change.stamp)


def repeat(source, path, change):
    """The change of the source, in a copy of it."""
    set_byte(path, change.place, change.old ^ 0xFF, os.stat(source).st_mtime_ns)


def set_byte(path, place, value, stamp):
    with open(path, "r+b", buffering=0) as file:
        file.seek(place)
        file.write(bytes([value]))
    os.utime(path, ns=(stamp, stamp))


def regular_files(root):
    found = []
    for folder, _, names in os.walk(root):
        paths = [os.path.join(folder, name) for name in names]
        found += [path for path in paths if os.path.isfile(path) and not os.path.islink(path)]
    return sorted(found)


def edit(files, part, parts):
    """Edits one of `parts` disjoint hundredths of the files: half of them grow, half keep their size."""
    order = list(files)
    random.Random(SEED).shuffle(order)
    some = max(1, len(order) // max(100, parts))
    for number, path in enumerate(order[part * some:(part + 1) * some]):
        text = f"edited in round {part}\n".encode()
        # In place, without a rename: the size grows, or stays and only the bytes and the times tell.
        with open(path, "r+b") as file:
            if number % 2 == 0:
                file.seek(0, os.SEEK_END)
            else:
                text = text[:os.path.getsize(path)]
            file.write(text)
    return some


def copy(tree, root):
    subprocess.run(["cp", "-a", f"{tree}/.", root], check=True)


def hollow(root):
    """Gives the space of a tree back but keeps its inodes.

    Deleting it would slow the tools that come after (disk.py says why), so nothing is deleted until the end.
    """
    if root.exists():
        subprocess.run(["find", root, "-type", "f", "-size", "+0", "-exec", "truncate", "-s", "0", "{}", "+"], check=True)


def remove(root):
    subprocess.run(["rm", "-rf", "--one-file-system", "--", root], check=True)


def warm(source, *more, contents):
    """Brings the source (and the metadata of other trees) into memory, so that every tool starts alike."""
    if contents:
        with open(os.devnull, "wb") as nowhere:
            subprocess.run(["find", source, "-type", "f", "-exec", "cat", "{}", "+"], stdout=nowhere, check=True)
    subprocess.run(["find", source, *more, "-printf", "%s"], stdout=subprocess.DEVNULL, check=True)
    # Nobody pays for what the one before left to be written.
    os.sync()


def size_of(root):
    files = folders = total = 0
    for folder, _, names in os.walk(root):
        folders += 1
        files += len(names)
        total += sum(os.lstat(os.path.join(folder, name)).st_size for name in names)
    return Count(files, folders, total)


def describe(root, args):
    count = size_of(root)
    name = "synthetic tree" if not args.tree else args.tree_name or args.tree.resolve().name
    return f"{name}: {count.files:,} files in {count.folders:,} folders, {count.bytes / 1e9:.2f} GB"
