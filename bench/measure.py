"""Runs one command and says how long it took, what it cost and whether the replica is right."""

import ctypes
import math
import os
import signal
import statistics
import subprocess
import sys
import time
from dataclasses import dataclass, field

PR_SET_CHILD_SUBREAPER = 36
_running = set()


@dataclass
class Run:
    seconds: float
    cpu: float
    peak_mib: float
    code: int
    output: str
    # Bytes that reached the disk for it, where that is asked for.
    written: int | None = None


@dataclass
class Row:
    """What one tool did in one table of a workload."""
    tool: object
    runs: list = field(default_factory=list)
    wrong: str = ""

    def median(self, figure):
        """None where nobody counted it."""
        known = [value for value in (getattr(run, figure) for run in self.runs) if value is not None]
        return statistics.median(known) if known else None

    def span(self):
        seconds = [run.seconds for run in self.runs]
        return min(seconds), max(seconds)


def say(message):
    print(f"bench: {message}", file=sys.stderr, flush=True)


class Child:
    """A started command.

    Linux counts the memory of the process that called exec into the peak of the command that takes its place, and this
    Python is larger than rsync. So a small shell starts the command and leaves; we inherit the child and collect it.
    """

    def __init__(self, argv, log, env=None):
        adopt_orphans()
        script = 'setsid "$@" >"$BENCH_LOG" 2>&1 </dev/null & echo $!'
        self.log = log
        self.start = time.perf_counter()
        shell = subprocess.Popen(
            ["/bin/sh", "-c", script, "sh", *map(str, argv)], stdout=subprocess.PIPE,
            env={**os.environ, "LC_ALL": "C", **(env or {}), "BENCH_LOG": str(log)})
        self.pid = int(shell.stdout.read())
        shell.stdout.close()
        shell.wait()
        _running.add(self.pid)

    def wait(self):
        _, status, usage = os.wait4(self.pid, 0)
        seconds = time.perf_counter() - self.start
        _running.discard(self.pid)
        with open(self.log, errors="replace") as log:
            output = log.read()[-2000:].strip()
        return Run(seconds=seconds, cpu=usage.ru_utime + usage.ru_stime, peak_mib=usage.ru_maxrss / 1024,
                   code=os.waitstatus_to_exitcode(status), output=output)

    def ended(self):
        """Whether it ended; it stays to be collected by `wait`."""
        return os.waitid(os.P_PID, self.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None

    def stop(self):
        os.kill(self.pid, signal.SIGTERM)


def adopt_orphans():
    if ctypes.CDLL(None, use_errno=True).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "prctl(PR_SET_CHILD_SUBREAPER)")


def end_all():
    for pid in list(_running):
        try:
            os.killpg(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
        except (ProcessLookupError, ChildProcessError):
            pass
        _running.discard(pid)


# ---- the independent judge ----

# What a tool promises, as rsync's options. Nanoseconds count where the tool means to keep them.
EVERYTHING = "what `rsync -aHAX` keeps, times to the nanosecond"
RSYNC_A = "what `rsync -a` keeps, times to the nanosecond"
LESS = "names, sizes, links, and the times of files to the second"
JUDGES = {
    EVERYTHING: ["-aHAX", "--modify-window=-1"],
    RSYNC_A: ["-a", "--modify-window=-1"],
    LESS: ["-rlt", "-O", "-J", "--modify-window=1"],
}


# What mirrors keep beside the copy, for themselves.
OWN_FOLDERS = [".alike", ".stfolder"]


def judging(source, replica, held_to):
    own = [f"--exclude=/{name}" for name in OWN_FOLDERS]
    return ["rsync", *JUDGES[held_to], "-n", "--delete", "--itemize-changes", *own, f"{source}/", f"{replica}/"]


def first_difference(source, replica, held_to=EVERYTHING):
    """The first line that `differences` would give, without a look at the rest; empty when the replica is right."""
    judge = subprocess.Popen(judging(source, replica, held_to), stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                             text=True, errors="replace", env={**os.environ, "LC_ALL": "C"})
    try:
        line = judge.stdout.readline().strip()
    except BaseException:
        judge.kill()
        judge.wait()
        raise
    if line:
        judge.terminate()
    judge.stdout.close()
    return f"rsync: exit {judge.returncode}" if judge.wait() != 0 and not line else line


def differences(source, replica, held_to=EVERYTHING):
    """What rsync would still change, as its own lines; empty when the replica is right."""
    judge = subprocess.run(judging(source, replica, held_to), capture_output=True, text=True, errors="replace",
                           env={**os.environ, "LC_ALL": "C"})
    lines = judge.stdout.splitlines()
    return lines + ([] if judge.returncode == 0 else [judge.stderr.strip() or f"rsync: exit {judge.returncode}"])


def different_bytes(source, replica):
    """The same question to a tool that reads every byte."""
    own = [f"--exclude={name}" for name in OWN_FOLDERS]
    judge = subprocess.run(["diff", "-rq", "--no-dereference", *own, str(source), str(replica)],
                           capture_output=True, text=True, errors="replace")
    return (judge.stdout + judge.stderr).splitlines()


def fault(run, source, replica, held_to, every_byte):
    """Why the run does not count, in a few words; empty when it does."""
    if run.code != 0:
        last = run.output.splitlines()[-1] if run.output else "no message"
        return f"exit {run.code}: {shortened(last, source, replica)}"
    found = differences(source, replica, held_to)
    if not found and every_byte:
        found = different_bytes(source, replica)
    return f"{len(found)} differences, first: {shortened(found[0], source, replica)}" if found else ""


def shortened(line, source, replica):
    """Where the trees are is nobody else's business, and long."""
    for path, word in [(source, "SOURCE"), (replica, "REPLICA"), (os.path.dirname(source), "WORK")]:
        line = line.replace(str(path), word)
    return line[:150]


def percentile(ordered, part):
    """The smallest value that `part` percent of the values do not exceed."""
    return ordered[max(0, math.ceil(len(ordered) * part / 100) - 1)]
