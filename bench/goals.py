"""The summary on top of the report: what alike means to reach, beside whom, and whether these figures reach it."""

from dataclasses import dataclass

from measure import percentile
from words import brief, mebibytes, milliseconds, size, table

# Changed blocks, the journal and alike's index: more than a few MiB of a large file was not changed.
FEW_BYTES = 4 << 20
MILLION_MIB = 32
# Flat: a hundred times the files, and at most this much more memory.
FLAT = 1.5
PROGRAM_BYTES, PROGRAM_SECONDS = 8 << 20, 0.005


# Live: from a change to its copy, half within and 99 of 100; after a storm, whichever is longer, and memory; processor a
# minute when nothing happens; from the start until changes are picked up.
LIVE_HALF, LIVE_MOST = 0.002, 0.010
STORM_SECONDS, STORM_RATIO, STORM_MIB = 1.0, 1.3, 64
IDLE_SECONDS = 0.02
START_SECONDS = 0.2
# A question to the history of a million actions.
ANSWER_SECONDS = 0.1


@dataclass(frozen=True)
class Goal:
    """alike's seconds as a part of a peer's, in one table of one workload."""
    part: str
    work: str
    peer: str
    most: float
    ours: str = "alike-none"
    # Which of the workload's tables; the first when empty.
    table: str = ""


GOALS = [
    Goal("first", "first copy", "cp", 0.75),
    Goal("first", "first copy", "rsync-all", 0.46),
    Goal("first", "first copy, on the disk when done", "cp-sync", 0.90, ours="alike"),
    Goal("nothing", "nothing to do", "rsync-all", 0.25),
    Goal("million", "nothing to do, many small files", "rsync-all", 0.25),
    Goal("edited", "one file in a hundred edited", "rsync-all", 0.40),
    Goal("renamed", "a large folder renamed", "rsync-all", 0.12),
    Goal("filesystems", "first copy to another ext4", "cp", 0.90, table="ext4-ext4"),
    Goal("filesystems", "first copy to tmpfs", "cp", 0.90, table="ext4-tmpfs"),
    Goal("filesystems", "first copy within btrfs, nothing shared", "cp-never", 0.90, "alike-never", "btrfs-plain"),
    Goal("filesystems", "first copy within btrfs, blocks shared", "cp-always", 0.80, table="btrfs-shared"),
    Goal("filesystems", "first copy within xfs, nothing shared", "cp-never", 0.90, "alike-never", "xfs-plain"),
    Goal("cold", "nothing to do, cold cache", "rsync-all", 0.60),
]


def part(results):
    """Empty when nothing was measured that has a goal, as with --peers-only."""
    parts = results["parts"]
    rows = [row for goal in GOALS if (row := of_ratio(goal, parts))]
    rows += million_memory(parts) + delta(parts) + flat(parts) + live(parts) + kinds(parts) + storms(parts) + idle(parts)
    rows += start(parts) + history(parts) + program(parts)
    if not rows:
        return ""
    return "\n".join([
        "## Summary", "",
        "Beside is the peer that the goal names, best the fastest of all peers with a right answer and the same promise about "
        "the disk. Each ratio is alike's figure divided by that of the peer beside it.", "",
        *table(["work", "best peer", "beside", "alike", "ratio", "goal", "so"], *rows)])


# ---- seconds beside a peer's ----

def of_ratio(goal, parts):
    one = table_of(parts.get(goal.part, {}), goal.table)
    ours, theirs = row_of(one, goal.ours), row_of(one, goal.peer)
    if not ours:
        return None
    best = fastest_peer(one, ours)
    names = [goal.work, named(best), named(theirs)]
    if ours.wrong or not theirs or theirs.wrong:
        cause = "alike was wrong" if ours.wrong else "no right answer beside it"
        return [*names, "" if ours.wrong else brief(ours.median("seconds")), "", f"≤ {goal.most:.2f}",
                f"not reached: {cause}" if ours.wrong else f"not known: {cause}"]
    # As the reader sees it: 0.75 is not more than 0.75.
    ratio = round(ours.median("seconds") / theirs.median("seconds"), 2)
    return [*names, brief(ours.median("seconds")), f"{ratio:.2f}", f"≤ {goal.most:.2f}", so(ratio <= goal.most)]


def table_of(part, name):
    tables = part.get("tables", [])
    return next((one for one in tables if not name or one.get("id") == name), {"rows": []})


def row_of(one, key):
    return next((row for row in one["rows"] if row.tool.key == key and (row.runs or row.wrong)), None)


def fastest_peer(one, ours):
    right = [row for row in one["rows"]
             if not row.wrong and row.runs and not row.tool.is_alike() and row.tool.synced == ours.tool.synced]
    return min(right, key=lambda row: row.median("seconds"), default=None)


def named(row):
    """A peer and its seconds."""
    if not row or row.wrong:
        return f"`{row.tool.label}`: wrong" if row else ""
    return f"`{row.tool.label}` {brief(row.median('seconds'))}"


def so(reached):
    return "reached" if reached else "not reached"


# ---- goals that are no ratio ----

def million_memory(parts):
    one = table_of(parts.get("million", {}), "")
    ours, theirs = row_of(one, "alike-none"), row_of(one, "rsync-all")
    if not ours or ours.wrong:
        return []
    peak = ours.median("peak_mib")
    right = [row for row in one["rows"] if not row.tool.is_alike() and not row.wrong]
    least = min(right, key=lambda row: row.median("peak_mib"), default=None)
    return [["nothing to do, many small files: peak memory", of_memory(least), of_memory(theirs), mebibytes(peak), "",
             f"≤ {MILLION_MIB} MiB", so(peak <= MILLION_MIB)]]


def of_memory(row):
    return f"`{row.tool.label}` {mebibytes(row.median('peak_mib'))}" if row and not row.wrong else ""


def delta(parts):
    return [row for one in parts.get("delta", {}).get("tables", []) for row in delta_of(one)]


def delta_of(one):
    """How much reached the disk; the peer that wrote least is the best here."""
    ours = [row for row in one["rows"] if row.tool.is_alike() and (row.wrong or row.median("written") is not None)]
    right = [row for row in one["rows"] if not row.tool.is_alike() and not row.wrong and row.median("written") is not None]
    least = min(right, key=lambda row: row.median("written"), default=None)
    beside = next((row for row in right if row.tool.key == "rsync-inplace"), None)
    for row in ours:
        work = f"{one['title'][0].lower()}{one['title'][1:]}: written by `{row.tool.label}`"
        yield [work, of_written(least), of_written(beside), "" if row.wrong else size(row.median("written")), "",
               f"≤ {size(FEW_BYTES)}", so(not row.wrong and row.median("written") <= FEW_BYTES)]


def of_written(row):
    return f"`{row.tool.label}` {size(row.median('written'))}" if row else ""


def flat(parts):
    part, rows = parts.get("memory", {}), []
    for phase, title in [("first", "first copy"), ("nothing", "nothing to do")]:
        tables = [one for one in part.get("tables", []) if one["phase"] == phase]
        ours = [(one["files"], row_of(one, "alike-none")) for one in tables]
        if len(ours) < 2 or not all(row for _, row in ours):
            continue
        wrong = any(row.wrong for _, row in ours)
        few, many = (None if wrong else row.median("peak_mib") for _, row in (ours[0], ours[-1]))
        work = f"peak memory, {title}: {ours[0][0]:,} to {ours[-1][0]:,} files"
        # The smallest tree is the measure, not a peer.
        rows.append([work, of_memory(row_of(tables[-1], "rsync-all")), "itself",
                     "" if wrong else f"{few:.0f} to {many:.0f} MiB", "" if wrong else f"{many / few:.2f}",
                     f"≤ {FLAT:.2f}", so(not wrong and many / few <= FLAT)])
    return rows


def live(parts):
    """No goal of its own: the peers that are there are of another kind."""
    part = parts.get("live", {})
    if not part.get("writes") or part["wrong"]:
        return []
    ours = percentile(sorted(part["writes"]), 50)
    right = [(percentile(sorted(peer["writes"]), 50), peer["label"]) for peer in part["peers"] if not peer["wrong"]]
    best = min(right, default=None)
    return [["live: a write, half within", f"`{best[1]}` {milliseconds(best[0])}" if best else "", "", milliseconds(ours),
             f"{ours / best[0]:.2f}" if best else "", "", ""]]


def mirrors_of(parts, key):
    """alike's own, those that were right, with the best of the others left to the section."""
    return [mirror for mirror in parts.get(key, {}).get("mirrors", []) if mirror["is_alike"] and not mirror["wrong"]]


def kinds(parts):
    """The slowest kind of change counts."""
    rows = []
    for mirror in mirrors_of(parts, "kinds"):
        for share, most, words in [(50, LIVE_HALF, "half within"), (99, LIVE_MOST, "99 of 100 within")]:
            of = {kind: percentile(sorted(found), share) for kind, found in mirror["kinds"].items() if found}
            slowest = max(of, key=of.get)
            rows.append([f"`{mirror['label']}`: a change, {words} ({slowest} is slowest)", "", "", milliseconds(of[slowest]), "",
                         f"≤ {milliseconds(most)}", so(of[slowest] <= most)])
    return rows


def storms(parts):
    rows = []
    for mirror in mirrors_of(parts, "storms"):
        queue = "" if mirror["queue"] is None else f", a queue of {mirror['queue']}"
        # The one that is farthest from its goal.
        worst = max(mirror["storms"], key=lambda storm: storm["identical"] / storm_most(storm), default=None)
        if worst:
            most = storm_most(worst)
            rows.append([f"`{mirror['label']}`{queue}: after a storm ({worst['name']} is worst)", "",
                         f"`alike once` {brief(worst['once'])}", brief(worst["identical"]),
                         f"{worst['identical'] / max(worst['once'], 1e-3):.2f}", f"≤ {brief(most)}",
                         so(worst["identical"] <= most)])
        peak = max((storm["peak_mib"] for storm in mirror["storms"]), default=0.0)
        rows.append([f"`{mirror['label']}`{queue}: peak memory in storms", "", "", mebibytes(peak), "", f"≤ {STORM_MIB} MiB",
                     so(peak <= STORM_MIB)])
    return rows


def storm_most(storm):
    return max(STORM_SECONDS, STORM_RATIO * storm["once"])


def storm_says(storm):
    reached = storm["identical"] <= storm_most(storm) and storm["peak_mib"] <= STORM_MIB
    return so(reached)


def idle(parts):
    rows, each = [], 60 / parts.get("idle", {}).get("seconds", 60)
    for mirror in mirrors_of(parts, "idle"):
        used, disk = mirror["idle"]["cpu"] * each, mirror["idle"]["read"] + mirror["idle"]["written"]
        rows.append([f"`{mirror['label']}`: processor a minute when nothing happens", "", "", milliseconds(used), "",
                     f"≤ {milliseconds(IDLE_SECONDS)}", so(used <= IDLE_SECONDS)])
        rows.append([f"`{mirror['label']}`: disk when nothing happens", "", "", size(disk), "", "0 KiB", so(disk == 0)])
    return rows


def start(parts):
    rows = []
    for mirror in mirrors_of(parts, "start"):
        worst = max((one["first"] for one in mirror["starts"]), default=None)
        if worst is not None:
            rows.append([f"`{mirror['label']}`: from the start to the first change on the replica", "", "", milliseconds(worst), "",
                         f"≤ {milliseconds(START_SECONDS)}", so(worst <= START_SECONDS)])
    return rows


def history(parts):
    """The slowest answer counts."""
    rows = []
    for one in parts.get("history", {}).get("asked", []):
        name, worst = max(one["questions"].items(), key=lambda found: found[1]["median"])
        rows.append([f"`alike log`, each file {one['after']} ({name} is slowest)", "", "", milliseconds(worst["median"]), "",
                     f"≤ {milliseconds(ANSWER_SECONDS)}", so(worst["median"] <= ANSWER_SECONDS)])
    return rows


def program(parts):
    part = parts.get("program", {})
    if not part.get("size"):
        return []
    starts, beside = part["starts"], "`rsync --version` " + milliseconds(part["starts"]["rsync --version"]["median"])
    ours = starts["alike --version"]["median"]
    return [
        ["the program's file", "", "", f"{part['size'] / 2**20:.1f} MiB", "", f"≤ {PROGRAM_BYTES >> 20} MiB",
         so(part["size"] <= PROGRAM_BYTES)],
        ["`alike --version`", beside, "", milliseconds(ours), "", f"≤ {PROGRAM_SECONDS * 1000:.0f} ms",
         so(ours <= PROGRAM_SECONDS)],
    ]
