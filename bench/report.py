"""The page about the figures: docs/benchmarks.md, with the pictures from chart.py beside it."""

import chart
import curves
import following
import goals
import history
import measure
import sections
import wins
from words import escaped, mebibytes, seconds, size, table

# The workloads that are tables of tools, and those that have a section of their own (sections.py), as they appear.
ORDER = ["first", "nothing", "million", "edited", "synced", "renamed", "delta", "filesystems", "cold", "index", "memory",
         "growth", "live", "kinds", "rates", "storms", "idle", "start", "history", "program"]
OWN = {"memory": sections.memory, "growth": sections.growth, "live": sections.live, "program": sections.program,
       "kinds": following.kinds, "rates": following.rates, "storms": following.storms, "idle": following.idle,
       "start": following.start, "history": history.section}


def publish(results, args):
    page = write_page(results, pictures=bool(args.docs))
    if not args.docs:
        print(page)
        return
    args.docs.mkdir(parents=True, exist_ok=True)
    (args.docs / "benchmarks.md").write_text(page)
    for name, drawn in pictures_of(results).items():
        (args.docs / name).write_text(drawn)
    measure.say("wrote benchmarks.md and its pictures")


def pictures_of(results):
    drawn = {"benchmarks.svg": chart.main(results), "benchmarks-more.svg": chart.more(results),
             "benchmarks-rates.svg": curves.rates(results["parts"].get("rates", {}))}
    return {name: text for name, text in drawn.items() if text}


def something_is_wrong(results):
    """Only alike's own wrong answers make the command fail; a peer's is a finding."""
    parts = results["parts"].values()
    wrong = any(row.tool.is_alike() and row.wrong for part in parts for row in all_rows(part))
    wrong |= any(bool(results["parts"].get(key, {}).get("wrong")) for key in ("live", "history"))
    wrong |= any(mirror["is_alike"] and bool(mirror["wrong"]) for part in parts for mirror in part.get("mirrors", []))
    return wrong or any(part.get("failed") for part in parts)


def all_rows(part):
    yield from (row for one in part.get("tables", []) for row in one["rows"])
    yield from (row for series in part.get("series", []) for point in series["points"] for row in point["rows"])


def write_page(results, pictures):
    parts = ["# Benchmarks", opening(results), goals.part(results)]
    shown = pictures_of(results) if pictures else {}
    if "benchmarks.svg" in shown:
        parts.append("![Seconds by workload and tool](benchmarks.svg)")
    for key in ORDER:
        if key in results["parts"]:
            parts += section(key, results["parts"][key])
        if key == "rates" and "benchmarks-rates.svg" in shown:
            parts.append("![How far behind, by the rate of changes](benchmarks-rates.svg)")
    if "benchmarks-more.svg" in shown:
        parts.append("## The other workloads as a picture\n\n![The other workloads](benchmarks-more.svg)")
    parts += [wins.part(results), limits_part(results), commands_part(results)]
    return "\n\n".join(part.strip() for part in parts if part) + "\n"


def section(key, part):
    if part.get("failed"):
        return [f"## Without figures: {key}\n\nThe measurement itself failed ({part['failed']})."]
    return [OWN[key](part)] if key in OWN and not only_skipped(part) else [table_part(one) for one in part.get("tables", [])]


def only_skipped(part):
    return part.get("skipped") and not part.get("tables") and not part.get("mirrors")


def opening(results):
    machine, parts = results["machine"], results["parts"]
    rows = [
        ("date", alike_or_each(parts, "date")),
        ("machine", f"{machine['processor']}, {machine['cores']} cores, {machine['memory']}"),
        ("kernel, filesystem", f"{machine['kernel']}, {machine['filesystem']}"),
    ]
    rows += [("tree", results["tree"])] if results["tree"] else []
    rows += [
        ("runs", f"{alike_or_each(parts, 'runs')} of each tool, in turns; medians"),
        ("command", alike_or_each(parts, "command", code=True)),
        ("versions", "; ".join(results["versions"].values())),
    ]
    builds = {part["build"] for part in parts.values() if part["build"]}
    rows += [("builds of alike", alike_or_each(parts, "build"))] if len(builds) > 1 else []
    lines = ["Made by `bench/run`; not edited by hand. Ratios hold from one machine to the next better than seconds do.", "",
             "| | |", "| --- | --- |"]
    return "\n".join(lines + [f"| {name} | {value} |" for name, value in rows])


def alike_or_each(parts, what, code=False):
    """One value when all workloads have it, otherwise each value with its workloads."""
    found = {}
    for key in sorted(parts, key=ORDER.index):
        found.setdefault(parts[key][what], []).append(key)
    mark = "`" if code else ""
    if len(found) < 2:
        return "".join(f"{mark}{value}{mark}" for value in found)
    return "; ".join(f"{mark}{value}{mark} ({', '.join(keys)})" for value, keys in found.items())


# ---- a table of tools ----

def table_part(workload):
    counted = any(row.median("written") is not None for row in workload["rows"])
    names = ["tool", "median", "fastest to slowest", "ratio", "user + system", "peak memory"]
    rows, notes = [], []
    for row in workload["rows"]:
        if row.wrong:
            notes.append(f"`{row.tool.label}` is wrong and has no figure: {escaped(row.wrong)}.")
            rows.append([row.tool.label, "wrong"] + [""] * (4 + counted))
        else:
            rows.append(figures(row, base_of(workload, row)) + ([written(row)] if counted else []))
    bases = [base_of(workload, row) for row in workload["rows"]]
    labels = list(dict.fromkeys(f"`{base.tool.label}`" for base in bases if base))
    if labels:
        notes.append(f"The ratio is to {' or, for those that sync, to '.join(labels)}; below 1 is faster.")
    head = [f"## {workload['title']}", "", workload["note"], ""]
    return "\n".join(head + table(names + ["written"] * counted, *rows) + [""] + notes)


def base_of(workload, row):
    """The row to measure this one by: the peer that makes the same promise about the disk. None when it is wrong."""
    key = workload["base_synced"] if row.tool.synced else workload["base"]
    return next((other for other in workload["rows"] if other.tool.key == key and not other.wrong), None)


def figures(row, base):
    fastest, slowest = row.span()
    ratio = f"{row.median('seconds') / base.median('seconds'):.2f}" if base else ""
    return [row.tool.label, seconds(row.median("seconds")), f"{seconds(fastest)} to {seconds(slowest)}", ratio,
            seconds(row.median("cpu")), mebibytes(row.median("peak_mib"))]


def written(row):
    return size(row.median("written")) if row.median("written") is not None else ""


# ---- what the figures do not say ----

def limits_part(results):
    held, parts = {}, results["parts"]
    for row in (row for part in parts.values() for row in all_rows(part)):
        held.setdefault(row.tool.held_to, {})[row.tool.label] = None
    lines = ["## What is compared, and what is not", ""]
    lines += [f"- Right means: an independent rsync finds no difference in {what}: "
              f"{', '.join(f'`{label}`' for label in labels)}." for what, labels in held.items()]
    lines += [
        "- The first answer of each tool in each workload was also compared byte by byte (`diff -rq`), every answer where one "
        "byte had changed; of the many small files, each replica was before the runs.",
        "- alike keeps an index, which the peers (but unison) do not; it is in its figures. What they do and alike "
        "does not (a network, two-way, encryption) is not measured.",
        "- Both sides are on local filesystems, and the source is in memory except where the cache is said to be cold. "
        "A network or a slower disk shifts the figures, mostly towards a tie.",
        "- The filesystems are files on another filesystem (loop devices), made for each workload; the first, nothing to do, "
        "edited, renamed and live share one.",
        "- Peak memory is that of a tool's largest process; rsync runs three.",
        "- cp and xcp take part in first copies, cp also where one large file changed: they neither skip what is there nor "
        "delete.",
        "- lsyncd, if installed, is run without its delay of 15 s, with fewer writes than alike and without the storms; "
        "it and the other mirrors beside alike are held to names, sizes, links and the times of files. Syncthing takes two of "
        "them, over the loopback, with its shortest delay of 1 s; the copy that it starts from is `cp -a`'s.",
    ]
    reasons = list(dict.fromkeys(reason for part in parts.values() for reason in part.get("skipped", [])))
    lines += [f"- Left out: {reason}." for reason in reasons]
    if results["lacking"]:
        lines.append(f"- This alike has no {' and no '.join(f'`{flag}`' for flag in results['lacking'])}, so the rows that "
                     "need it are missing.")
    if results["absent"]:
        lines.append(f"- Not installed, so not measured: {', '.join(results['absent'])}.")
    return "\n".join(lines)


def commands_part(results):
    commands = {row.tool.label: row.tool.command for key, part in results["parts"].items() if key != "growth"
                for row in all_rows(part)}
    if not commands:
        return ""
    return "\n".join(["## Commands", "", "```text"] + [f"{label}: {command}" for label, command in commands.items()]
                     + ["```"])
