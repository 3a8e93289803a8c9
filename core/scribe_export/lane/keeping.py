"""A breaker's state in the journal, so that a restart neither forgets nor hammers."""

from collections.abc import Callable
from dataclasses import asdict, replace
from typing import Any

from scribe_export.journal.database import Database
from scribe_export.journal.destinations import DestinationRow, keep_breaker
from scribe_export.patterns import BreakerSnapshot, CircuitBreaker


class KeptBreaker:
    """Restores what the journal has, and writes a change together with whatever else is written."""

    def __init__(self, row: DestinationRow, breaker: CircuitBreaker) -> None:
        self._id, self._breaker = row.id, breaker
        self._kept = BreakerSnapshot(**row.breaker)
        if row.breaker:
            breaker.restore(**row.breaker)

    def beside(self, command: Callable[[Database], Any]) -> Callable[[Database], Any]:
        """`command`, and the breaker's state with it if that has changed."""
        snapshot = replace(self._breaker.snapshot(), failures=0)
        if snapshot == self._kept:
            return command
        self._kept = snapshot

        def both(db: Database) -> Any:
            keep_breaker(db, self._id, asdict(snapshot))
            return command(db)

        return both
