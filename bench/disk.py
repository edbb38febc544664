"""The place where the trees are made: for root, a filesystem of its own that nothing was ever deleted from.

ext4 does not hand out the inodes of deleted files again for up to five minutes, and looks for others one by one. On a disk
where a tree was just removed, by the last run or by somebody else, `cp -a` of a kernel tree took 8 to 34 s here instead
of 4. A fresh filesystem in a file has no such past, and is removed in an instant.
"""

import os
import shutil
import subprocess
import tempfile
from pathlib import Path

LARGEST = 100 << 30


class Disk:
    """`with Disk(parent, own=True) as folder`: a folder for everything, gone afterwards whatever happened."""

    def __init__(self, parent, own):
        self.parent = parent
        self.own = own and os.geteuid() == 0 and bool(shutil.which("mkfs.ext4", path=search()))
        self.made_parent = not parent.exists()
        self.base = None
        self.mounted = False

    def __enter__(self):
        self.parent.mkdir(parents=True, exist_ok=True)
        self.base = Path(tempfile.mkdtemp(prefix="alike-bench-", dir=self.parent))
        try:
            return self.mount() if self.own else spread(self.base)
        except BaseException:
            self.__exit__()
            raise

    def mount(self):
        image, folder = self.base / "disk.img", self.base / "disk"
        folder.mkdir()
        with open(image, "wb") as file:
            file.truncate(min(LARGEST, shutil.disk_usage(self.base).free * 9 // 10))
        system("mkfs.ext4", "-q", "-i", "8192", "-m", "0", image)
        system("mount", "-o", "loop,discard", image, folder)
        self.mounted = True
        work = folder / "work"
        work.mkdir()
        return spread(work)

    def __exit__(self, *_):
        if self.mounted:
            system("umount", self.base / "disk", may_fail=True) or system("umount", "-l", self.base / "disk", may_fail=True)
        if self.base:
            subprocess.run(["rm", "-rf", "--one-file-system", "--", self.base], check=False)
        if self.made_parent and self.parent.exists():
            self.parent.rmdir()


def spread(folder):
    """Asks ext4 to put each tree below this folder into a region of its own, as it does for folders at the top.

    Otherwise all replicas share block groups, and one tool pays for what another deleted there.
    """
    subprocess.run(["chattr", "+T", folder], stderr=subprocess.DEVNULL, check=False)
    return folder


def system(program, *words, may_fail=False):
    """Runs a program of the system, which a user's PATH may leave out; whether it succeeded."""
    found = shutil.which(program, path=search()) or program
    return subprocess.run([found, *map(str, words)], check=not may_fail).returncode == 0


def search():
    return os.environ.get("PATH", "") + ":/usr/sbin:/sbin"
