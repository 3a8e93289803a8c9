"""What an outcome means for its batch, rule by rule."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from support.journals import destinations, journalled, new_scan, opened, sealed

from scribe_export.errors import Applied, Misconfigured, PartialFailure, Rejected, SinkError, Throttled, Transient
from scribe_export.journal.batches import SealedBatch
from scribe_export.journal.database import Database
from scribe_export.lane.sending import Failed
from scribe_export.lane.settling import settlement
from scribe_export.lane.verdict import Evidence, judge
from scribe_export.patterns import RetryPolicy

MOST = 8
OTHERS = Evidence(other_got_through=True, alone=False)
OUTAGE = Evidence(other_got_through=False, alone=False)


def batch(*, count: int = 3, **more: Any) -> SealedBatch:
    """An open batch that is known only whole, unless `more` says otherwise."""
    values: dict[str, Any] = {"partition": "p", "shape": {}, "by_record": False} | more
    return SealedBatch(1, 0, 1, count, explicit=False, count=count, size=9, batch_id="b", digest="d", **values)


def action(one: SealedBatch, error: Exception, evidence: Evidence = OTHERS) -> str:
    return judge(one, error, evidence, MOST).action


def failed(applied: Applied) -> SinkError:
    return Transient("500", applied=applied)


@pytest.mark.parametrize(
    ("one", "error"),
    [
        (batch(unknown=True), Rejected("never")),
        (batch(unknown=True, attempts=MOST - 1), failed("no")),
        (batch(attempts=MOST - 1), failed("unknown")),
    ],
    ids=["refused now, unknown before", "failed now, unknown before", "unknown now"],
)
def test_what_may_have_been_applied_is_known_only_whole(one: SealedBatch, error: Exception) -> None:
    assert action(one, error) == "die"


@pytest.mark.parametrize(
    ("one", "error"),
    [
        (batch(), Rejected("never")),
        (batch(attempts=MOST - 1), failed("no")),
        (batch(unknown=True, by_record=True), Rejected("never")),
        (batch(attempts=MOST - 1, by_record=True), failed("unknown")),
    ],
    ids=["refused", "surely not applied", "refused, told by record", "unknown, told by record"],
)
def test_what_was_surely_not_applied_or_is_told_by_record_is_divided(one: SealedBatch, error: Exception) -> None:
    assert action(one, error) == "divide"


def test_while_nothing_else_gets_through_it_may_be_an_outage() -> None:
    for charged in (MOST - 1, MOST, 1000):
        assert action(batch(count=1, attempts=charged), failed("no"), OUTAGE) == "again"


def test_a_service_that_asks_for_less_speaks_against_no_batch_and_costs_no_attempt() -> None:
    verdict = judge(batch(attempts=MOST), Throttled("slow down"), OTHERS, MOST)
    assert (verdict.action, verdict.charge, verdict.speaks_against) == ("again", False, False)


@pytest.fixture
def db(tmp_path: Path) -> Iterator[Database]:
    with opened(tmp_path / "state") as database:
        destinations(database, "queue")
        journalled(database, *(new_scan(number) for number in (1, 2, 3)))
        yield database


def after(db: Database, failure: PartialFailure) -> list[SealedBatch]:
    """What waits for another attempt after a write of three records, each told by itself, that failed so."""
    (whole,) = sealed(db, 0)
    done = settlement(whole, Failed(failure, "write"), evidence=OTHERS, retry=RetryPolicy(MOST))
    with db.transaction():
        return done.command(db)


def test_what_a_partial_failure_does_not_mention_may_have_been_applied(db: Database) -> None:
    (rest,) = after(db, PartialFailure({0}, {1: Transient("later", applied="no")}))
    assert (rest.count, rest.unknown, rest.attempts) == (2, True, 1)


def test_what_a_partial_failure_says_was_not_applied_was_not(db: Database) -> None:
    (rest,) = after(db, PartialFailure({0}, dict.fromkeys((1, 2), Transient("later", applied="no"))))
    assert (rest.count, rest.unknown, rest.attempts) == (2, False, 1)


def test_wrong_credentials_for_some_of_a_batch_cost_it_no_attempt(db: Database) -> None:
    (rest,) = after(db, PartialFailure({0}, dict.fromkeys((1, 2), Misconfigured("denied"))))
    assert (rest.count, rest.attempts) == (2, 0)
