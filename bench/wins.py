"""Where a peer wins: every place where alike is slower, larger or writes more than a peer with a right answer."""

from measure import percentile
from words import mebibytes, milliseconds, seconds, size

# Closer than this is a tie: two runs of one tool differ by as much.
TIE = 1.05
FIGURES = [("seconds", "faster", seconds), ("peak_mib", "smaller in memory", mebibytes), ("written", "writing less", size)]


def part(results):
    parts = results["parts"]
    tables = [one for key, part in parts.items() for one in part.get("tables", [])]
    if not any(row.tool.is_alike() for one in tables for row in one["rows"]) and not parts.get("live"):
        return ""
    lines = [line for one in tables for line in where_peers_win(one)]
    lines += in_live(parts.get("live", {})) + in_starting(parts.get("program", {}))
    return "\n".join(["## Where a peer wins", ""] + (
        lines or ["Nowhere in this run: no peer with a right answer was faster, or smaller in memory."]))


def where_peers_win(table):
    found = []
    right = [row for row in table["rows"] if not row.wrong and row.runs]
    for ours in (row for row in right if row.tool.is_alike()):
        same = [row for row in right if not row.tool.is_alike() and row.tool.synced == ours.tool.synced]
        for figure, word, shown in FIGURES:
            better = [row for row in same if is_less(row.median(figure), ours.median(figure))]
            if better:
                names = ", ".join(f"`{row.tool.label}` ({shown(row.median(figure))})"
                                  for row in sorted(better, key=lambda row: row.median(figure)))
                verb = "is" if len(better) == 1 else "are"
                found.append(f"- {table['title']}: {names} {verb} {word} than `{ours.tool.label}` "
                             f"({shown(ours.median(figure))}).")
    return found


def is_less(theirs, ours):
    return theirs is not None and ours is not None and theirs * TIE < ours


def in_live(part):
    if not part.get("writes") or part["wrong"]:
        return []
    ours, lines = sorted(part["writes"]), []
    for peer in (peer for peer in part["peers"] if not peer["wrong"]):
        theirs = sorted(peer["writes"])
        better = [f"{name} {milliseconds(percentile(theirs, share))} and not {milliseconds(percentile(ours, share))}"
                  for name, share in [("p50", 50), ("p90", 90), ("p99", 99), ("max", 100)]
                  if is_less(percentile(theirs, share), percentile(ours, share))]
        lines += [f"- Live: `{peer['label']}` is sooner: {', '.join(better)}."] if better else []
    return lines


def in_starting(part):
    starts = part.get("starts", {})
    if "alike --version" not in starts:
        return []
    ours, theirs = (starts[name]["median"] for name in ("alike --version", "rsync --version"))
    return [f"- Starting: `rsync --version` ({milliseconds(theirs)}) is faster than `alike --version` "
            f"({milliseconds(ours)})."] if is_less(theirs, ours) else []
