"""What services charge for, by destination and UTC day: kept longer than receipts, as a bill is a month's."""

import sqlite3
import time
from collections.abc import Mapping
from datetime import UTC, date, datetime

from scribe_export.journal.database import Database

SCANS = "scans"
"""The unit of scans that were confirmed, which is counted for every destination."""
DAYS = 400
"""How long a day is kept: a year, and the month of the last bill."""

_UPSERT = (
    "INSERT INTO usage VALUES(?,?,?,?)"
    " ON CONFLICT(destination, day, unit) DO UPDATE SET amount = amount + excluded.amount"
)


def count_usage(db: Database, destination: str, amounts: Mapping[str, float]) -> None:
    """Add to today's."""
    day = _day(db.clock.now())
    db.connection.executemany(_UPSERT, [(destination, day, unit, amount) for unit, amount in amounts.items()])


def prune_usage(db: Database) -> None:
    """Forget days that are too old for any bill."""
    db.connection.execute("DELETE FROM usage WHERE day < ?", (_day(db.clock.now() - DAYS * 86400),))


def usage_since(connection: sqlite3.Connection, first: date) -> dict[str, dict[str, float]]:
    """From a UTC day on, by destination and unit; nothing from a journal that an older release has written."""
    if not connection.execute("SELECT 1 FROM sqlite_master WHERE name = 'usage'").fetchone():
        return {}
    found: dict[str, dict[str, float]] = {}
    rows = connection.execute(
        "SELECT destination, unit, sum(amount) FROM usage WHERE day >= ? GROUP BY destination, unit",
        (first.isoformat(),),
    )
    for destination, unit, amount in rows:
        found.setdefault(destination, {})[unit] = amount
    return found


def today(now: float) -> date:
    """The UTC day of a moment, seconds since the epoch."""
    return datetime.fromtimestamp(now, UTC).date()


def _day(now: float) -> str:
    return time.strftime("%Y-%m-%d", time.gmtime(now))
