"""Sealed batches that wait for an attempt, in the order of their scans, and what their failures tell."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from scribe_export.clock import Clock
from scribe_export.journal.batches import SealedBatch
from scribe_export.lane.verdict import Evidence
from scribe_export.patterns import RetryPolicy


@dataclass(frozen=True, slots=True)
class _Failing:
    """`root` is the batch that this one was divided from, or itself; the moments are monotonic."""

    root: int
    first: float
    last: float


class BatchQueue:
    """A batch that used up its attempts is suspect: it waits until a different batch got through, and is tried before
    that only if there is nothing else to try. `window` is how many seconds a success is taken as news of the destination.
    `ordered`: of each partition one batch is out at a time, and the others wait for the first of them to be settled.
    """

    def __init__(self, clock: Clock, retry: RetryPolicy, window: float, *, ordered: bool = False) -> None:
        self._clock, self._retry, self._window, self._ordered = clock, retry, window, ordered
        self._out: set[str] = set()
        self._batches: dict[int, SealedBatch] = {}
        self._due: dict[int, float] = {}
        self._failing: dict[int, _Failing] = {}
        self._failed_roots: set[int] = set()
        self._last_success = float("-inf")

    def __len__(self) -> int:
        return len(self._batches)

    def __iter__(self) -> Iterator[SealedBatch]:
        return iter(self._batches.values())

    def put(self, batch: SealedBatch, *, delay: float | None = None, now: bool = False) -> None:
        """Let it wait: `delay` seconds, or as long as the journal says, but never beyond the policy's longest delay."""
        if delay is None:
            delay = 0.0 if now else min(max(batch.next_at - self._clock.now(), 0.0), self._retry.max_delay)
        moment = self._clock.monotonic()
        self._batches[batch.id] = batch
        self._due[batch.id] = moment + delay
        if batch.attempts and batch.id not in self._failing:
            self._failing[batch.id] = _Failing(batch.id, moment, moment)

    def take(self, batch: SealedBatch) -> None:
        """It is being tried now."""
        del self._batches[batch.id], self._due[batch.id]
        self._out.add(batch.partition)

    def drop(self, gone: Iterable[int]) -> None:
        """Let go of batches that are no more, by their rows."""
        for batch in gone:
            for known in (self._batches, self._due, self._failing):
                known.pop(batch, None)

    def returned(self, batch: SealedBatch) -> None:
        """The attempt is over, and what is left of the batch waits here again."""
        self._out.discard(batch.partition)

    def next_due(self) -> SealedBatch | None:
        """The oldest batch whose time has come; a suspect's comes when another got through since it failed."""
        moment = self._clock.monotonic()
        ready = [batch for batch in self._heads() if self._ready(batch, moment)]
        return min(ready, key=_order, default=None)

    def last_resort(self) -> SealedBatch | None:
        """The suspect that failed longest ago, if its backoff is over."""
        moment = self._clock.monotonic()
        suspects = [batch for batch in self._heads() if self._suspect(batch) and self._due[batch.id] <= moment]
        return min(suspects, key=lambda batch: (self._last_failure(batch), _order(batch)), default=None)

    def seconds_until_due(self) -> float | None:
        """Until the next moment at which something may be tried."""
        now = self._clock.monotonic()
        return min((max(0.0, self._due[batch.id] - now) for batch in self._heads()), default=None)

    @property
    def only_suspects(self) -> bool:
        """Whether all that waits has used up its attempts with nothing to tell it from an outage."""
        moment = self._clock.monotonic()
        return all(self._suspect(batch) and not self._ready(batch, moment) for batch in self._heads())

    def evidence(self, batch: SealedBatch, *, alone: bool) -> Evidence:
        """What is known of the destination apart from this batch, at the moment that it fails once more.

        A different batch got through since it failed last; or lately, since it failed first, and nothing else failed
        after that.
        """
        history = self._failing.get(batch.id)
        if history is None:
            return Evidence(other_got_through=False, alone=alone)
        since_last = self._last_success > history.last
        lately = self._clock.monotonic() - self._last_success <= self._window
        only_this = self._last_success >= history.first and self._failed_roots <= {history.root}
        return Evidence(other_got_through=since_last or (lately and only_this), alone=alone)

    def failed(self, batch: SealedBatch, followers: Iterable[SealedBatch]) -> None:
        """This batch failed just now; `followers` is what it was sealed into, often itself."""
        moment = self._clock.monotonic()
        history = self._failing.pop(batch.id, _Failing(batch.id, moment, moment))
        self._failed_roots.add(history.root)
        for follower in followers:
            self._failing[follower.id] = _Failing(history.root, history.first, moment)

    def got_through(self) -> None:
        """A batch was confirmed, at least in part."""
        self._last_success = self._clock.monotonic()
        self._failed_roots.clear()

    def settled(self, batch: SealedBatch) -> None:
        """Nothing of it waits any more."""
        self._failing.pop(batch.id, None)

    def all_due(self) -> None:
        """The destination is back: nothing needs to wait, and the oldest go first."""
        self._due = dict.fromkeys(self._due, self._clock.monotonic())

    def _heads(self) -> Iterable[SealedBatch]:
        """The batches that may be tried: all, or of each partition the first if none of it is out."""
        if not self._ordered:
            return self._batches.values()
        first: dict[str, SealedBatch] = {}
        for batch in self._batches.values():
            if batch.partition not in self._out:
                known = first.setdefault(batch.partition, batch)
                first[batch.partition] = min(known, batch, key=_order)
        return first.values()

    def _suspect(self, batch: SealedBatch) -> bool:
        return batch.attempts >= self._retry.max_attempts

    def _last_failure(self, batch: SealedBatch) -> float:
        history = self._failing.get(batch.id)
        return history.last if history else float("-inf")

    def _ready(self, batch: SealedBatch, moment: float) -> bool:
        if self._suspect(batch):
            return self._last_success > self._last_failure(batch)
        return self._due[batch.id] <= moment


def _order(batch: SealedBatch) -> tuple[int, int]:
    return (batch.first_seq, batch.id)
