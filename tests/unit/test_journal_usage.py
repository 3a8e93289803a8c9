"""What the journal adds up of services' units, by UTC day."""

from datetime import UTC, date, datetime
from pathlib import Path

import pytest
from support.journals import opened

from scribe_export.journal.database import Database
from scribe_export.journal.usage import DAYS, count_usage, prune_usage, usage_since
from scribe_export.testing.clock import SimulatedClock
from scribe_export.usage.bill import bills
from scribe_export.usage.prices import load

EVER = date(1970, 1, 1)


def at(text: str) -> SimulatedClock:
    return SimulatedClock(start=datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp())


def count(db: Database, **amounts: float) -> None:
    with db.transaction():
        count_usage(db, "archive", amounts)


def undone(db: Database, **amounts: float) -> None:
    db.begin()
    count_usage(db, "archive", amounts)
    db.rollback()


def set_to(db: Database, text: str) -> None:
    db.clock = at(text)


def test_amounts_of_a_day_are_added_up_by_destination_and_unit(tmp_path: Path) -> None:
    with opened(tmp_path) as db:
        count(db, requests=1, bytes_sent=10)
        count(db, requests=2, bytes_sent=20)
        count(db, requests=4)
        count(db, requests=8, stored_bytes=5)
        count(db, requests=16, bytes_sent=40, stored_bytes=7)
        with db.transaction():
            count_usage(db, "queue", {"requests": 100})
        assert usage_since(db.connection, EVER) == {
            "archive": {"requests": 31, "bytes_sent": 70, "stored_bytes": 12},
            "queue": {"requests": 100},
        }


def test_a_day_ends_at_midnight_utc(tmp_path: Path) -> None:
    with opened(tmp_path) as db:
        for moment in ("2026-11-24T23:59:59", "2026-11-25T00:00:00", "2026-11-25T23:59:59"):
            set_to(db, moment)
            count(db, requests=1)
        rows = db.connection.execute("SELECT day, amount FROM usage ORDER BY day").fetchall()
        assert rows == [("2026-11-24", 1.0), ("2026-11-25", 2.0)]
        assert usage_since(db.connection, date(2026, 11, 25)) == {"archive": {"requests": 2}}


def test_what_is_undone_is_not_counted(tmp_path: Path) -> None:
    with opened(tmp_path) as db:
        undone(db, requests=1)
        undone(db, requests=1)
        count(db, requests=1)
        undone(db, requests=1, bytes_sent=1)
        count(db, requests=1, bytes_sent=5)
        assert usage_since(db.connection, EVER) == {"archive": {"requests": 2, "bytes_sent": 5}}


def test_counting_goes_on_after_somebody_has_removed_the_rows(tmp_path: Path) -> None:
    with opened(tmp_path) as db:
        count(db, requests=1, bytes_sent=1)
        db.connection.execute("DELETE FROM usage")
        count(db, requests=2, bytes_sent=3)
        assert usage_since(db.connection, EVER) == {"archive": {"requests": 2, "bytes_sent": 3}}


def test_days_are_forgotten_only_when_no_bill_can_ask_for_them(tmp_path: Path) -> None:
    with opened(tmp_path, clock=at("2025-10-21T00:00:00")) as db:
        count(db, requests=1)
        set_to(db, "2025-10-22T00:00:00")
        count(db, requests=2)
        set_to(db, "2026-11-25T12:00:00")
        with db.transaction():
            prune_usage(db)
        assert (date(2026, 11, 25) - date(2025, 10, 21)).days == DAYS
        assert usage_since(db.connection, EVER) == {"archive": {"requests": 3}}
        set_to(db, "2026-11-26T12:00:00")
        with db.transaction():
            prune_usage(db)
        assert usage_since(db.connection, EVER) == {"archive": {"requests": 2}}


def test_a_month_begins_on_its_first_day_and_thirty_days_end_today(tmp_path: Path) -> None:
    with opened(tmp_path) as db:
        for day in ("2026-10-26", "2026-10-27", "2026-10-31", "2026-11-01", "2026-11-25"):
            set_to(db, f"{day}T12:00:00")
            with db.transaction():
                count_usage(db, "archive", {"aws_s3.put_requests": 1000, "aws_s3.stored_bytes": 2**30, "scans": 500})
        found = bills(db.connection, load(), db.clock.now())
        month, last = found["month"].destinations["archive"], found["last_30_days"].destinations["archive"]
        assert (found["month"].first, found["last_30_days"].first) == (date(2026, 11, 1), date(2026, 10, 27))
        assert (month.scans, last.scans) == (1000, 2000)
        assert (month.cost, last.cost) == pytest.approx((0.010, 0.020))
        assert (month.monthly, last.monthly) == pytest.approx((0.046, 0.092))
        assert month.per_million == last.per_million == pytest.approx(10.0)


def test_what_has_no_price_costs_nobody_knows_what(tmp_path: Path) -> None:
    with opened(tmp_path) as db:
        with db.transaction():
            count_usage(db, "mail", {"letters": 7, "scans": 7})
            count_usage(db, "lake", {"gcp_bigquery.loaded_bytes": 5, "scans": 7})
        month = bills(db.connection, load(), db.clock.now())["month"]
        assert month.destinations["mail"].cost is None
        assert month.destinations["mail"].per_million is None
        assert month.destinations["lake"].cost == 0.0
        assert month.cost == 0.0
