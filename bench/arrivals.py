"""When files were written and when they arrived: a writer at a steady rate, and an ear on the folders of the replica.

Both are processes of their own and go by one clock, so neither waits for the other. A file arrives when its name does: every
mirror here writes under another name, or none, first, and a comparison afterwards reads what arrived.
"""

import ctypes
import multiprocessing
import os
import select
import struct
import time

import live

IN_MOVED_TO, IN_CREATE, IN_Q_OVERFLOW = 0x80, 0x100, 0x4000
HEAD = struct.Struct("iIII")
PROCESSES = multiprocessing.get_context("fork")


class Writer:
    """Makes `count` files in these folders in turn, at a steady rate."""

    def __init__(self, folders, rate, count, size, start=None):
        self.ours, theirs = PROCESSES.Pipe()
        words = (theirs, [str(folder) for folder in folders], rate, count, size, start)
        self.process = PROCESSES.Process(target=write, args=words, daemon=True)
        self.process.start()

    def wait(self):
        """When each file was begun, by its name."""
        written = self.ours.recv()
        self.process.join()
        return written


def write(pipe, folders, rate, count, size, start):
    opened = [os.open(folder, os.O_RDONLY | os.O_DIRECTORY) for folder in folders]
    words, written = os.urandom(size), {}
    start = start or time.monotonic_ns()
    for number in range(count):
        early = start + number * 10**9 // rate - time.monotonic_ns()
        if early > 0:
            time.sleep(early / 1e9)
        name = f"new-{number:06}"
        written[name] = time.monotonic_ns()
        file = os.open(name, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o644, dir_fd=opened[number % len(opened)])
        os.write(file, words)
        os.close(file)
    pipe.send(written)


class Ear:
    """`with Ear(folders) as ear`: hears of every name that appears in them."""

    def __init__(self, folders):
        self.folders = [os.fsencode(folder) for folder in folders]

    def __enter__(self):
        self.ours, theirs = PROCESSES.Pipe()
        self.count = PROCESSES.Value("q", 0)
        self.process = PROCESSES.Process(target=hear, args=(theirs, self.folders, self.count), daemon=True)
        self.process.start()
        # It says so when it listens.
        self.ours.recv()
        return self

    def __exit__(self, *_):
        self.process.terminate()
        self.process.join()

    def lags(self, written, within):
        """Seconds from writing to arrival for each file; None when some did not arrive in time."""
        begin = time.perf_counter()
        while self.count.value < len(written):
            if time.perf_counter() - begin > within:
                return None
            time.sleep(0.01)
        arrived = self.arrived()
        return {name: (arrived[name] - stamp) / 1e9 for name, stamp in written.items()}

    def arrived(self):
        """When each name that was heard of so far appeared."""
        self.ours.send("tell")
        names, overflow = self.ours.recv()
        if overflow:
            raise live.Wrong("more arrived at once than could be heard: raise fs.inotify.max_queued_events")
        return names


def hear(pipe, folders, count):
    libc = ctypes.CDLL(None, use_errno=True)
    queue = libc.inotify_init1(os.O_CLOEXEC)
    for folder in folders:
        if libc.inotify_add_watch(queue, ctypes.c_char_p(folder), IN_MOVED_TO | IN_CREATE) < 0:
            raise OSError(ctypes.get_errno(), "inotify_add_watch")
    pipe.send("listens")
    names, overflow = {}, False
    while True:
        ready, _, _ = select.select([queue, pipe], [], [])
        if queue in ready:
            heard = os.read(queue, 1 << 18)
            overflow |= note(heard, time.monotonic_ns(), names)
            count.value = len(names)
        elif pipe in ready:
            pipe.recv()
            pipe.send((names, overflow))


def note(heard, now, names):
    """Takes down the names of files; whether the queue ran over."""
    at, overflow = 0, False
    while at < len(heard):
        _, mask, _, length = HEAD.unpack_from(heard, at)
        at += HEAD.size
        overflow |= bool(mask & IN_Q_OVERFLOW)
        name = heard[at:at + length].rstrip(b"\0")
        at += length
        # Others are on their way to a name of ours.
        if name.startswith(b"new-"):
            names.setdefault(name.decode(), now)
    return overflow
