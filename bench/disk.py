"""The places where trees are made: for root, filesystems of their own that nothing was ever deleted from.

ext4 does not hand out the inodes of deleted files again for up to five minutes, and looks for others one by one. On a disk
where a tree was just removed, by the last run or by somebody else, `cp -a` of a kernel tree took 8 to 34 s here instead
of 4. A fresh filesystem in a file has no such past, and is removed in an instant.
"""

import contextlib
import os
import shutil
import signal
import subprocess
import tempfile
from pathlib import Path

import measure

LARGEST = 100 << 30
# What a program leaves free: the image of a filesystem lies on somebody's disk.
ROOM = 1 << 30
MAKERS = {
    "ext4": ["mkfs.ext4", "-q", "-m", "0"],
    "btrfs": ["mkfs.btrfs", "-q"],
    "xfs": ["mkfs.xfs", "-q"],
}
# Inodes enough for trees of small files on a disk of any size.
BYTES_AN_INODE = ["-i", "8192"]


class Skipped(Exception):
    """Something cannot be measured here; the text says why, and the report repeats it."""


class Disk:
    """`with Disk(parent, own=True) as disk`: disk.folder for everything, gone afterwards whatever happened."""

    def __init__(self, parent, own):
        self.parent = parent
        self.own = own and os.geteuid() == 0 and bool(shutil.which("mkfs.ext4", path=search()))
        self.made_parent = not parent.exists()
        self.base = None
        self.folder = None
        self._first = None

    def __enter__(self):
        self.parent.mkdir(parents=True, exist_ok=True)
        self.base = Path(tempfile.mkdtemp(prefix="alike-bench-", dir=self.parent))
        try:
            self._first = self.place("ext4")
            self.folder = self._first.__enter__().folder
            return self
        except BaseException:
            self.__exit__()
            raise

    def __exit__(self, *_):
        with undisturbed():
            if self._first:
                self._first.__exit__()
            if self.base:
                subprocess.run(["rm", "-rf", "--one-file-system", "--", self.base], check=False)
            if self.made_parent and self.parent.exists():
                self.parent.rmdir()

    def place(self, kind, room=0, inodes=None):
        """A fresh filesystem of this kind, for `with`. Without root: a folder, or Skipped where that would not do."""
        if self.own:
            return Image(self.base, kind, room, inodes)
        if kind != "ext4":
            raise Skipped(f"{kind} is not measured: it needs root, for a filesystem of its own")
        return Folder(self.base, room)


class Folder:
    """A plain folder on the filesystem that is there."""

    kind = "the filesystem of --work"

    def __init__(self, base, room):
        must_have(base, room)
        self.folder = spread(Path(tempfile.mkdtemp(prefix="place-", dir=base)))

    def __enter__(self):
        return self

    def __exit__(self, *_):
        with undisturbed():
            measure.end_all()
            subprocess.run(["rm", "-rf", "--one-file-system", "--", self.folder], check=False)

    def without_a_second_cache(self):
        """There is none."""

    def written(self):
        """Nobody counts for one folder."""
        return None


class Image:
    """A filesystem in a file (tmpfs: in memory), mounted; unmounted and removed by the end of `with`."""

    def __init__(self, base, kind, room, inodes):
        if kind != "tmpfs" and not shutil.which(MAKERS[kind][0], path=search()):
            raise Skipped(f"{kind} is not measured: {MAKERS[kind][0]} is not installed")
        must_have_memory(room) if kind == "tmpfs" else must_have(base, room)
        self.kind, self.room, self.inodes = kind, room, inodes
        self.base = Path(tempfile.mkdtemp(prefix=f"{kind}-", dir=base))
        self.folder = None
        self.device = None
        self.mounted = False

    def __enter__(self):
        try:
            self.mount()
            return self
        except BaseException:
            self.__exit__()
            raise

    def mount(self):
        image, top = self.base / "disk.img", self.base / "disk"
        top.mkdir()
        if self.kind == "tmpfs":
            system("mount", "-t", "tmpfs", "-o", f"size={self.room},nr_inodes=0", "tmpfs", top)
            self.mounted = True
        else:
            self.make(image)
            if not system("mount", "-o", "loop,discard", image, top, may_fail=True):
                raise Skipped(f"{self.kind} is not measured: this kernel did not mount it")
            self.mounted = True
            self.device = Path(answer("findmnt", "-no", "SOURCE", top)).name
        work = top / "work"
        work.mkdir()
        self.folder = spread(work)

    def make(self, image):
        with open(image, "wb") as file:
            file.truncate(min(LARGEST, shutil.disk_usage(self.base).free * 9 // 10))
        words = list(MAKERS[self.kind])
        if self.kind == "ext4":
            words += ["-N", self.inodes] if self.inodes else BYTES_AN_INODE
        # mkfs.btrfs speaks of its defaults even when it is asked to be quiet.
        system(*words, image, stdout=subprocess.DEVNULL)

    def __exit__(self, *_):
        with undisturbed():
            # Whoever still works here would keep it mounted.
            measure.end_all()
            if self.mounted:
                top = self.base / "disk"
                system("umount", top, may_fail=True) or system("umount", "-l", top, may_fail=True)
                self.mounted = False
            subprocess.run(["rm", "-rf", "--one-file-system", "--", self.base], check=False)

    def without_a_second_cache(self):
        """Otherwise the image is in memory as well as the files in it, and gigabytes do not fit twice."""
        if self.device:
            system("losetup", "--direct-io=on", f"/dev/{self.device}", may_fail=True)

    def written(self):
        """The bytes that reached the disk so far, everything brought there first; None where nobody counts them."""
        if not self.device:
            return None
        subprocess.run(["sync", "-f", self.folder], check=True)
        # The seventh number is of sectors written, and those always have 512 bytes here.
        return int(Path(f"/sys/block/{self.device}/stat").read_text().split()[6]) * 512


def must_have(base, room):
    free = shutil.disk_usage(base).free
    if room and free < room + ROOM:
        raise Skipped(f"not measured: it needs {(room + ROOM) / 1e9:.0f} GB of free space, and there are {free / 1e9:.0f}")


def must_have_memory(room):
    with open("/proc/meminfo") as lines:
        free = next(int(line.split()[1]) * 1024 for line in lines if line.startswith("MemAvailable"))
    if free < room + ROOM:
        raise Skipped(f"tmpfs is not measured: it needs {(room + ROOM) / 1e9:.0f} GB of free memory")


@contextlib.contextmanager
def undisturbed():
    """A second Ctrl+C must not leave gigabytes or a mounted filesystem behind."""
    numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    before = [signal.signal(number, signal.SIG_IGN) for number in numbers]
    try:
        yield
    finally:
        for number, action in zip(numbers, before):
            signal.signal(number, action)


def spread(folder):
    """Asks ext4 to put each tree below this folder into a region of its own, as it does for folders at the top.

    Otherwise all replicas share block groups, and one tool pays for what another deleted there.
    """
    subprocess.run(["chattr", "+T", folder], stderr=subprocess.DEVNULL, check=False)
    return folder


def system(program, *words, may_fail=False, stdout=None):
    """Runs a program of the system, which a user's PATH may leave out; whether it succeeded."""
    found = shutil.which(program, path=search()) or program
    return subprocess.run([found, *map(str, words)], check=not may_fail, stdout=stdout).returncode == 0


def answer(program, *words):
    return subprocess.run([program, *map(str, words)], check=True, capture_output=True, text=True).stdout.strip()


def search():
    return os.environ.get("PATH", "") + ":/usr/sbin:/sbin"
