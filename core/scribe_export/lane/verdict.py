"""What one outcome means for its batch: the rules that tell a poisonous record from a destination that is down.

An outage is held, poison is found. A batch that used up its attempts is suspect: it is sent again only after a different
batch got through. If it fails once more then, it is at fault and is divided until single records are left, and one that
still fails is dead, class ``poison`` or that of its own failure. While nothing gets through, nothing is dead-lettered.
"""

from dataclasses import dataclass
from typing import Literal

from scribe_export.errors import Misconfigured, PartialFailure, Rejected, SinkError, Throttled, Transient
from scribe_export.journal.batches import SealedBatch

BUG_ATTEMPTS = 3


@dataclass(frozen=True, slots=True)
class Evidence:
    """What the lane knows at a failure: whether a different batch got through since this batch failed before, and
    whether there is any other batch or waiting scan that could."""

    other_got_through: bool
    alone: bool


@dataclass(frozen=True, slots=True)
class Verdict:
    """`again` after backoff (charged or not), `divide` in two, `refuse` its one record, or `die` whole; `kind` is the
    class, and `speaks_against` whether the breaker counts it."""

    action: Literal["again", "divide", "refuse", "die"]
    kind: str
    charge: bool = True
    speaks_against: bool = True


def judge(batch: SealedBatch, error: Exception, evidence: Evidence, max_attempts: int) -> Verdict:
    """For every error but `PartialFailure`, whose records are judged one by one."""
    assert not isinstance(error, PartialFailure)
    if isinstance(error, Misconfigured):
        return Verdict("again", error.kind, charge=False)
    if isinstance(error, Throttled):
        return Verdict("again", error.kind, charge=False, speaks_against=False)
    if isinstance(error, Rejected):
        return _rejected(batch, error)
    bug = not isinstance(error, SinkError)
    kind = "bug" if bug else error.kind if isinstance(error, Transient) else "error"
    limit = min(BUG_ATTEMPTS, max_attempts) if bug else max_attempts
    if batch.attempts + 1 < limit:
        return Verdict("again", kind)
    unknown = batch.unknown or bug or (isinstance(error, SinkError) and error.applied == "unknown")
    divisible = batch.count > 1 and (batch.by_record or not unknown)
    if not bug and not evidence.other_got_through:
        return Verdict("divide" if divisible and evidence.alone else "again", kind)
    if divisible:
        return Verdict("divide", kind)
    return Verdict("die", kind if bug or _of_its_own(error) else "poison")


def _of_its_own(error: Exception) -> bool:
    return isinstance(error, Transient) and error.kind != type(error).kind


def _rejected(batch: SealedBatch, error: Rejected) -> Verdict:
    if batch.count == 1:
        return Verdict("refuse" if batch.divisible else "die", error.kind, speaks_against=False)
    return Verdict("divide" if batch.divisible else "die", error.kind, charge=False, speaks_against=False)
