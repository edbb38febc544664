"""The picture: a panel of bars for each workload, readable on a light and on a dark page."""

from html import escape

WIDTH, LEFT, RIGHT = 820, 240, 130
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


def draw(results):
    panels = [workload_panel(workload) for workload in results["workloads"]]
    if results["live"] and not results["live"]["wrong"]:
        panels.append(live_panel(results["live"]))
    body, y = [], 8
    for title, bars in panels:
        drawn, height = panel(title, bars, y)
        body += drawn
        y += height
    return "\n".join([
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {y}" width="{WIDTH}" height="{y}" role="img" '
        f'aria-label="{escape(summary(panels))}">',
        f"<style>{STYLE}</style>", *body, "</svg>", ""])


def workload_panel(workload):
    """A title, and for each tool: name, value or none, the words at its end, whether it is alike."""
    bars = []
    for row in workload["rows"]:
        if row.wrong:
            bars.append((row.tool.label, None, "wrong", row.tool.is_alike()))
        else:
            value = row.median("seconds")
            bars.append((row.tool.label, value, f"{value:.2f} s", row.tool.is_alike()))
    return f"{workload['title']}, seconds", bars


def live_panel(live):
    from measure import percentile
    writes = sorted(live["writes"])
    parts = [("p50", 50), ("p90", 90), ("p99", 99), ("max", 100)]
    values = [(name, percentile(writes, part) * 1000) for name, part in parts]
    return ("Live: from a write to its copy, milliseconds",
            [(name, value, f"{value:.1f} ms", True) for name, value in values])


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
