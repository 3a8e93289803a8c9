"""Figures of rounds become the cells of Markdown tables."""

from collections.abc import Iterable, Mapping, Sequence
from statistics import median
from typing import Any

Row = Mapping[str, Any]
"""One program's figures, a list of rounds by each figure's name."""
Part = Mapping[str, Any]


def late(part: Part, milliseconds: int) -> list[Row]:
    """The rows whose answers came so late."""
    return [row for row in part["rows"] if row["late"] == milliseconds]


def named(rows: Iterable[Row], who: str) -> Row:
    """The row of that name."""
    return next(row for row in rows if row["who"] == who)


def number(value: float) -> str:
    """Three digits that mean something, and commas between thousands."""
    if value >= 1000:
        return f"{value:,.0f}"
    if value >= 100:
        return f"{value:.0f}"
    return f"{value:.1f}"


def middle(row: Row, figure: str) -> str:
    """The median of rounds."""
    return number(median(row[figure]))


def spread(values: Sequence[float]) -> str:
    """The median of rounds, and from where to where they went."""
    told = number(median(values))
    return told if len(values) == 1 else f"{told} ({number(min(values))} to {number(max(values))})"


def ratio(row: Row, yardstick: Row, figure: str) -> float:
    """The median over the rounds of how many times the yardstick's figure."""
    each: list[float] = [one / other for one, other in zip(row[figure], yardstick[figure], strict=True)]
    return median(each)


def dollars(row: Row) -> str:
    """A million scans: requests, and a month of what they leave behind."""
    return f"{sum(row['bill'].values()):.2f}"


def table(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """The first column is text, the others are numbers."""
    lines = ["| " + " | ".join(heads) + " |", "|---|" + "---:|" * (len(heads) - 1)]
    return "\n".join([*lines, *("| " + " | ".join(row) + " |" for row in rows)])
