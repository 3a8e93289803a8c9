"""The running pipeline at one moment, as its metrics and its page show it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from scribe_export.arrivals import Arrived
from scribe_export.histogram import Histogram
from scribe_export.journal.glance import DestinationGlance, JournalGlance
from scribe_export.journal.status import DestinationStatus, JournalStatus
from scribe_export.lane.measured import LaneMeter
from scribe_export.source_states import SourceState


@dataclass(frozen=True, slots=True)
class DestinationView:
    """`kept` is what the journal has of it. `meter` is None for one that is not in the config: nothing is sent there."""

    kept: DestinationGlance
    pending: int
    pending_bytes: int
    breaker: str
    misconfigured: bool = False
    in_flight: int = 0
    width: int = 0
    meter: LaneMeter | None = None

    @property
    def status(self) -> DestinationStatus:
        """As the command `status` shows it."""
        kept = self.kept
        return DestinationStatus(
            name=kept.name,
            state=kept.state,
            pending=self.pending,
            delivered=kept.delivered,
            dead=kept.dead,
            delivered_bytes=kept.delivered_bytes,
            breaker=self.breaker,
            oldest_pending_seconds=kept.oldest or 0.0,
            last_error=kept.last_error,
            paused=kept.paused,
        )


@dataclass(frozen=True, slots=True)
class SourceView:
    """`arrived` is what its scans turned out to be, `refused` its requests that can never be performed. `last_taken` is
    when it brought something last, in seconds since the epoch, None if it did not since the start."""

    state: SourceState
    arrived: Arrived
    refused: int
    failures: int
    gaps: int
    last_taken: float | None = None


@dataclass(frozen=True, slots=True)
class Snapshot:
    """`age` is how many seconds ago the journal was read. `others` came without a source of the config."""

    pipeline: str
    started: float
    ready: bool
    destinations: Sequence[DestinationView]
    sources: Sequence[SourceView]
    others: Mapping[str, Arrived]
    journal: JournalGlance
    age: float
    commits: Histogram
    ballast_held: bool

    @property
    def status(self) -> JournalStatus:
        """As the command `status` shows it."""
        return JournalStatus(
            tuple(view.status for view in self.destinations),
            scans=self.journal.scans,
            duplicates=self.journal.duplicates,
            conflicts=self.journal.conflicts,
            unrouted=self.journal.unrouted,
            invalid=self.journal.unplaced,
        )
