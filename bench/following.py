"""The sections about mirrors at work: each kind of change, the rate of changes, storms, rest, the start."""

import goals
import measure
from words import brief, escaped, mebibytes, milliseconds, seconds, size, table

PARTS = [("p50", 50), ("p90", 90), ("p99", 99), ("max", 100)]


def with_faults(part, lines):
    wrong = [f"`{mirror['label']}` was wrong: {escaped(mirror['wrong'])}." for mirror in part["mirrors"] if mirror["wrong"]]
    return "\n".join(lines + ([""] + wrong if wrong else []))


def right(part):
    return [mirror for mirror in part["mirrors"] if not mirror["wrong"]]


# ---- each kind of change ----

def kinds(part):
    rows = [[f"{kind}, `{mirror['label']}`", f"{len(mirror['kinds'][kind])}", *shares(mirror["kinds"][kind])]
            for kind in next((mirror["kinds"] for mirror in right(part)), []) for mirror in right(part)]
    costs = [[f"`{mirror['label']}`", seconds(mirror["busy_seconds"]), seconds(mirror["busy_cpu"]), mebibytes(mirror["peak_mib"])]
             for mirror in right(part)]
    lines = [
        "## Live: each kind of change", "",
        "One change at a time in random folders of the tree, each awaited: from just before the call in the source until the "
        "replica shows it. Who starts an rsync for each change gets a minute and so fewer.", "",
        *table(["change", "changes", *[name for name, _ in PARTS]], *rows), "",
        "What that cost; the memory is that of the largest process and of the whole session, the first copy included.", "",
        *table(["mirror", "took", "user + system", "peak memory"], *costs)]
    if part["absent"]:
        lines += ["", f"Not installed, so not beside it: {', '.join(part['absent'])}."]
    return with_faults(part, lines)


def shares(found):
    ordered = sorted(found)
    return [milliseconds(measure.percentile(ordered, share)) for _, share in PARTS]


# ---- the rate of changes ----

def rates(part):
    rows = [[f"{one['rate']:,} a second, `{mirror['label']}`", f"{one['files']:,}", f"{one['reached']:,.0f}",
             *[milliseconds(one[name]) for name, _ in PARTS], seconds(one["cpu"])]
            for at in range(max((len(mirror["rates"]) for mirror in part["mirrors"]), default=0))
            for mirror in part["mirrors"] for one in mirror["rates"][at:at + 1]]
    lines = [
        "## Live: as the rate of changes grows", "",
        f"Another process makes files of 100 bytes in 100 folders at a steady rate for {part['seconds']:g} s, beside the tree. A "
        "file is behind from just before it is made until its name is on the replica, heard by inotify there. All three "
        "share the processors.", "",
        *table(["rate", "files", "reached", *[name for name, _ in PARTS], "user + system"], *rows)]
    return with_faults(part, lines)


# ---- storms ----

def storms(part):
    lines = [
        "## Live: storms", "",
        f"Over a copy of the tree ({part['tree']:,} files): a second one unpacked beside it, three in ten files of it exchanged as "
        f"by a checkout, {part['renames']:,} renames, {part['touches']:,} touches over both, and all deleted. Identical: from the "
        "end of the storm until the last change on the replica, after which a comparison by rsync found nothing. Beside it what "
        "`alike once` needed for the same on another replica, to its last change. After each storm the mirror was stopped, and "
        "`once` found nothing left to do. Memory is the most since the storm began."]
    for mirror in part["mirrors"]:
        queue = "the queue as long as usual" if mirror["queue"] is None else f"a queue of {mirror['queue']} events"
        rows = [[storm["name"], seconds(storm["took"]), brief(storm["identical"]), brief(storm["once"]), storm["overflows"],
                 seconds(storm["cpu"]), mebibytes(storm["peak_mib"]), goals.storm_says(storm)] for storm in mirror["storms"]]
        lines += ["", f"`{mirror['label']}`, {queue}:", "",
                  *table(["storm", "it took", "identical after", "once needs", "overflows", "user + system", "peak memory", "goal"],
                         *rows)]
    return with_faults(part, lines)


# ---- rest ----

def idle(part):
    each = 60 / part["seconds"]
    rows = [[f"`{mirror['label']}`", f"{mirror['idle']['cpu'] * each * 1000:.1f} ms", f"{mirror['idle']['wakes'] * each:,.0f}",
             f"{mirror['idle']['calls'] * each:,.0f}", size(mirror["idle"]["read"] * each), size(mirror["idle"]["written"] * each)]
            for mirror in right(part)]
    return with_faults(part, [
        "## Live: when nothing happens", "",
        f"Over the tree for {part['seconds']:g} s; each figure a minute.", "",
        *table(["mirror", "user + system", "wake-ups", "reads and writes", "read from disk", "written"], *rows)])


# ---- the start ----

def start(part):
    names = ["first", "p50", "p99", "max", "late", "before", "peak_mib"]
    rows = []
    for mirror in right(part):
        worst = {name: max(one[name] for one in mirror["starts"]) for name in names}
        rows.append([f"`{mirror['label']}`", *[milliseconds(worst[name]) for name in names[:-1]], mebibytes(worst["peak_mib"])])
    return with_faults(part, [
        "## Live: the start", "",
        f"{part['files']:,} files in {part['folders']:,} folders, an index of them, and files made all over at 100 a second from "
        "the moment of the start. First: from there until the first of them is on the replica. Behind: what was made later than "
        "200 ms after the start. Earlier: the longest that one made before waited. Before: how long a change waited that was "
        "made while alike was not running. The worst of the runs.", "",
        *table(["mirror", "first", "behind p50", "p99", "max", "earlier", "before", "peak memory"], *rows)])
