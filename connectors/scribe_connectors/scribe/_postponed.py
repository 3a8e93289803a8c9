"""Scans whose document could not be fetched yet: tried again later and later, never in the others' way."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from math import inf

import structlog

from scribe_connectors.scribe._endpoints import ScanId
from scribe_connectors.scribe._seen import Seen
from scribe_export.clock import Clock
from scribe_export.errors import Rejected, SinkError
from scribe_export.patterns import RetryPolicy

_GONE_AFTER = 8
"""A scan that was not found so many times in a row was deleted."""
_log = structlog.get_logger(__name__)


@dataclass(slots=True)
class _Late:
    scan_id: ScanId
    attempts: int
    due: float
    error: SinkError | None = None


class Postponed:
    """By mark. Lives as long as the source does; what a commit passed over is in `Seen.postponed` as well.

    `missed` is called with what to say of a scan that was deleted.
    """

    def __init__(self, name: str, retry: RetryPolicy, clock: Clock, *, missed: Callable[[str], None]) -> None:
        self._name = name
        self._retry = retry
        self._clock = clock
        self._missed = missed
        self._late: dict[str, _Late] = {}

    def __contains__(self, marked: str) -> bool:
        return marked in self._late

    def __len__(self) -> int:
        return len(self._late)

    def take_up(self, seen: Seen) -> None:
        """Begin anew from what is committed: what was seen meanwhile leaves, what was passed over comes in."""
        self.forget([marked for marked in self._late if marked in seen])
        for marked, scan_id in seen.postponed.items():
            if marked not in seen:
                self._late.setdefault(marked, _Late(scan_id, 0, self._clock.monotonic()))

    def due(self, *, all_of_them: bool) -> dict[str, ScanId]:
        """Those to be tried now."""
        now = self._clock.monotonic()
        return {marked: late.scan_id for marked, late in self._late.items() if all_of_them or late.due <= now}

    def next_due(self) -> float:
        """When the first of them is to be tried, on the monotonic clock; infinity if there are none."""
        return min((late.due for late in self._late.values()), default=inf)

    def without(self, marks: Mapping[str, object]) -> dict[str, ScanId]:
        """All but these, to be kept over a restart."""
        return {marked: late.scan_id for marked, late in self._late.items() if marked not in marks}

    def add(self, marked: str, scan_id: ScanId, error: SinkError) -> None:
        """A fetch failed."""
        late = self._late.setdefault(marked, _Late(scan_id, 0, 0.0))
        late.attempts += 1
        late.error = error
        late.due = self._clock.monotonic() + self._retry.delay(late.attempts, getattr(error, "retry_after", None))
        if late.attempts == 1:
            _log.warning("scan postponed", source=self._name, scan_id=scan_id, error=str(error))
        elif late.attempts >= _GONE_AFTER and isinstance(error, Rejected) and error.kind == "not_found":
            # If it is still listed, it is found again as a new one.
            _log.error("scan gone", source=self._name, scan_id=scan_id, attempts=late.attempts, error=str(error))
            self._missed(f"scan {scan_id} was listed and is gone")
            del self._late[marked]

    def forget(self, marks: list[str]) -> None:
        """These were committed."""
        for marked in marks:
            self._late.pop(marked, None)

    def describe(self) -> str:
        """How many there are, and what hinders the first."""
        first = next(iter(self._late.values()))
        return f"{len(self._late)} scans could not be fetched, first {first.scan_id}: {first.error or 'not tried yet'}"
