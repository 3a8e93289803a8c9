"""The pipeline at one moment, as far as alerts go by it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from scribe_export.alerts.hearing import Hearing
from scribe_export.interface import Gap


@dataclass(frozen=True, slots=True)
class DestinationSeen:
    """For `held` seconds its breaker was not closed, for `reason`; None if it is. `rest` is the breaker's timeout.

    `oldest` is the age of the oldest scan that waits, None if none does, and `max_age` how long a batch may take to fill.
    """

    name: str
    held: float | None
    reason: str
    rest: float
    dead: int
    oldest: float | None
    max_age: float


@dataclass(frozen=True, slots=True)
class SourceSeen:
    """`stopped` says why it cannot go on, `ended` that it came to its end; `silent_after` is None if it may be silent."""

    name: str
    stopped: str
    ended: bool
    hearing: Hearing
    silent_after: float | None
    gap: Gap | None


@dataclass(frozen=True, slots=True)
class JournalSeen:
    """`dead` and `oldest` (an age) by destination, `unplaced` dead letters of none. `full` says why sources pause."""

    dead: Mapping[str, int]
    oldest: Mapping[str, float]
    unplaced: int
    full: str
    roomy: bool


@dataclass(frozen=True, slots=True)
class Seen:
    """All of it; `moment` is monotonic."""

    moment: float
    destinations: Sequence[DestinationSeen]
    sources: Sequence[SourceSeen]
    journal: JournalSeen
