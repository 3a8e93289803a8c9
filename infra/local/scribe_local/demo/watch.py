"""What the exporter's journal says while the exporter runs, for the table on the screen."""

import sqlite3
import time
from collections import deque
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from scribe_export.errors import JournalError
from scribe_export.journal.database import FILE_NAME
from scribe_export.journal.status import DestinationStatus, journal_status, open_read_only

_RATE_OVER = 3.0


@dataclass(frozen=True, slots=True)
class Row:
    """A destination now; `rate` is deliveries a second over the last three seconds."""

    status: DestinationStatus
    rate: float


class Watch:
    """Counts the journal of a state folder, whoever owns it."""

    def __init__(self, state: Path) -> None:
        self.state = state
        self._before: deque[tuple[float, dict[str, int]]] = deque()

    def rows(self) -> dict[str, Row]:
        """By destination; empty before there is a journal."""
        try:
            with closing(open_read_only(self.state / FILE_NAME)) as connection:
                found = journal_status(connection, time.time()).destinations
        except (JournalError, sqlite3.OperationalError):
            return {}  # the exporter is just making it
        now = time.monotonic()
        self._before.append((now, {status.name: status.delivered for status in found}))
        while now - self._before[0][0] > _RATE_OVER:
            self._before.popleft()
        then, delivered = self._before[0]
        passed = max(now - then, 0.1)
        return {
            status.name: Row(status, (status.delivered - delivered.get(status.name, 0)) / passed) for status in found
        }
