"""Sealed batches that wait for an attempt, in the order of their scans."""

from scribe_export.clock import Clock
from scribe_export.journal.batches import SealedBatch
from scribe_export.lane.verdict import Evidence
from scribe_export.patterns import RetryPolicy


class BatchQueue:
    """Times are monotonic. A batch that used up its attempts is suspect: it waits until a different batch got through,
    and is tried before that only if there is nothing else to try.
    """

    def __init__(self, clock: Clock, retry: RetryPolicy) -> None:
        self._clock, self._retry = clock, retry
        self._batches: dict[int, SealedBatch] = {}
        self._due: dict[int, float] = {}
        self._failed: dict[int, float] = {}
        self._started = clock.monotonic()
        self._last_success = float("-inf")

    def __len__(self) -> int:
        return len(self._batches)

    def put(self, batch: SealedBatch, *, delay: float | None = None, now: bool = False) -> None:
        """Let it wait: `delay` seconds, or as long as the journal says, but never beyond the policy's longest delay."""
        if delay is None:
            delay = 0.0 if now else min(max(batch.next_at - self._clock.now(), 0.0), self._retry.max_delay)
        self._batches[batch.id] = batch
        self._due[batch.id] = self._clock.monotonic() + delay

    def take(self, batch: SealedBatch) -> None:
        """It is being tried now."""
        del self._batches[batch.id], self._due[batch.id]

    def next_due(self) -> SealedBatch | None:
        """The oldest batch whose time has come; a suspect's comes when another got through since it failed."""
        moment = self._clock.monotonic()
        ready = [batch for batch in self._batches.values() if self._ready(batch, moment)]
        return min(ready, key=_order, default=None)

    def last_resort(self) -> SealedBatch | None:
        """The suspect that was tried longest ago, if its backoff is over."""
        moment = self._clock.monotonic()
        suspects = [batch for batch in self._batches.values() if self._suspect(batch) and self._due[batch.id] <= moment]
        return min(suspects, key=lambda batch: (self._failed.get(batch.id, self._started), _order(batch)), default=None)

    def seconds_until_due(self) -> float | None:
        """Until the next moment at which something may be tried."""
        return min((max(0.0, due - self._clock.monotonic()) for due in self._due.values()), default=None)

    def evidence(self, batch: SealedBatch, *, alone: bool) -> Evidence:
        """What is known about the destination apart from this batch."""
        return Evidence(self._last_success > self._failed.get(batch.id, self._started), alone)

    def got_through(self) -> None:
        """Some batch was confirmed."""
        self._last_success = self._clock.monotonic()

    def failed(self, batch: SealedBatch) -> None:
        """This batch failed just now."""
        self._failed[batch.id] = self._clock.monotonic()

    def all_due(self) -> None:
        """The destination is back: nothing needs to wait, and the oldest go first."""
        moment = self._clock.monotonic()
        self._due = dict.fromkeys(self._due, moment)

    def _suspect(self, batch: SealedBatch) -> bool:
        return batch.attempts >= self._retry.max_attempts

    def _ready(self, batch: SealedBatch, moment: float) -> bool:
        if self._suspect(batch):
            return self._last_success > self._failed.get(batch.id, self._started)
        return self._due[batch.id] <= moment


def _order(batch: SealedBatch) -> tuple[int, int]:
    return (batch.first_seq, batch.id)
