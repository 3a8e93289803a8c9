"""What a lane does, counted while it does it; the counts begin at 0 with the process."""

from bisect import bisect_right
from collections import Counter
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from operator import attrgetter

from scribe_export.claims import ClaimStore
from scribe_export.clock import Clock
from scribe_export.errors import Misconfigured, PartialFailure, Rejected, SinkError, Throttled
from scribe_export.histogram import Histogram
from scribe_export.interface import Sink
from scribe_export.journal.batches import SealedBatch
from scribe_export.lane.backlog import Backlog
from scribe_export.lane.sending import Delivered, Failed, Outcome, Refused, SetApart, write
from scribe_export.model import Encoded, Record

WRITE_BOUNDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)
AGE_BOUNDS = (0.1, 0.5, 1.0, 5.0, 10.0, 30.0, 60.0, 300.0, 900.0, 3600.0, 21600.0, 86400.0)
OUTCOMES = (
    "delivered", "partial", "transient", "throttled", "misconfigured", "rejected", "bug", "refused", "claim_waits",
)  # fmt: skip
"""Of attempts: ``refused`` and ``claim_waits`` ended before anything was written."""
_RECEIVED_AT = attrgetter("received_at")


@dataclass(frozen=True, slots=True)
class Load:
    """What a lane has before it: scans that are neither delivered nor dead and their bytes, and batches being written.

    `pending` and `size` are None until the journal was read, which waits until the sink could be opened.
    """

    pending: int | None
    size: int | None
    in_flight: int
    width: int

    @classmethod
    def of(
        cls,
        backlog: Backlog,
        queued: Iterable[SealedBatch],
        in_flight: Iterable[SealedBatch],
        width: float,
        *,
        known: bool,
    ) -> "Load":
        """From the parts of a lane; `known` if the journal was read."""
        under_way = list(in_flight)
        sealed = [*queued, *under_way]
        return cls(
            backlog.count + sum(batch.count for batch in sealed) if known else None,
            backlog.size + sum(batch.size for batch in sealed) if known else None,
            len(under_way),
            int(width),
        )


class LaneMeter:
    """`attempts` by outcome; `retries` are those after which something is tried again, `unknown` those of which nobody
    knows whether they were applied. `writes` are seconds a call, `ages` seconds from journalling to confirmation."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self.attempts: Counter[str] = Counter()
        self.retries = 0
        self.unknown = 0
        self.writes = Histogram(WRITE_BOUNDS)
        self.ages = Histogram(AGE_BOUNDS)

    async def write(
        self, sink: Sink, encoded: Encoded, claims: ClaimStore | None = None, claimed: Collection[Record] = ()
    ) -> Delivered | Failed:
        """As `sending.write`, and see how long it takes."""
        started = self._clock.monotonic()
        outcome = await write(sink, encoded, claims, claimed)
        self.writes.observe(self._clock.monotonic() - started)
        records: Sequence[Record] = encoded.batch.records
        if isinstance(outcome, Failed):
            acked = outcome.error.acked if isinstance(outcome.error, PartialFailure) else ()
            records = [records[index] for index in sorted(acked)]
        self._delivered(records)
        return outcome

    def _delivered(self, records: Sequence[Record]) -> None:
        """Confirmed just now. They are in the order of their commits, and those of one commit share a moment."""
        now, start = self._clock.now(), 0
        while start < len(records):
            moment = records[start].received_at
            whole = records[-1].received_at == moment
            end = len(records) if whole else bisect_right(records, moment, start, key=_RECEIVED_AT)
            self.ages.observe(max(0.0, now - moment), end - start)
            start = end

    def ended(self, batch: SealedBatch, outcome: Outcome, followers: Sequence[SealedBatch]) -> None:
        """An attempt at the batch is over; `followers` are the batches that were made of it for another."""
        self.attempts["delivered" if isinstance(outcome, Delivered) else _named(outcome)] += 1
        if followers:
            self.retries += 1
        if isinstance(outcome, Failed) and outcome.raised_in == "write" and _unknown(batch, outcome.error):
            self.unknown += 1


def _named(outcome: Outcome) -> str:
    if isinstance(outcome, Refused):
        return "refused"
    error = outcome.error if isinstance(outcome, Failed | SetApart) else None
    if isinstance(outcome, SetApart):
        return "claim_waits"
    for kind, name in _KINDS:
        if isinstance(error, kind):
            return name
    return "bug"


def _unknown(batch: SealedBatch, error: Exception) -> bool:
    if isinstance(error, PartialFailure):
        doubtful = any(one.applied == "unknown" for index, one in error.errors.items() if index not in error.acked)
        return doubtful or len(error.acked | error.errors.keys()) < batch.count
    return not isinstance(error, SinkError) or error.applied == "unknown"


_KINDS: tuple[tuple[type[SinkError], str], ...] = (
    (PartialFailure, "partial"),
    (Throttled, "throttled"),
    (Misconfigured, "misconfigured"),
    (Rejected, "rejected"),
    (SinkError, "transient"),
)
