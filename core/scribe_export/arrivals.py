"""What came from each source and what it turned out to be, counted as it is journalled; from 0 with the process."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from scribe_export.clock import Clock
from scribe_export.errors import Rejected
from scribe_export.journal.ingest import Ingested, NewScan

OWN = ("scanner", "send", "python", "replay", "dead_letter")
"""What is journalled without a source of the config: scans on request, those of commands and programs, dead letters."""
OTHER = "other"


@dataclass(slots=True)
class Arrived:
    """From one source. `lag` is how many seconds old the new scan was that came last, by its own timestamp, None if it
    has none."""

    taken: int = 0
    duplicates: int = 0
    conflicts: int = 0
    invalid: int = 0
    lag: float | None = None


class Arrivals:
    """`names` are the sources that are told apart, beside `OWN`; all others are one, called ``other``."""

    def __init__(self, names: Iterable[str], clock: Clock) -> None:
        self._clock = clock
        self.by_source: dict[str, Arrived] = {name: Arrived() for name in (*names, *OWN)}

    def took(self, source: str, scans: Sequence[NewScan], results: Sequence[Ingested]) -> None:
        """These were journalled in one commit."""
        if not results:
            return
        arrived = self.by_source.get(source)
        if arrived is None:
            arrived = self.by_source.setdefault(OTHER, Arrived())
        outcomes = [result.outcome for result in results]
        arrived.taken += len(outcomes)
        new = outcomes.count("new")
        if new < len(outcomes):
            arrived.duplicates += outcomes.count("duplicate")
            arrived.conflicts += outcomes.count("conflict")
            arrived.invalid += outcomes.count("invalid")
        if new:
            newest = len(outcomes) - 1 - outcomes[::-1].index("new")
            arrived.lag = _lag(scans[newest], self._clock.now())


def _lag(scan: NewScan, now: float) -> float | None:
    record = scan.record
    if record is None or record.fields.timestamp is None:
        return None
    try:
        return max(0.0, now - record.timestamp.timestamp())
    except Rejected:
        return None
