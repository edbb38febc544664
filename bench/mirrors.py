"""The programs that follow a source while it changes: how each is started, when it listens, what it costs, how it ends."""

import os
import random
import shutil
import signal
import subprocess
import time
import xml.etree.ElementTree as ElementTree
from dataclasses import dataclass
from pathlib import Path
from typing import Callable

import live
import measure
import trees

# Who does not listen by then never will.
LISTENS_WITHIN = 300.0
# For this long it may use no processor before it counts as calm.
CALM = 0.5
# rsync for each bunch of events: what was heard while it ran is heard in one go.
RSYNC_LOOP = """rsync -aHAX --delete "$1/" "$2/"
inotifywait -q -m -r -e modify,attrib,close_write,move,create,delete --format . "$1" |
while read -r _; do while read -r -t 0.01 _; do :; done; rsync -aHAX --delete "$1/" "$2/"; done
true"""
WATCHEXEC = """exec watchexec --on-busy-update queue --no-vcs-ignore --no-project-ignore --no-global-ignore \
--no-default-ignore -w "$1" -- rsync -aHAX --delete "$1/" "$2/" """
# Two of them, for one does not copy between two folders of its own.
SYNCTHING = """for end in a b; do STNORESTART=1 syncthing serve --home="$3/$end" --no-browser --no-upgrade & done; wait; true"""
FIRST_PORT = 22_710
# The log of alike, where one is wanted, in the room.
LOG = "log"
# What can be installed and is not is told in the report.
PROGRAMS = ["lsyncd", "inotifywait", "watchexec", "syncthing"]


@dataclass(frozen=True)
class Mirror:
    key: str
    label: str
    # argv(source, replica, room): `room` is a folder of its own.
    argv: Callable
    held_to: str = measure.LESS
    # What it exits with after SIGTERM.
    goodbye: int = 0
    # A shell that ends when its programs have: those are told to end.
    is_shell: bool = False
    # Called before it is started.
    prepare: Callable = lambda source, replica, room: None

    def is_alike(self):
        return self.key.startswith("alike")


def present(args):
    """Those that there are: alike by each means of watching, and its peers."""
    return ([] if args.peers_only else alikes(args)) + peers()


def alikes(args, *more):
    """By fanotify only for root; the kernel refuses it to others."""
    return [Mirror(f"alike-{how}", f"alike mirror, {how}", alike(args, "--watcher", how, *more), measure.EVERYTHING)
            for how in ["fanotify", "inotify"] if how == "inotify" or os.geteuid() == 0]


def alike(args, *more):
    program = args.alike.resolve()
    return lambda source, replica, room: [program, "mirror", "-q", *(room / word if word == LOG else word for word in more),
                                          "--state-dir", room / "state", source, replica]


def lsyncd():
    def prepare(source, replica, room):
        replica.mkdir()
        (room / "lsyncd.conf").write_text(live.LSYNCD % (source, replica))
    return Mirror("lsyncd", "lsyncd, delay 0", lambda source, replica, room: ["lsyncd", room / "lsyncd.conf"],
                  goodbye=live.LSYNCD_ENDED, prepare=prepare)


def by_shell(shell, script):
    return lambda source, replica, room: [shell, "-c", script, shell, source, replica, room]


def peers():
    every = [
        lsyncd(),
        Mirror("inotifywait", "inotifywait -m, rsync", by_shell("bash", RSYNC_LOOP), is_shell=True),
        Mirror("watchexec", "watchexec, rsync", by_shell("sh", WATCHEXEC)),
        Mirror("syncthing", "syncthing, two of them", by_shell("sh", SYNCTHING), is_shell=True, prepare=two_syncthings),
    ]
    return [mirror for mirror in every if shutil.which(mirror.key)]


def absent():
    return [program for program in PROGRAMS if not shutil.which(program)]


def versions():
    """inotifywait says its number to those who ask for help only."""
    questions = {"watchexec": ["watchexec", "--version"], "syncthing": ["syncthing", "--version"],
                 "inotifywait": ["inotifywait", "--help"]}
    return {name: answer_to(argv) for name, argv in questions.items() if shutil.which(name)}


def answer_to(argv):
    answer = subprocess.run(argv, capture_output=True, text=True)
    return " ".join((answer.stdout + answer.stderr).split("\n")[0].split()[:2])


# ---- Syncthing wants to be set up ----

def two_syncthings(source, replica, room):
    """Each knows the other and nobody else. The replica is there already: this is about what comes after."""
    ids = [make_syncthing(room / end) for end in "ab"]
    for folder in (source, replica):
        folder.mkdir(exist_ok=True)
    trees.copy(source, replica)
    for number, (end, path, kind) in enumerate([("a", source, "sendonly"), ("b", replica, "receiveonly")]):
        (path / ".stfolder").mkdir(exist_ok=True)
        settings = room / end / "config.xml"
        tree = ElementTree.parse(settings)
        settle(tree.getroot(), number, ids, path, kind)
        tree.write(settings)


def make_syncthing(home):
    asked = ["syncthing", "generate", f"--home={home}", "--no-default-folder", "--skip-port-probing"]
    subprocess.run(asked, check=True, capture_output=True)
    return subprocess.run(["syncthing", f"--home={home}", "--device-id"], check=True, capture_output=True,
                          text=True).stdout.strip()


def settle(root, number, ids, path, kind):
    for element in root.findall("device") + root.findall("folder"):
        root.remove(element)
    for at, name in enumerate(ids):
        device = ElementTree.SubElement(root, "device", id=name, name="ab"[at], compression="never")
        ElementTree.SubElement(device, "address").text = f"tcp://127.0.0.1:{FIRST_PORT + at}"
    folder = ElementTree.SubElement(root, "folder", id="bench", path=str(path), type=kind, rescanIntervalS="3600",
                                    fsWatcherEnabled="true", fsWatcherDelayS="1")
    for name in ids:
        ElementTree.SubElement(folder, "device", id=name)
    root.find("gui").set("enabled", "false")
    options = root.find("options")
    wanted = {"listenAddress": f"tcp://127.0.0.1:{FIRST_PORT + number}", "globalAnnounceEnabled": "false",
              "localAnnounceEnabled": "false", "relaysEnabled": "false", "natEnabled": "false", "urAccepted": "-1",
              "startBrowser": "false", "crashReportingEnabled": "false", "autoUpgradeIntervalH": "0"}
    for key, value in wanted.items():
        for element in options.findall(key):
            options.remove(element)
        ElementTree.SubElement(options, key).text = value


# ---- one at work ----

class Started(measure.Child):
    """A mirror at work; `child.ended()` and the like are those of any child."""

    def __init__(self, mirror, source, replica, room):
        room.mkdir(exist_ok=True)
        mirror.prepare(source, replica, room)
        self.mirror, self.source, self.replica = mirror, source, replica
        super().__init__(mirror.argv(source, replica, room), room / "mirror.log")

    def processes(self):
        """It, and whatever it has started that is still there."""
        if self.mirror.is_alike():
            return [self.pid]
        return [pid for pid in map(int, filter(str.isdigit, os.listdir("/proc"))) if session_of(pid) == self.pid]

    def stop(self):
        for pid in self.processes():
            if pid != self.pid or not self.mirror.is_shell:
                try:
                    os.kill(pid, signal.SIGTERM)
                except ProcessLookupError:
                    pass

    def cpu(self):
        """Seconds of processor so far, with those of whatever it started and saw ending."""
        ticks = sum(sum(map(int, (stat_of(pid) or [0] * 15)[11:15])) for pid in self.processes())
        return ticks / os.sysconf("SC_CLK_TCK")

    def until_listening(self):
        """Identical is not yet ready: until a file that is made deep inside arrives, again and again."""
        live.until_identical(self, self.source, self.replica, self.mirror.held_to)
        folders = sorted(folder for folder, _, _ in os.walk(self.source))
        begin, chance = time.perf_counter(), random.Random(trees.SEED)
        path = Path(chance.choice(folders)) / "listening"
        while time.perf_counter() - begin < LISTENS_WITHIN and not self.ended():
            # Written again and again, but not removed: some leave half a copy behind when what they copy goes.
            path.write_text(f"{time.perf_counter()}")
            if self.has(path, 3.0):
                path.unlink()
                if self.has_not(path, LISTENS_WITHIN):
                    return
        if self.ended():
            raise live.Wrong("it ended by itself")
        raise live.Wrong(f"it heard of nothing for {LISTENS_WITHIN:.0f} s")

    def peak_mib(self, since_now=False):
        """The most memory that its process had; of the kernel's two counts, one can be set back to what it has now."""
        if since_now:
            Path(f"/proc/{self.pid}/clear_refs").write_text("5")
        return self.count_of("status", "VmHWM") / 1024

    def count_of(self, what, key):
        """A number of `/proc/PID/what`, over all of its processes."""
        return sum(number_after(key, Path(f"/proc/{pid}/{what}")) for pid in self.processes())

    def has(self, path, within):
        return until(lambda: self.copy_of(path).exists(), within)

    def has_not(self, path, within):
        return until(lambda: not self.copy_of(path).exists(), within)

    def copy_of(self, path):
        return self.replica / os.path.relpath(path, self.source)

    def until_calm(self, within):
        """Until it has used no processor for a while."""
        begin, used, since = time.perf_counter(), -1.0, 0.0
        while time.perf_counter() - begin < within:
            time.sleep(0.05)
            now, uses = time.perf_counter(), self.cpu()
            if uses > used:
                used, since = uses, now
            elif now - since > CALM or self.ended():
                return

    def end(self, wrong, every_byte=True):
        """SIGTERM, and a last look; what it cost in all."""
        ended = live.end(self, self.source, self.replica, wrong, self.mirror.held_to, self.mirror.goodbye, every_byte)
        shutil.rmtree(self.source / ".stfolder", ignore_errors=True)
        return ended


def until(true, within):
    begin = time.perf_counter()
    while not true():
        if time.perf_counter() - begin > within:
            return False
        time.sleep(0.001)
    return True


def number_after(key, path):
    with open(path) as lines:
        return next((int(line.split()[1]) for line in lines if line.startswith(f"{key}:")), 0)


def session_of(pid):
    stat = stat_of(pid)
    return int(stat[3]) if stat else None


def stat_of(pid):
    """The fields of `/proc/PID/stat` after the name, state first; None when it is gone."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return None
    return text.rsplit(")", 1)[1].split()
