"""An outcome becomes one change of the ledger, and what the lane learns from it."""

import functools
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from scribe_export.errors import Misconfigured, PartialFailure, Rejected, SinkError, Throttled, Transient
from scribe_export.journal import settle
from scribe_export.journal.batches import SealedBatch, members_of
from scribe_export.journal.database import Database
from scribe_export.lane.sending import Delivered, Failed, Outcome, Refused, SetApart
from scribe_export.lane.spending import counting
from scribe_export.lane.verdict import Evidence, judge
from scribe_export.patterns import RetryPolicy
from scribe_export.redaction import redacted


@dataclass(frozen=True, slots=True)
class Settlement:
    """`command` changes the ledger and returns the batches that wait for another attempt, after `delay` seconds.

    `got_through`: something was confirmed. `failed`: the batch did not get through. The others say what the outcome
    means for the breaker and the lane's width.
    """

    command: Callable[[Database], list[SealedBatch]]
    delay: float = 0.0
    got_through: bool = False
    failed: bool = False
    misconfigured: bool = False
    throttled: bool = False
    speaks_against: bool = False
    reason: str = ""
    event: str = ""
    error: Exception | None = None

    def tell(self, log: Any, batch: SealedBatch) -> None:
        """Log it, at the level that its meaning for the operator asks for."""
        if self.event == "dead letter":
            log.error(self.event, batch=batch.batch_id, scans=batch.count, reason=self.reason, exc_info=self.error)
        elif self.event:
            log.info(
                self.event, batch=batch.batch_id, scans=batch.count, reason=self.reason, delay=round(self.delay, 3)
            )


def settlement(batch: SealedBatch, outcome: Outcome, *, evidence: Evidence, retry: RetryPolicy) -> Settlement:
    """What an outcome does; pure but for the drawn delay."""
    done = _settlement(batch, outcome, evidence, retry)
    if isinstance(outcome, Delivered | Failed) and outcome.spent:
        return replace(done, command=counting(done.command, outcome.spent))
    return done


def _settlement(batch: SealedBatch, outcome: Outcome, evidence: Evidence, retry: RetryPolicy) -> Settlement:
    if isinstance(outcome, Failed) and isinstance(outcome.error, SinkError) and outcome.error.burned:
        # The service says of the batch's name that no attempt under it had an effect.
        batch = replace(batch, unknown=False)
    if isinstance(outcome, Delivered):
        return Settlement(functools.partial(_delivered, batch, outcome.answer), got_through=True)
    if isinstance(outcome, Refused):
        refused = outcome.members
        reason = "; ".join(f"{kind}: {why}" for kind, why in list(refused.values())[:3])
        return Settlement(lambda db: settle.refuse(db, batch, refused), event="dead letter", reason=reason, failed=True)
    if isinstance(outcome, SetApart):
        return _set_apart(batch, outcome, retry)
    if isinstance(outcome.error, PartialFailure):
        whole = _as_one(batch, outcome.error)
        if whole is None:
            return _partly(batch, outcome.error, retry)
        outcome = Failed(whole, outcome.raised_in)
    return _failed(batch, outcome, evidence, retry)


def _set_apart(batch: SealedBatch, outcome: SetApart, retry: RetryPolicy) -> Settlement:
    """The rest goes on at once. Those set apart wait without being charged: nothing is known against them."""
    error = outcome.error
    delay = retry.delay(batch.attempts + 1, getattr(error, "retry_after", None))
    apart = batch.divisible and len(outcome.members) < batch.count

    def command(db: Database) -> list[SealedBatch]:
        if apart:
            return settle.set_apart(db, batch, outcome.members)
        text = redacted(f"waits for its claim store: {error}")
        return [
            settle.again(
                db, batch, kind="claim", error=text, next_at=db.clock.now() + delay, charge=False, unknown=False
            )
        ]

    return Settlement(
        command, delay=0.0 if apart else delay, reason=str(error), event="claim waits", error=_if_bug(error)
    )


def _if_bug(error: Exception) -> Exception | None:
    return None if isinstance(error, SinkError) else error


def _as_one(batch: SealedBatch, failure: PartialFailure) -> SinkError | None:
    """The error of the batch as a whole, if none of its records was confirmed or refused; then it is judged like any
    other that failed, so that a record which always fails is found. None if some records got somewhere."""
    errors = list(failure.errors.values())
    if failure.acked or len(errors) < batch.count or any(isinstance(error, Rejected) for error in errors):
        return None
    for kind in (Misconfigured, Throttled):
        found = next((error for error in errors if isinstance(error, kind)), None)
        if found:
            return found
    return next((error for error in errors if error.applied == "unknown"), errors[0])


def _delivered(batch: SealedBatch, answer: str, db: Database) -> list[SealedBatch]:
    settle.delivered(db, batch, answer)
    return []


def _failed(batch: SealedBatch, outcome: Failed, evidence: Evidence, retry: RetryPolicy) -> Settlement:
    error = outcome.error
    verdict = judge(batch, error, evidence, retry.max_attempts)
    unknown = outcome.raised_in == "write" and (not isinstance(error, SinkError) or error.applied == "unknown")
    after = error.retry_after if isinstance(error, Transient) else None
    delay = retry.delay(batch.attempts + 1, after) if verdict.action == "again" else 0.0
    said = redacted(str(error))
    reason = f"{verdict.kind}: {said}" if isinstance(error, SinkError) else f"bug: {type(error).__name__}: {said}"

    def command(db: Database) -> list[SealedBatch]:
        kept = settle.again(
            db,
            batch,
            kind=verdict.kind,
            error=said or type(error).__name__,
            next_at=db.clock.now() + delay,
            charge=verdict.charge,
            unknown=unknown,
            burned=isinstance(error, SinkError) and error.burned,
        )
        if verdict.action == "again":
            return [kept]
        if verdict.action == "divide":
            return settle.split(db, kept, attempts=max(0, min(kept.attempts, retry.max_attempts - 1)))
        if verdict.action == "refuse":
            seq = members_of(db, kept)[0].seq
            return settle.refuse(db, kept, {seq: (verdict.kind, said)})
        settle.die(db, kept, verdict.kind, said or type(error).__name__)
        return []

    return Settlement(
        command,
        delay=delay,
        failed=True,
        misconfigured=isinstance(error, Misconfigured),
        throttled=isinstance(error, Throttled),
        speaks_against=verdict.speaks_against,
        reason=reason,
        event={"again": "retry later", "divide": "batch divided"}.get(verdict.action, "dead letter"),
        error=_if_bug(error),
    )


def _partly(batch: SealedBatch, failure: PartialFailure, retry: RetryPolicy) -> Settlement:
    errors = failure.errors
    refused = {index: error for index, error in errors.items() if isinstance(error, Rejected)}
    kept = {index: error for index, error in errors.items() if index not in refused and index not in failure.acked}
    misconfigured = next((error for error in kept.values() if isinstance(error, Misconfigured)), None)
    unmentioned = batch.count - len(failure.acked | errors.keys())
    unknown = unmentioned > 0 or any(error.applied == "unknown" for error in kept.values())
    after = max((error.retry_after or 0.0 for error in kept.values() if isinstance(error, Transient)), default=0.0)
    delay = retry.delay(batch.attempts + 1, after or None) if kept or unmentioned else 0.0

    def command(db: Database) -> list[SealedBatch]:
        seqs = [member.seq for member in members_of(db, batch)]
        return settle.partly(
            db,
            batch,
            {seqs[index] for index in failure.acked},
            {seqs[index]: (error.kind, str(error)) for index, error in refused.items()},
            answer=failure.answer,
            next_at=db.clock.now() + delay,
            unknown=unknown,
            charge=misconfigured is None,
        )

    return Settlement(
        command,
        delay=delay,
        got_through=bool(failure.acked) and misconfigured is None,
        failed=True,
        misconfigured=misconfigured is not None,
        throttled=any(isinstance(error, Throttled) for error in kept.values()),
        speaks_against=bool(kept) and not failure.acked,
        reason=str(misconfigured or failure),
        event="dead letter" if refused else "retry later",
    )
