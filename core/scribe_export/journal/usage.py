"""What services charge for, by destination and UTC day: kept longer than receipts, as a bill is a month's."""

import functools
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
    """Add to today's. One statement where the day has these units already, which costs half of one for each."""
    if not amounts:
        return
    day = _day(int(db.clock.now() // 86400))
    known = db.counted.get((destination, day), frozenset())
    if known.issuperset(amounts):
        values = [value for pair in amounts.items() for value in pair]
        # None only if somebody has removed the day's rows, which go together.
        if db.connection.execute(_addition(len(amounts)), (destination, day, *values)).rowcount:
            return
    db.connection.executemany(_UPSERT, [(destination, day, unit, amount) for unit, amount in amounts.items()])
    db.after_commit.append(functools.partial(_remember, db, destination, day, known.union(amounts)))


def _remember(db: Database, destination: str, day: str, units: frozenset[str]) -> None:
    """These have rows by now. Those of other days are not needed any more."""
    for other in [key for key in db.counted if key[0] == destination]:
        del db.counted[other]
    db.counted[destination, day] = units


@functools.cache
def _addition(count: int) -> str:
    """Adds to so many units; the others of the day stay as they are."""
    cases = " ".join(f"WHEN ?{2 * number + 3} THEN ?{2 * number + 4}" for number in range(count))
    return f"UPDATE usage SET amount = amount + CASE unit {cases} ELSE 0 END WHERE destination=?1 AND day=?2"  # noqa: S608


def prune_usage(db: Database) -> None:
    """Forget days that are too old for any bill."""
    db.connection.execute("DELETE FROM usage WHERE day < ?", (_day(int(db.clock.now() // 86400) - DAYS),))


def usage_since(connection: sqlite3.Connection, first: date) -> dict[str, dict[str, float]]:
    """From a UTC day on, by destination and unit."""
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


@functools.lru_cache(maxsize=4)
def _day(number: int) -> str:
    """By its number since the epoch."""
    return time.strftime("%Y-%m-%d", time.gmtime(number * 86400))
