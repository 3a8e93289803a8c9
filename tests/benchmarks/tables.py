"""Figures of rounds become the cells of Markdown tables."""

from collections.abc import Iterable, Mapping, Sequence
from statistics import median
from typing import Any

Row = Mapping[str, Any]


def number(value: float) -> str:
    """Three digits that mean something, and commas between thousands."""
    if value >= 1000:
        return f"{value:,.0f}"
    if value >= 100:
        return f"{value:.0f}"
    if value >= 10:
        return f"{value:.1f}"
    return f"{value:.2f}" if value else "0"


def spread(values: Sequence[float]) -> str:
    """The median of rounds, and from where to where they went."""
    middle = number(median(values))
    return middle if len(values) == 1 else f"{middle} ({number(min(values))}–{number(max(values))})"


def ratios(row: Row, yardstick: Row, figure: str) -> list[float]:
    """How many times the yardstick's figure, round by round."""
    return [one / other for one, other in zip(row[figure], yardstick[figure], strict=True)]


def ratio(row: Row, yardstick: Row, figure: str) -> float:
    """The median over the rounds of how many times the yardstick's figure."""
    return median(ratios(row, yardstick, figure))


def table(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """The first column is text, the others are numbers."""
    lines = ["| " + " | ".join(heads) + " |", "|---|" + "---:|" * (len(heads) - 1)]
    return "\n".join([*lines, *("| " + " | ".join(row) + " |" for row in rows)])


def named(rows: Iterable[Row], who: str, late: int | None = None) -> Row:
    """The row of that name."""
    return next(row for row in rows if row["who"] == who and row.get("late") == late)
