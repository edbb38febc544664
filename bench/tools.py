"""The tools that are measured, and how each is called."""

import os
import shutil
import subprocess
from dataclasses import dataclass, field
from typing import Callable

from measure import EVERYTHING, LESS, RSYNC_A


@dataclass(frozen=True)
class Tool:
    key: str
    label: str
    # argv(source, replica, state); `state` is a folder that is the tool's own, fresh with each new replica.
    argv: Callable
    env: Callable = field(default=lambda state: {})
    held_to: str = EVERYTHING
    # Whether it returns only when the copy is on the disk.
    synced: bool = False
    only_first_copy: bool = False

    def is_alike(self):
        return self.key.startswith("alike")


def sync_after(label, command):
    """A shell that runs the command on source ($1) and replica ($2) and then syncs the replica's filesystem."""
    return lambda source, replica, state: ["sh", "-c", f'{command} && sync -f "$2"', label, source, replica]


def all_tools(alike):
    def once(*flags):
        return lambda source, replica, state: [alike, "once", "-q", *flags, "--state-dir", state, source, replica]

    def rsync(*flags):
        return lambda source, replica, state: ["rsync", *flags, f"{source}/", f"{replica}/"]

    def unison(source, replica, state):
        owners = ["-owner", "-group", "-numericids"] if os.geteuid() == 0 else []
        return ["unison", source, replica, "-batch", "-auto", "-silent", "-times", "-perms", "-1", *owners,
                "-force", source, "-confirmbigdel=false", "-logfile", state / "unison.log"]

    return [
        Tool("alike-none", "alike once --sync none", once("--sync", "none")),
        Tool("cp", "cp -a", lambda source, replica, state: ["cp", "-a", f"{source}/.", replica], only_first_copy=True),
        Tool("rsync-all", "rsync -aHAX --delete", rsync("-aHAX", "--delete")),
        Tool("rsync-a", "rsync -a --delete", rsync("-a", "--delete"), held_to=RSYNC_A),
        Tool("rclone", "rclone sync --links --metadata",
             lambda source, replica, state: ["rclone", "sync", "-q", "--links", "--metadata", "--create-empty-src-dirs",
                                             source, replica],
             env=lambda state: {"RCLONE_CONFIG": str(state / "rclone.conf")}, held_to=LESS),
        Tool("unison", "unison -batch -force SOURCE", unison, env=lambda state: {"UNISON": str(state)}, held_to=LESS),
        Tool("alike", "alike once", once(), synced=True),
        Tool("cp-sync", "cp -a && sync -f", sync_after("cp", 'cp -a "$1"/. "$2"'), synced=True, only_first_copy=True),
        Tool("rsync-sync", "rsync -aHAX --delete && sync -f",
             sync_after("rsync", 'rsync -aHAX --delete "$1"/ "$2"/'), synced=True),
    ]


def installed(args):
    found = []
    for tool in all_tools(args.alike.resolve()):
        program = tool.key.split("-")[0]
        if not args.peers_only if tool.is_alike() else shutil.which(program):
            found.append(tool)
    return found


def absent():
    return [program for program in ["rclone", "unison"] if not shutil.which(program)]


def versions(args):
    questions = {"cp": ["cp", "--version"], "rsync": ["rsync", "--version"], "rclone": ["rclone", "version"],
                 "unison": ["unison", "-version"]}
    if not args.peers_only:
        questions["alike"] = [args.alike.resolve(), "--version"]
    return {name: first_line(question) for name, question in questions.items() if shutil.which(question[0])}


def first_line(argv):
    answer = subprocess.run(argv, capture_output=True, text=True)
    return (answer.stdout + answer.stderr).strip().splitlines()[0]
