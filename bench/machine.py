"""What the figures were measured on."""

import datetime
import os
import platform
import subprocess


def facts(work):
    found = {
        "processor": processor(),
        "cores": str(os.cpu_count()),
        "memory": f"{memory_gib():.0f} GiB",
        "kernel": platform.release(),
        "filesystem": filesystem(work),
    }
    return found


def today():
    return datetime.date.today().isoformat()


def processor():
    with open("/proc/cpuinfo") as lines:
        for line in lines:
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    return platform.machine()


def memory_gib():
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30


def filesystem(work):
    asked = subprocess.run(["findmnt", "-no", "FSTYPE,OPTIONS", "-T", str(work)], capture_output=True, text=True)
    if asked.returncode != 0:
        return "unknown"
    kind, options = asked.stdout.split(maxsplit=1)
    fresh = ", made for this run" if "disk" in work.parts else ""
    return f"{kind} ({options.strip()}){fresh}"
