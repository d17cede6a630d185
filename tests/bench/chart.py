# SPDX-License-Identifier: Apache-2.0
"""Line charts with two logarithmic axes as SVG: no dependency, readable on light and dark pages.

chart(title, x_label, y_label, series) returns the SVG's text. `series` is [(name, points)], a point
(x, middle, low, high): the line goes through the middles, a bar spans low to high. An x of 0,
which no logarithm has, stands left of the axis's start. Raises ValueError for values below 0, or no
point at all.
"""

import math
from xml.sax.saxutils import escape

WIDTH, HEIGHT = 760, 430
LEFT, RIGHT, TOP, BOTTOM = 86, 24, 78, 58
STYLE = """
  .page { fill: #ffffff; } .text { fill: #1f2328; font: 13px system-ui, sans-serif; }
  .title { font-size: 16px; font-weight: 600; }
  .grid { stroke: #d8dee4; } .axis { stroke: #57606a; }
  .s0 { color: #0550ae; } .s1 { color: #b35900; } .s2 { color: #1a7f37; } .s3 { color: #8250df; }
  @media (prefers-color-scheme: dark) {
    .page { fill: #0d1117; } .text { fill: #e6edf3; } .grid { stroke: #30363d; }
    .axis { stroke: #8b949e; } .s0 { color: #79b8ff; } .s1 { color: #ffb366; }
    .s2 { color: #7ee787; } .s3 { color: #d2a8ff; }
  }"""
SYMBOLS = 4  # as many series can be told apart


def short(value):
    """1 k, 250 k, 1.5 M"""
    for size, unit in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if value >= size:
            return f"{value / size:g} {unit}"
    return f"{value:g}"


def binary(value):
    """16 B, 4 KiB, 1 MiB"""
    for size, unit in ((2**20, "MiB"), (2**10, "KiB")):
        if value >= size:
            return f"{value / size:g} {unit}"
    return f"{value:g} B"


class Axis:
    """Maps values to a stretch of pixels by their logarithm."""

    def __init__(self, values, start, end, zero=False):
        positive = [value for value in values if value > 0]
        if not positive or min(values) < 0:
            raise ValueError("a logarithmic axis needs values above 0")
        self.low, self.high = math.floor(math.log10(min(positive))), math.log10(max(positive))
        self.high = max(math.ceil(self.high - 1e-9), self.low + 1)
        self.start, self.end, self.zero = start, end, zero
        if zero:
            self.low -= 1  # where 0 stands

    def at(self, value):
        exponent = self.low if value <= 0 else math.log10(value)
        return self.start + (exponent - self.low) / (self.high - self.low) * (self.end - self.start)

    def ticks(self):
        first = self.low + 1 if self.zero else self.low
        out = [0] if self.zero else []
        return out + [10 ** exponent for exponent in range(first, self.high + 1)]


def mark(kind, x, y):
    """Shapes differ as well as colours."""
    if kind == 0:
        return f'<circle cx="{x:.1f}" cy="{y:.1f}" r="4" fill="currentColor"/>'
    corners = {1: ((-4, -4), (4, -4), (4, 4), (-4, 4)), 2: ((0, -5), (5, 4), (-5, 4)),
               3: ((0, -5), (5, 0), (0, 5), (-5, 0))}[kind]
    points = " ".join(f"{x + dx:.1f},{y + dy:.1f}" for dx, dy in corners)
    return f'<polygon points="{points}" fill="currentColor"/>'


def text(x, y, words, extra="", kind="text"):
    return f'<text class="{kind}" x="{x:.1f}" y="{y:.1f}" {extra}>{escape(words)}</text>'


def line(kind, x1, y1, x2, y2):
    return f'<line class="{kind}" x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}"/>'


def frame(title, x_axis, y_axis, x_label, y_label, x_ticks, x_format):
    bottom = HEIGHT - BOTTOM
    out = [text(LEFT, 26, title, kind="text title")]
    for tick in y_axis.ticks():
        y = y_axis.at(tick)
        out += [line("grid", LEFT, y, WIDTH - RIGHT, y),
                text(LEFT - 8, y + 4, short(tick), 'text-anchor="end"')]
    for tick in x_ticks if x_ticks is not None else x_axis.ticks():
        x = x_axis.at(tick)
        out += [line("grid", x, TOP, x, bottom),
                text(x, bottom + 18, x_format(tick), 'text-anchor="middle"')]
    return out + [line("axis", LEFT, bottom, WIDTH - RIGHT, bottom),
                  line("axis", LEFT, TOP, LEFT, bottom),
                  text((LEFT + WIDTH - RIGHT) / 2, HEIGHT - 14, x_label, 'text-anchor="middle"'),
                  text(18, (TOP + bottom) / 2, y_label,
                       f'text-anchor="middle" transform="rotate(-90 18 {(TOP + bottom) / 2})"')]


def curve(kind, points, x_axis, y_axis):
    places = [(x_axis.at(x), y_axis.at(middle), y_axis.at(low), y_axis.at(high))
              for x, middle, low, high in sorted(points)]
    path = " ".join(f"{x:.1f},{y:.1f}" for x, y, _, _ in places)
    out = [f'<g class="s{kind}" stroke="currentColor">',
           f'<polyline points="{path}" fill="none" stroke-width="2"/>']
    out += [line("bar", x, low, x, high) for x, _, low, high in places if low != high]
    return out + [mark(kind, x, y) for x, y, _, _ in places] + ["</g>"]


def chart(title, x_label, y_label, series, x_ticks=None, x_format=short):
    if len(series) > SYMBOLS:
        raise ValueError(f"more than {SYMBOLS} series")
    points = [point for _, some in series for point in some]
    xs = [point[0] for point in points]
    x_axis = Axis(xs or [0], LEFT, WIDTH - RIGHT, zero=0 in xs)
    y_axis = Axis([value for point in points for value in point[1:] if value > 0] or [0],
                  HEIGHT - BOTTOM, TOP)
    out = [f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" '
           f'width="{WIDTH}" height="{HEIGHT}" role="img" aria-label="{escape(title)}">',
           f"<style>{STYLE}\n</style>",
           f'<rect class="page" width="{WIDTH}" height="{HEIGHT}"/>',
           *frame(title, x_axis, y_axis, x_label, y_label, x_ticks, x_format)]
    left = LEFT
    for kind, (name, some) in enumerate(series):
        out += [f'<g class="s{kind}">{mark(kind, left + 5, 50)}</g>', text(left + 16, 54, name)]
        left += 34 + 7 * len(name)
        out += curve(kind, some, x_axis, y_axis)
    return "\n".join(out + ["</svg>"]) + "\n"
