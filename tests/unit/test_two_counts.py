"""`status` counts the journal's rows, `/metrics` and its page remember what they passed over: both say the same."""

from collections.abc import Callable
from pathlib import Path

import pytest
from support.journals import destinations, journalled, new_scan, opened, sealed

from scribe_export.journal.collect import Collector
from scribe_export.journal.database import Database
from scribe_export.journal.destinations import forget, keep_breaker, keep_paused
from scribe_export.journal.forget import forget_scan
from scribe_export.journal.glance import Glancer, JournalGlance
from scribe_export.journal.settle import again, delivered, die, partly
from scribe_export.journal.status import journal_status


def step(db: Database, change: Callable[[], object]) -> None:
    with db.transaction():
        change()


def collect(db: Database) -> None:
    collector = Collector()
    with db.transaction():
        while collector.collect(db):
            pass


def looked(glancer: Glancer, db: Database) -> JournalGlance:
    while (glance := glancer.look(db)) is None:
        pass
    return glance


def compared(db: Database, lasting: Glancer) -> None:
    """By one who has looked all along, and by one who looks for the first time."""
    status = journal_status(db.connection, db.clock.now())
    for glancer in (lasting, Glancer()):
        glance = looked(glancer, db)
        assert [
            (row.name, row.state, row.delivered, row.delivered_bytes, row.dead, row.waiting, row.paused, row.last_error)
            for row in glance.destinations
        ] == [
            (row.name, row.state, row.delivered, row.delivered_bytes, row.dead, row.pending, row.paused, row.last_error)
            for row in status.destinations
        ]
        for mine, theirs in zip(glance.destinations, status.destinations, strict=True):
            assert mine.oldest is None or mine.oldest == pytest.approx(theirs.oldest_pending_seconds, abs=1.0)
            assert (mine.oldest is None) == (theirs.pending == 0), mine.name
        told = (glance.scans, glance.duplicates, glance.conflicts, glance.unrouted, glance.unplaced)
        assert told == (status.scans, status.duplicates, status.conflicts, status.unrouted, status.invalid)


def test_both_counts_agree_after_whatever_lanes_and_operators_do(tmp_path: Path) -> None:
    with opened(tmp_path / "state") as db:
        lasting = Glancer()
        destinations(db, "a", "b", "c")
        compared(db, lasting)
        journalled(db, *(new_scan(number, mask=0b111) for number in range(1, 41)))
        journalled(db, *(new_scan(number, mask=0b001) for number in range(41, 51)))
        journalled(db, new_scan(1, mask=0b111))
        compared(db, lasting)
        first, second, third = (sealed(db, 0, after, limit=10)[0] for after in (0, 10, 20))
        (other,) = sealed(db, 1, 0, limit=15)
        compared(db, lasting)
        step(db, lambda: delivered(db, first, "put"))
        step(db, lambda: die(db, second, "poison", "never"))
        seqs = list(range(21, 31))
        step(
            db,
            lambda: partly(
                db, third, seqs[:4], {seqs[4]: ("rejected", "no")}, answer="some", next_at=0.0, unknown=False
            ),
        )
        step(
            db,
            lambda: again(db, other, kind="transient", error="down", next_at=0.0, charge=True, unknown=False),
        )
        compared(db, lasting)
        step(db, lambda: keep_breaker(db, 1, {"state": "open", "reason": "five in a row"}))
        step(db, lambda: keep_paused(db, "c", paused=True))
        compared(db, lasting)
        step(db, lambda: keep_paused(db, "c", paused=False))
        step(db, lambda: forget_scan(db, "35"))
        compared(db, lasting)
        destinations(db, "a", "b")
        compared(db, lasting)
        step(db, lambda: forget(db, "c"))
        collect(db)
        compared(db, lasting)
        destinations(db, "a", "b", "c")
        journalled(db, *(new_scan(number, mask=0b1111) for number in range(51, 61)))
        compared(db, lasting)
