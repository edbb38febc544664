"""The pictures: a panel of bars for each workload, readable on a light and on a dark page."""

from html import escape

import measure

WIDTH, LEFT, RIGHT = 820, 330, 110
BAR, GAP, HEAD, FOOT = 18, 6, 44, 18

STYLE = """
  text { font: 13px system-ui, -apple-system, "Segoe UI", sans-serif; fill: #24292f }
  .title { font-size: 15px; font-weight: 600 }
  .quiet { fill: #656d76 }
  .peer { fill: #afb8c1 }
  .ours { fill: #0969da }
  .name { text-anchor: end }
  .strong { font-weight: 600 }
  @media (prefers-color-scheme: dark) {
    text { fill: #e6edf3 }
    .quiet { fill: #9198a1 }
    .peer { fill: #59636e }
    .ours { fill: #4493f8 }
  }
"""


# The picture that stands on the first page of the project; the other one has the rest.
MAIN = ["first", "nothing", "edited", "renamed"]
MORE = ["million", "delta", "filesystems", "cold", "index"]


def main(results):
    panels = panels_of(results, MAIN)
    live = results["parts"].get("live")
    if live and live.get("writes") and not live["wrong"]:
        panels.append(live_panel(live))
    return draw(panels)


def more(results):
    return draw(panels_of(results, MORE) + memory_panels(results["parts"].get("memory", {})))


def panels_of(results, keys):
    return [workload_panel(one) for key in keys for one in results["parts"].get(key, {}).get("tables", [])]


def draw(panels):
    """The SVG of some panels; empty when there are none."""
    body, y = [], 8
    for title, bars in panels:
        drawn, height = panel(title, bars, y)
        body += drawn
        y += height
    return "\n".join([
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {y}" width="{WIDTH}" height="{y}" role="img" '
        f'aria-label="{escape(summary(panels))}">',
        f"<style>{STYLE}</style>", *body, "</svg>", ""]) if panels else ""


def workload_panel(workload):
    """A title, and for each tool: name, value or none, the words at its end, whether it is alike."""
    bars = []
    for row in workload["rows"]:
        if row.wrong or not row.runs:
            bars.append((row.tool.label, None, "wrong", row.tool.is_alike()))
        else:
            value = row.median("seconds")
            bars.append((row.tool.label, value, f"{value:.2f} s", row.tool.is_alike()))
    return f"{workload['title']}, seconds", bars


def live_panel(live):
    bars = []
    peers = [peer for peer in live["peers"] if not peer["wrong"]]
    for name, part in [("p50", 50), ("p90", 90), ("p99", 99), ("max", 100)]:
        bars.append(live_bar(f"alike mirror, {name}" if peers else name, live["writes"], part, True))
        bars += [live_bar(f"{peer['label']}, {name}", peer["writes"], part, False) for peer in peers]
    return "Live: from a write to its copy, milliseconds", bars


def live_bar(name, writes, part, ours):
    value = measure.percentile(sorted(writes), part) * 1000
    return name, value, f"{value:.1f} ms", ours


def memory_panels(part):
    panels = []
    for phase, title in [("first", "first copy"), ("nothing", "nothing to do")]:
        bars = [(f"{row.tool.label}, {one['files']:,}", *peak(row), row.tool.is_alike())
                for one in part.get("tables", []) if one["phase"] == phase for row in one["rows"]]
        panels += [(f"Peak memory by files, {title}, MiB", bars)] if bars else []
    return panels


def peak(row):
    """A bar's value and its words."""
    if row.wrong or not row.runs:
        return None, "wrong"
    return row.median("peak_mib"), f"{row.median('peak_mib'):.0f} MiB"


def panel(title, bars, y):
    """The SVG of one panel from `y` down, and its height. Each panel has a scale of its own."""
    longest = max((value for _, value, _, _ in bars if value is not None), default=1.0) or 1.0
    room = WIDTH - LEFT - RIGHT
    drawn = [f'<text class="title" x="{LEFT}" y="{y + 24}">{escape(title)}</text>']
    line = y + HEAD - 8
    for name, value, words, ours in bars:
        middle = line + BAR - 5
        strong = " strong" if ours else ""
        drawn.append(f'<text class="name{strong}" x="{LEFT - 10}" y="{middle}">{escape(name)}</text>')
        length = 0 if value is None else max(1.5, value / longest * room)
        if value is not None:
            kind = "ours" if ours else "peer"
            drawn.append(f'<rect class="{kind}" x="{LEFT}" y="{line}" width="{length:.1f}" height="{BAR}" rx="2"/>')
        quiet = "" if ours else ' class="quiet"'
        drawn.append(f'<text{quiet} x="{LEFT + length + 8:.1f}" y="{middle}">{escape(words)}</text>')
        line += BAR + GAP
    return drawn, HEAD + len(bars) * (BAR + GAP) + FOOT


def summary(panels):
    return "; ".join(f"{title}: " + ", ".join(f"{name} {words}" for name, _, words, _ in bars) for title, bars in panels)
