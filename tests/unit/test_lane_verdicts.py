"""What an outcome means for its batch, rule by rule."""

from typing import Any

import pytest

from scribe_export.errors import Applied, Rejected, SinkError, Throttled, Transient
from scribe_export.journal.batches import SealedBatch
from scribe_export.lane.verdict import Evidence, judge

MOST = 8
OTHERS = Evidence(other_got_through=True, alone=False)
OUTAGE = Evidence(other_got_through=False, alone=False)


def batch(*, count: int = 3, **more: Any) -> SealedBatch:
    """An open batch that is known only whole, unless `more` says otherwise."""
    values: dict[str, Any] = {"partition": "p", "shape": {}, "by_record": False} | more
    return SealedBatch(1, 0, 1, count, explicit=False, count=count, size=9, batch_id="b", digest="d", **values)


def action(sealed: SealedBatch, error: Exception, evidence: Evidence = OTHERS) -> str:
    return judge(sealed, error, evidence, MOST).action


def failed(applied: Applied) -> SinkError:
    return Transient("500", applied=applied)


@pytest.mark.parametrize(
    ("sealed", "error"),
    [
        (batch(unknown=True), Rejected("never")),
        (batch(unknown=True, attempts=MOST - 1), failed("no")),
        (batch(attempts=MOST - 1), failed("unknown")),
    ],
    ids=["refused now, unknown before", "failed now, unknown before", "unknown now"],
)
def test_what_may_have_been_applied_is_known_only_whole(sealed: SealedBatch, error: Exception) -> None:
    assert action(sealed, error) == "die"


@pytest.mark.parametrize(
    ("sealed", "error"),
    [
        (batch(), Rejected("never")),
        (batch(attempts=MOST - 1), failed("no")),
        (batch(unknown=True, by_record=True), Rejected("never")),
        (batch(attempts=MOST - 1, by_record=True), failed("unknown")),
    ],
    ids=["refused", "surely not applied", "refused, told by record", "unknown, told by record"],
)
def test_what_was_surely_not_applied_or_is_told_by_record_is_divided(sealed: SealedBatch, error: Exception) -> None:
    assert action(sealed, error) == "divide"


def test_while_nothing_else_gets_through_it_may_be_an_outage() -> None:
    for charged in (MOST - 1, MOST, 1000):
        assert action(batch(count=1, attempts=charged), failed("no"), OUTAGE) == "again"


def test_a_service_that_asks_for_less_speaks_against_no_batch_and_costs_no_attempt() -> None:
    verdict = judge(batch(attempts=MOST), Throttled("slow down"), OTHERS, MOST)
    assert (verdict.action, verdict.charge, verdict.speaks_against) == ("again", False, False)
