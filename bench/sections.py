"""The sections that are no table of tools: live, memory, growth, the program."""

import measure
from words import brief, escaped, mebibytes, milliseconds, seconds, table

PARTS = [("p50", 50), ("p90", 90), ("p99", 99), ("max", 100)]


# ---- live ----

def live(part):
    lines = ["## Live: `alike mirror` watching the tree", ""]
    if part["wrong"]:
        lines += [f"Wrong, and so without figures: {escaped(part['wrong'])}."]
        return "\n".join(lines + peers_live(part["peers"]))
    lines += [
        f"{len(part['writes']):,} small files written one at a time into random folders, a third of them over an earlier one; "
        "from just before the file is opened for writing until the replica shows it with its size and time.", "",
        *table(["program", "writes", *[name for name, _ in PARTS]], latencies("alike mirror", part["writes"]),
               *[latencies(peer["label"], peer["writes"]) for peer in part["peers"] if not peer["wrong"]]), "",
        *peers_live(part["peers"]),
        f"alike's slowest was write {part['writes'].index(max(part['writes'])) + 1}; the first comes as soon as a comparison "
        "finds the trees identical.", "",
        "Storms, each figure the worst of its runs: from the end of the command until a comparison by rsync that found "
        "no difference had ended. It is an upper bound: the comparison itself takes the time in the last column.", "",
        *table(["storm", "the command took", "identical after", "of it the comparison"], *storms(part["storms"])), "",
        f"Over the whole session of {seconds(part['seconds'])}: {seconds(part['cpu'])} user + system, "
        f"{part['peak_mib']:.0f} MiB at the peak, stopped {part['stop'] * 1000:.0f} ms after SIGTERM."]
    return "\n".join(lines)


def latencies(name, writes):
    ordered = sorted(writes)
    return [name, f"{len(writes):,}", *[milliseconds(measure.percentile(ordered, share)) for _, share in PARTS]]


def peers_live(peers):
    return [f"`{peer['label']}` was wrong and has no figure: {escaped(peer['wrong'])}.\n" for peer in peers if peer["wrong"]]


def storms(found):
    for name in dict.fromkeys(storm["name"] for storm in found):
        worst = max((storm for storm in found if storm["name"] == name), key=lambda storm: storm["identical"])
        yield [name, seconds(worst["took"]), seconds(worst["identical"]), seconds(worst["looking"])]


# ---- memory ----

def memory(part):
    lines = ["## Peak memory as the tree grows", "",
             f"Small files, {part['each']:,} in each folder. Seconds beside, for scale." + once_only(part)]
    wrong = []
    for phase, title in [("first", "First copy"), ("nothing", "Nothing to do")]:
        tables = [one for one in part["tables"] if one["phase"] == phase]
        tools = list(dict.fromkeys((row.tool.key, row.tool.label) for one in tables for row in one["rows"]))
        rows = [[label, *[peak_cell(one, key) for one in tables]] for key, label in tools]
        lines += ["", f"{title}:", "", *table(["tool", *[f"{one['files']:,} files" for one in tables]], *rows)]
        wrong += [f"`{row.tool.label}`, {one['title']}: {escaped(row.wrong)}."
                  for one in tables for row in one["rows"] if row.wrong]
    return "\n".join(lines + ([""] + wrong if wrong else []))


def once_only(part):
    runs = {one["files"]: len(one["rows"][0].runs) for one in part["tables"] if one["phase"] == "first" and one["rows"]}
    once = [f"{files:,}" for files, count in runs.items() if count == 1 < max(runs.values())]
    return f" The first copy of {' and '.join(once)} files is measured once." if once else ""


def peak_cell(one, key):
    row = next((row for row in one["rows"] if row.tool.key == key), None)
    if row is None:
        return ""
    return "wrong" if row.wrong else f"{mebibytes(row.median('peak_mib'))}, {brief(row.median('seconds'))}"


# ---- growth ----

def growth(part):
    if not part["series"]:
        return ""
    lines = ["## How the cost of alike grows", "",
             "`alike once --sync none`, small files, source in memory; medians, and microseconds for each file."]
    for series in part["series"]:
        rows = [[point["value"], *cost(point["rows"][0], point["files"]), *cost(point["rows"][1], point["files"])]
                for point in series["points"]]
        lines += ["", f"{series['title']}:", "",
                  *table([series["id"], "first copy", "a file", "nothing to do", "a file"], *rows)]
        wrong = [row.wrong for point in series["points"] for row in point["rows"] if row.wrong]
        lines += ["", f"Wrong: {escaped(wrong[0])}."] if wrong else []
    return "\n".join(lines)


def cost(row, files):
    if row.wrong or not row.runs:
        return "wrong" if row.wrong else "", ""
    value = row.median("seconds")
    return brief(value), f"{value / files * 1e6:.1f} µs"


# ---- the program ----

def program(part):
    lines = ["## The program", ""]
    if part["size"]:
        lines += [f"The file has {part['size'] / 2**20:.1f} MiB."]
    rows = [[f"`{name}`", *[milliseconds(found[what]) for what in ("median", "fastest", "slowest")]]
            for name, found in part["starts"].items()]
    return "\n".join(lines + ["", *table(["start to end, of 50", "median", "fastest", "slowest"], *rows), "",
                              "`true` does nothing: so much any start costs here."])
