"""How many rows of each table came by insertAll not long ago.

https://cloud.google.com/bigquery/docs/streaming-data-into-bigquery#dataavailability
"""

import threading
import time
from collections import deque
from typing import NamedTuple

from scribe_local.bigquery.names import TableName
from scribe_local.bigquery.settings import LiveSettings


class _Arrival(NamedTuple):
    time: float
    rows: int
    size: int


class StreamingBuffer:
    """Counts only: the rows themselves are in their table at once, as BigQuery's are for queries."""

    def __init__(self, settings: LiveSettings) -> None:
        self._settings = settings
        self._lock = threading.Lock()
        self._arrivals: dict[TableName, deque[_Arrival]] = {}

    def add(self, name: TableName, rows: int, size: int) -> None:
        """`size` is in bytes."""
        with self._lock:
            self._arrivals.setdefault(name, deque()).append(_Arrival(time.time(), rows, size))

    def drop(self, name: TableName) -> None:
        """Its table is deleted or overwritten."""
        with self._lock:
            self._arrivals.pop(name, None)

    def rows(self, name: TableName) -> int:
        with self._lock:
            return sum(arrival.rows for arrival in self._current(name))

    def document(self, name: TableName) -> dict[str, str]:
        """A table resource's `streamingBuffer`."""
        with self._lock:
            arrivals = self._current(name)
            return {
                "estimatedRows": str(sum(arrival.rows for arrival in arrivals)),
                "estimatedBytes": str(sum(arrival.size for arrival in arrivals)),
                "oldestEntryTime": str(int((arrivals[0].time if arrivals else time.time()) * 1000)),
            }

    def _current(self, name: TableName) -> deque[_Arrival]:
        arrivals = self._arrivals.get(name, deque())
        since = time.time() - self._settings.now.streaming_buffer_seconds
        while arrivals and arrivals[0].time <= since:
            arrivals.popleft()
        return arrivals
