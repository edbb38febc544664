"""The tools that are measured, and how each is called."""

import functools
import os
import shutil
import subprocess
from dataclasses import dataclass, field
from pathlib import Path
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
    # A flag of alike that older ones do not have.
    needs: str = ""

    def is_alike(self):
        return self.key.startswith("alike")

    def command(self):
        """As somebody else would write it: alike is started by a path that is nobody else's."""
        words = [str(word) for word in self.argv("SOURCE", "REPLICA", PlainFolder("STATE"))]
        return " ".join(["alike", *words[1:]] if self.is_alike() else words)


class PlainFolder(str):
    """A word that can be joined like a path."""

    def __truediv__(self, name):
        return PlainFolder(f"{self}/{name}")


def sync_after(label, command):
    """A shell that runs the command on source ($1) and replica ($2) and then syncs the replica's filesystem."""
    return lambda source, replica, state: ["sh", "-c", f'{command} && sync -f "$2"', label, source, replica]


def all_tools(alike):
    """Those that take part in the workloads on the tree."""
    once, rsync = alike_once(alike), rsync_with

    def unison(source, replica, state):
        owners = ["-owner", "-group", "-numericids"] if os.geteuid() == 0 else []
        return ["unison", source, replica, "-batch", "-auto", "-silent", "-times", "-perms", "-1", *owners,
                "-force", source, "-confirmbigdel=false", "-logfile", state / "unison.log"]

    return [
        Tool("alike-none", "alike once --sync none", once("--sync", "none")),
        Tool("cp", "cp -a", cp_with("-a"), only_first_copy=True),
        Tool("xcp", "xcp --recursive",
             lambda source, replica, state: ["xcp", "--no-progress", "--ownership", "--recursive", source, replica],
             held_to=LESS, only_first_copy=True),
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


def special_tools(alike):
    """Those that some workloads ask for by name."""
    once, rsync = alike_once(alike), rsync_with
    return [
        Tool("alike-never", "alike once --sync none --reflink never", once("--sync", "none", "--reflink", "never"),
             needs="--reflink"),
        Tool("alike-file", "alike once --sync file", once("--sync", "file"), synced=True),
        Tool("rsync-fsync", "rsync -aHAX --delete --fsync", rsync("-aHAX", "--delete", "--fsync"), synced=True),
        # Its index is removed before each run (nothing.py).
        Tool("alike-noindex", "alike once --sync none, no index", once("--sync", "none")),
        Tool("cp-never", "cp -a --reflink=never", cp_with("-a", "--reflink=never"),
             only_first_copy=True),
        Tool("cp-always", "cp -a --reflink=always", cp_with("-a", "--reflink=always"),
             only_first_copy=True),
        Tool("rsync-inplace", "rsync -aHAX --delete --inplace --no-whole-file",
             rsync("-aHAX", "--delete", "--inplace", "--no-whole-file")),
        Tool("rsync-sum", "rsync -aHAX --delete --checksum", rsync("-aHAX", "--delete", "--checksum")),
    ]


def alike_once(alike):
    def once(*flags):
        return lambda source, replica, state: [alike, "once", "-q", *flags, "--state-dir", state, source, replica]
    return once


def rsync_with(*flags):
    return lambda source, replica, state: ["rsync", *flags, f"{source}/", f"{replica}/"]


def cp_with(*flags):
    return lambda source, replica, state: ["cp", *flags, f"{source}/.", replica]


def installed(args):
    return [tool for tool in all_tools(args.alike.resolve()) if present(tool, args)]


def by_key(args):
    """Every tool that is there, the special ones as well."""
    alike = args.alike.resolve()
    return {tool.key: tool for tool in all_tools(alike) + special_tools(alike) if present(tool, args)}


def present(tool, args):
    if tool.is_alike():
        return not args.peers_only and (not tool.needs or tool.needs in help_of(args.alike.resolve()))
    program = tool.key.split("-")[0]
    return program not in args.without and bool(shutil.which(program))


@functools.cache
def help_of(alike):
    return subprocess.run([alike, "once", "--help"], capture_output=True, text=True).stdout


def absent():
    return [program for program in ["rclone", "unison", "xcp", "lsyncd"] if not shutil.which(program)]


def lacking(args):
    """The flags that this alike does not have, so that rows are missing."""
    if args.peers_only:
        return []
    wanted = dict.fromkeys(tool.needs for tool in special_tools(args.alike) if tool.needs)
    return [flag for flag in wanted if flag not in help_of(args.alike.resolve())]


def versions(args):
    questions = {"cp": ["cp", "--version"], "rsync": ["rsync", "--version"], "rclone": ["rclone", "version"],
                 "unison": ["unison", "-version"], "xcp": ["xcp", "--version"], "lsyncd": ["lsyncd", "-version"]}
    if not args.peers_only:
        questions["alike"] = [args.alike.resolve(), "--version"]
    return {name: first_line(question) for name, question in questions.items() if shutil.which(question[0])}


def first_line(argv):
    answer = subprocess.run(argv, capture_output=True, text=True)
    lines = (answer.stdout + answer.stderr).strip().splitlines()
    name = Path(argv[0]).name
    first = " ".join(lines[0].split()) if lines else "?"
    first = first.removeprefix("Version: ")
    # lsyncd says its number and not its name.
    return first if name.split("-")[0] in first.lower() else f"{name} {first}"
