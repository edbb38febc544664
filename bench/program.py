"""The program itself: how large it is, and how long it takes to say its version."""

import os
import shutil
import statistics
import time

STARTS = 50


def program(args, asked):
    """`asked`: what to start, by name. `true` does nothing and shows what starting anything costs here."""
    starts = {name: starting(argv) for name, argv in asked.items()}
    size = None if args.peers_only else args.alike.resolve().stat().st_size
    return {"size": size, "starts": starts}


def questions(args):
    asked = {} if args.peers_only else {"alike --version": [str(args.alike.resolve()), "--version"]}
    asked |= {"rsync --version": [shutil.which("rsync"), "--version"], "true": [shutil.which("true")]}
    return asked


def starting(argv, times=STARTS):
    """Median, least and most of the seconds from the start to the end."""
    found = sorted(once(argv) for _ in range(times))
    return {"median": statistics.median(found), "fastest": found[0], "slowest": found[-1]}


def once(argv):
    quiet = [(os.POSIX_SPAWN_OPEN, number, os.devnull, os.O_WRONLY, 0) for number in (1, 2)]
    begin = time.perf_counter()
    pid = os.posix_spawn(argv[0], argv, os.environ, file_actions=quiet)
    _, status = os.waitpid(pid, 0)
    seconds = time.perf_counter() - begin
    if status != 0:
        raise RuntimeError(f"{argv[0]} ended with {os.waitstatus_to_exitcode(status)}")
    return seconds
