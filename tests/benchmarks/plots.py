"""Bars as SVG, for light and dark pages alike."""

import math
from collections.abc import Mapping, Sequence
from xml.sax.saxutils import escape

WIDTH, LABEL, ROW, TOP = 760, 250, 26, 54
SIZE_LIMIT = 40_000
"""Bytes that a plot may take."""

# Eight hues that people who confuse red and green still tell apart. https://jfly.uni-koeln.de/color/
PALETTE = ("#0072b2", "#e69f00", "#009e73", "#cc79a7", "#56b4e9", "#d55e00", "#b0a200", "#8d6ec8", "#7f7f7f", "#5d7a3a")
OURS, OTHERS = PALETTE[0], "#a9763d"

_STYLE = (
    "text{font:13px sans-serif;fill:#24292f}.q{fill:#57606a}.h{font-weight:600}line{stroke:#d0d7de}"
    "@media(prefers-color-scheme:dark){text{fill:#e6edf3}.q{fill:#9198a1}line{stroke:#3d444d}}"
)


def bars(title: str, values: Mapping[str, float], *, ours: str, told: Mapping[str, str]) -> str:
    """A bar for each name, on a scale of powers of ten; `ours` is how the names of ours begin, `told` their ends."""
    low = 10 ** math.floor(math.log10(min(values.values())))
    high = max(values.values())
    space = WIDTH - LABEL - 110

    def length(value: float) -> float:
        return max(2.0, space * math.log10(value / low) / math.log10(high / low))

    parts = []
    power = low
    while power <= high:
        x = LABEL + length(power) if power > low else LABEL
        parts.append(f'<line x1="{x:.1f}" x2="{x:.1f}" y1="{TOP - 8}" y2="{TOP + ROW * len(values)}"/>')
        parts.append(f'<text class="q" x="{x:.1f}" y="{TOP - 12}" text-anchor="middle">{power:,.10g}</text>')
        power *= 10
    for at, (name, value) in enumerate(values.items()):
        y = TOP + at * ROW
        colour = OURS if name.startswith(ours) else OTHERS
        parts.append(f'<text x="{LABEL - 8}" y="{y + 17}" text-anchor="end">{escape(name)}</text>')
        parts.append(f'<rect x="{LABEL}" y="{y + 4}" width="{length(value):.1f}" height="{ROW - 8}" fill="{colour}"/>')
        parts.append(f'<text x="{LABEL + length(value) + 6:.1f}" y="{y + 17}">{escape(told[name])}</text>')
    return _svg(title, TOP + ROW * len(values) + 10, parts)


def stacks(title: str, names: Sequence[str], columns: Mapping[str, Sequence[float]]) -> str:
    """A bar for each column, made of one piece for each of `names`, and what the colours mean."""
    high = max(sum(pieces) for pieces in columns.values())
    left, space = 110, WIDTH - 110 - 80
    parts = []
    for at, (column, pieces) in enumerate(columns.items()):
        y, x = TOP + at * ROW, float(left)
        parts.append(f'<text x="{left - 8}" y="{y + 17}" text-anchor="end">{escape(column)}</text>')
        for piece, colour in zip(pieces, PALETTE, strict=False):
            width = space * piece / high
            parts.append(f'<rect x="{x:.1f}" y="{y + 4}" width="{width:.1f}" height="{ROW - 8}" fill="{colour}"/>')
            x += width
        parts.append(f'<text x="{x + 6:.1f}" y="{y + 17}">{sum(pieces):.0f}</text>')
    base = TOP + ROW * len(columns) + 14
    for at, (name, colour) in enumerate(zip(names, PALETTE, strict=False)):
        x, y = 20 + at % 4 * 185, base + at // 4 * 22
        parts.append(f'<rect x="{x}" y="{y}" width="12" height="12" fill="{colour}"/>')
        parts.append(f'<text class="q" x="{x + 18}" y="{y + 11}">{escape(name)}</text>')
    return _svg(title, base + (len(names) + 3) // 4 * 22 + 6, parts)


def _svg(title: str, height: int, parts: Sequence[str]) -> str:
    head = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" width="{WIDTH}" height="{height}"'
    heading = f'<text class="h" x="20" y="18">{escape(title)}</text>'
    lines = [f'{head} role="img">', f"<title>{escape(title)}</title>", f"<style>{_STYLE}</style>", heading]
    return "\n".join([*lines, *parts, "</svg>\n"])
