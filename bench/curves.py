"""A picture of lines: how far behind a mirror is as the rate of changes grows, both on scales of powers of ten."""

import math
from html import escape

import chart

WIDTH, HEIGHT = 820, 420
LEFT, RIGHT, TOP, BOTTOM = 90, 200, 50, 50
SHOWN = [("p50", ""), ("p99", "6 4")]

STYLE = """
  .line { fill: none; stroke-width: 2.5 }
  .grid { stroke: #d0d7de; stroke-width: 1 }
  .c0 { stroke: #0969da } .c1 { stroke: #1a7f37 } .c2 { stroke: #9a6700 } .c3 { stroke: #8250df }
  .t0 { fill: #0969da } .t1 { fill: #1a7f37 } .t2 { fill: #9a6700 } .t3 { fill: #8250df }
  .middle { text-anchor: middle }
  @media (prefers-color-scheme: dark) {
    .grid { stroke: #3d444d }
    .c0 { stroke: #4493f8 } .c1 { stroke: #3fb950 } .c2 { stroke: #d29922 } .c3 { stroke: #ab7df8 }
    .t0 { fill: #4493f8 } .t1 { fill: #3fb950 } .t2 { fill: #d29922 } .t3 { fill: #ab7df8 }
  }
"""


def rates(part):
    """The SVG; empty when there is nothing to show."""
    lines = [(mirror["label"], number, name, dashes, [(one["rate"], one[name]) for one in mirror["rates"]])
             for number, mirror in enumerate(part.get("mirrors", [])) if not mirror["wrong"] for name, dashes in SHOWN]
    points = [point for *_, points in lines for point in points]
    if not points:
        return ""
    across, up = Scale([rate for rate, _ in points], LEFT, WIDTH - RIGHT), \
        Scale([seconds for _, seconds in points], HEIGHT - BOTTOM, TOP)
    body = [f'<text class="title" x="{LEFT}" y="28">Behind by, as the rate of changes grows: half (solid) and 99 of 100 (dashed) within</text>']
    body += grid(across, up)
    ends = []
    for label, number, name, dashes, found in lines:
        drawn = " ".join(f"{across.at(rate):.1f},{up.at(seconds):.1f}" for rate, seconds in found)
        body.append(f'<polyline class="line c{number % 4}" stroke-dasharray="{dashes}" points="{drawn}"/>')
        ends.append((up.at(found[-1][1]), number, f"{label}, {name}"))
    body += names_at(ends)
    told = "; ".join(f"{label}, {name}: " + ", ".join(f"{rate:,} a second {duration(value)}" for rate, value in found)
                     for label, _, name, _, found in lines)
    return "\n".join([
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" width="{WIDTH}" height="{HEIGHT}" role="img" '
        f'aria-label="{escape(told)}">', f"<style>{chart.STYLE}{STYLE}</style>", *body, "</svg>", ""])


class Scale:
    """From the power of ten below the least to the one above the most, onto a stretch of the picture."""

    def __init__(self, values, begin, end):
        logs = [math.log10(max(value, 1e-5)) for value in values]
        self.low, self.high = math.floor(min(logs)), math.ceil(max(logs))
        self.high = max(self.high, self.low + 1)
        self.begin, self.end = begin, end

    def at(self, value):
        share = (math.log10(max(value, 1e-5)) - self.low) / (self.high - self.low)
        return self.begin + share * (self.end - self.begin)

    def tens(self):
        return [10.0 ** power for power in range(self.low, self.high + 1)]


def grid(across, up):
    drawn = []
    for rate in across.tens():
        x = across.at(rate)
        drawn.append(f'<line class="grid" x1="{x:.1f}" x2="{x:.1f}" y1="{up.begin}" y2="{up.end}"/>')
        drawn.append(f'<text class="quiet middle" x="{x:.1f}" y="{up.begin + 20}">{rate:,.0f}</text>')
    for seconds in up.tens():
        y = up.at(seconds)
        drawn.append(f'<line class="grid" x1="{across.begin}" x2="{across.end}" y1="{y:.1f}" y2="{y:.1f}"/>')
        drawn.append(f'<text class="quiet name" x="{across.begin - 8}" y="{y + 4:.1f}">{duration(seconds)}</text>')
    middle = (across.begin + across.end) / 2
    drawn.append(f'<text class="quiet middle" x="{middle}" y="{up.begin + 40}">files a second</text>')
    return drawn


def names_at(ends):
    """The name of each line at its end, none over another."""
    drawn, free = [], 0.0
    for y, number, words in sorted(ends):
        free = max(free, y + 4)
        drawn.append(f'<text class="t{number % 4}" x="{WIDTH - RIGHT + 8}" y="{free:.1f}">{escape(words)}</text>')
        free += 16
    return drawn


def duration(seconds):
    return f"{seconds:g} s" if seconds >= 1 else f"{seconds * 1000:.3g} ms"
