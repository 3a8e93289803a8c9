"""What a pipeline's destinations cost in a stretch of days, by a table of prices."""

import sqlite3
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, timedelta

from scribe_export.journal.usage import SCANS, today, usage_since
from scribe_export.usage.prices import Line, Prices

MILLION = 1_000_000


@dataclass(frozen=True, slots=True)
class DestinationBill:
    """One destination's: `scans` were confirmed; `cost` is None if nothing that it used has a price, and `monthly`, what
    its stored bytes cost a month until they are deleted, if it stored none that have one."""

    scans: float
    lines: tuple[Line, ...]
    cost: float | None
    monthly: float | None

    @property
    def per_million(self) -> float | None:
        """What a million scans cost at this rate, storage aside."""
        return self.cost / self.scans * MILLION if self.cost is not None and self.scans else None


@dataclass(frozen=True, slots=True)
class Bill:
    """From the UTC day `first` to `last`, both included."""

    first: date
    last: date
    destinations: Mapping[str, DestinationBill]

    @property
    def cost(self) -> float:
        """All of them, storage aside."""
        return sum(one.cost or 0.0 for one in self.destinations.values())

    @property
    def monthly(self) -> float:
        """What was stored in these days costs a month."""
        return sum(one.monthly or 0.0 for one in self.destinations.values())


def bills(connection: sqlite3.Connection, prices: Prices, now: float) -> dict[str, Bill]:
    """This month's and that of the last 30 days, both to the moment `now`, seconds since the epoch."""
    last = today(now)
    starts = {"month": last.replace(day=1), "last_30_days": last - timedelta(days=29)}
    return {name: _bill(connection, prices, first, last) for name, first in starts.items()}


def _bill(connection: sqlite3.Connection, prices: Prices, first: date, last: date) -> Bill:
    found = usage_since(connection, first)
    return Bill(first, last, {name: _of(usage, prices) for name, usage in sorted(found.items())})


def _of(usage: dict[str, float], prices: Prices) -> DestinationBill:
    scans = usage.pop(SCANS, 0.0)
    lines = tuple(prices.lines(usage))
    monthly = {line.price.monthly for line in lines if line.price}
    return DestinationBill(
        scans,
        lines,
        cost=prices.cost(usage) if False in monthly else None,
        monthly=prices.monthly(usage) if True in monthly else None,
    )
