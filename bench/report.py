"""The page about the figures: docs/benchmarks.md, with the picture from chart.py beside it."""

import chart
import measure

# Closer than this is a tie: two runs of one tool differ by as much.
TIE = 1.05


def publish(results, args):
    page = write_page(results, picture=bool(args.docs))
    if not args.docs:
        print(page)
        return
    args.docs.mkdir(parents=True, exist_ok=True)
    (args.docs / "benchmarks.md").write_text(page)
    (args.docs / "benchmarks.svg").write_text(chart.draw(results))
    measure.say(f"wrote benchmarks.md and benchmarks.svg to {args.docs}")


def something_is_wrong(results):
    """Only alike's own wrong answers make the command fail; a peer's is a finding."""
    rows = [row for workload in results["workloads"] for row in workload["rows"]]
    wrong = any(row.tool.is_alike() and row.wrong for row in rows)
    return wrong or bool(results["live"] and results["live"]["wrong"])


def write_page(results, picture):
    parts = ["# Benchmarks", opening(results)]
    if picture:
        parts.append("![Seconds by workload and tool](benchmarks.svg)")
    parts += [workload_part(workload) for workload in results["workloads"]]
    if results["live"]:
        parts.append(live_part(results["live"]))
    parts += [peers_part(results), limits_part(results), commands_part(results)]
    return "\n\n".join(part.strip() for part in parts if part) + "\n"


def opening(results):
    machine = results["machine"]
    lines = [
        "Made by `bench/run`; not edited by hand. Ratios hold from one machine to the next better than seconds do.", "",
        "| | |", "| --- | --- |",
        f"| date | {results['date']} |",
        f"| machine | {machine['processor']}, {machine['cores']} cores, {machine['memory']} |",
        f"| kernel, filesystem | {machine['kernel']}, {machine['filesystem']} |",
    ]
    if results["tree"]:
        lines.append(f"| tree | {results['tree']} |")
    lines += [
        f"| runs | {results['runs']} of each tool, in turns; medians |",
        f"| command | `{results['command']}` |",
        f"| versions | {'; '.join(results['versions'].values())} |",
    ]
    return "\n".join(lines)


# ---- one pass ----

def workload_part(workload):
    lines = [
        f"## {workload['title']}", "", workload["note"], "",
        "| tool | median | fastest to slowest | ratio | user + system | peak memory |",
        "| --- | ---: | ---: | ---: | ---: | ---: |",
    ]
    notes = []
    for row in workload["rows"]:
        if row.wrong:
            notes.append(f"`{row.tool.label}` is wrong and has no figure: {escaped(row.wrong)}.")
            lines.append(f"| {row.tool.label} | wrong | | | | |")
        else:
            lines.append(figures(row, base_of(workload, row)))
    bases = [base_of(workload, row) for row in workload["rows"]]
    names = list(dict.fromkeys(f"`{base.tool.label}`" for base in bases if base))
    if names:
        notes.append(f"The ratio is to {' or, for those that sync, to '.join(names)}; below 1 is faster.")
    return "\n".join(lines + [""] + notes)


def base_of(workload, row):
    """The row to measure this one by: the peer that makes the same promise about the disk. None when it is wrong."""
    key = workload["base_synced"] if row.tool.synced else workload["base"]
    return next((other for other in workload["rows"] if other.tool.key == key and not other.wrong), None)


def figures(row, base):
    fastest, slowest = row.span()
    ratio = f"{row.median('seconds') / base.median('seconds'):.2f}" if base else ""
    return (f"| {row.tool.label} | {seconds(row.median('seconds'))} | {seconds(fastest)} to {seconds(slowest)} | {ratio} "
            f"| {seconds(row.median('cpu'))} | {row.median('peak_mib'):.0f} MiB |")


# ---- live ----

def live_part(live):
    lines = ["## Live: `alike mirror` watching the tree", ""]
    if live["wrong"]:
        lines.append(f"Wrong, and so without figures: {escaped(live['wrong'])}.")
        return "\n".join(lines)
    writes = sorted(live["writes"])
    lines += [
        f"{len(writes):,} small files written one at a time into random folders, a third of them over an earlier one; "
        "from just before the file is opened for writing until the replica shows it with its size and time.", "",
        "| p50 | p90 | p99 | max |", "| ---: | ---: | ---: | ---: |",
        "| " + " | ".join(f"{measure.percentile(writes, part) * 1000:.1f} ms" for part in (50, 90, 99, 100)) + " |", "",
        f"The slowest was write {live['writes'].index(writes[-1]) + 1}; the first comes as soon as a comparison finds "
        "the trees identical.", "",
        "Storms, each figure the worst of its runs: from the end of the command until a comparison by rsync that found "
        "no difference had ended. It is an upper bound: the comparison itself takes the time in the last column.", "",
        "| storm | the command took | identical after | of it the comparison |", "| --- | ---: | ---: | ---: |",
    ]
    for name in dict.fromkeys(storm["name"] for storm in live["storms"]):
        worst = max((storm for storm in live["storms"] if storm["name"] == name), key=lambda storm: storm["identical"])
        lines.append(f"| {name} | {seconds(worst['took'])} | {seconds(worst['identical'])} | {seconds(worst['looking'])} |")
    lines += ["", f"Over the whole session of {seconds(live['seconds'])}: {seconds(live['cpu'])} user + system, "
              f"{live['peak_mib']:.0f} MiB at the peak, stopped {live['stop'] * 1000:.0f} ms after SIGTERM."]
    return "\n".join(lines)



# ---- what follows from the figures ----

def peers_part(results):
    lines = [line for workload in results["workloads"] for line in where_peers_win(workload)]
    if not any(row.tool.is_alike() for workload in results["workloads"] for row in workload["rows"]):
        return ""
    if not lines:
        lines = ["Nowhere in this run: no peer with a right answer was faster, or smaller in memory."]
    return "\n".join(["## Where a peer wins", ""] + lines)


def where_peers_win(workload):
    found = []
    right = [row for row in workload["rows"] if not row.wrong]
    for ours in (row for row in right if row.tool.is_alike()):
        same = [row for row in right if not row.tool.is_alike() and row.tool.synced == ours.tool.synced]
        for figure, word, shown in [("seconds", "faster", seconds), ("peak_mib", "smaller in memory", mebibytes)]:
            better = [row for row in same if row.median(figure) * TIE < ours.median(figure)]
            if better:
                names = ", ".join(f"`{row.tool.label}` ({shown(row.median(figure))})"
                                  for row in sorted(better, key=lambda row: row.median(figure)))
                verb = "is" if len(better) == 1 else "are"
                found.append(f"- {workload['title']}: {names} {verb} {word} than `{ours.tool.label}` "
                             f"({shown(ours.median(figure))}).")
    return found


def limits_part(results):
    held = {}
    for row in (row for workload in results["workloads"] for row in workload["rows"]):
        held.setdefault(row.tool.held_to, {})[row.tool.label] = None
    lines = ["## What is compared, and what is not", ""]
    lines += [f"- Right means: an independent rsync finds no difference in {what}: "
              f"{', '.join(f'`{label}`' for label in labels)}." for what, labels in held.items()]
    lines += [
        "- The first answer of each tool in each workload was also compared byte by byte (`diff -rq`).",
        "- alike keeps an index, which the peers (but unison) do not; it is in its figures. What they do and alike "
        "does not (a network, two-way, encryption) is not measured.",
        "- Both sides are on one local filesystem, and the source is in memory. A cold disk, a network or another "
        "filesystem shifts the figures, mostly towards a tie.",
        "- Peak memory is that of a tool's largest process; rsync runs three.",
        "- cp takes part only in the first copy: it neither skips what is there nor deletes.",
        "- No live peer is run: lsyncd and its like wait a second or more by design, which says little about speed.",
    ]
    if results["absent"]:
        lines.append(f"- Not installed, so not measured: {', '.join(results['absent'])}.")
    return "\n".join(lines)


def commands_part(results):
    tools = {}
    for row in (row for workload in results["workloads"] for row in workload["rows"]):
        tools[row.tool.label] = " ".join(str(word) for word in row.tool.argv("SOURCE", "REPLICA", PlainFolder("STATE")))
    if not tools:
        return ""
    rows = [f"{label}: {hide_program(command)}" for label, command in tools.items()]
    return "\n".join(["## Commands", "", "```text"] + rows + ["```"])


class PlainFolder(str):
    """A word that can be joined like a path."""

    def __truediv__(self, name):
        return PlainFolder(f"{self}/{name}")


def hide_program(command):
    """alike is started by its full path, which is nobody else's."""
    first, _, rest = command.partition(" ")
    return f"{first.rsplit('/', 1)[-1]} {rest}"


def seconds(value):
    return f"{value:.2f} s" if value < 10 else f"{value:.1f} s"


def mebibytes(value):
    return f"{value:.0f} MiB"


def escaped(text):
    """File names and messages of others are no Markdown of ours."""
    plain = "".join(c if c.isprintable() else "?" for c in text).replace("`", "'")
    return f"`{plain}`"
