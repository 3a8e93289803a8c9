"""Scans that wait to be sealed: how many, how large, since when."""

from dataclasses import dataclass

from scribe_export.journal.database import Database
from scribe_export.lane.cut import BatchBounds


@dataclass(slots=True)
class Backlog:
    """Counted in memory; `oldest` is monotonic, and that of the first scan since the last sealing."""

    count: int = 0
    size: int = 0
    oldest: float = 0.0

    def add(self, count: int, size: int, moment: float) -> None:
        """More were journalled."""
        if not self.count:
            self.oldest = moment
        self.count += count
        self.size += size

    def merge(self, other: "Backlog") -> None:
        """Those found in the journal, which have waited long enough."""
        self.count += other.count
        self.size += other.size
        if other.count:
            self.oldest = float("-inf")

    def take(self, count: int, size: int, moment: float) -> None:
        """These were sealed; what is left came after them."""
        self.count = max(0, self.count - count)
        self.size = max(0, self.size - size) if self.count else 0
        self.oldest = moment

    def clear(self) -> None:
        """There was nothing after all."""
        self.count = self.size = 0

    def due(self, bounds: BatchBounds, moment: float, *, flush: bool) -> bool:
        """Whether a batch is to be sealed now."""
        return self.count > 0 and (
            flush
            or self.count >= bounds.max_records
            or self.size >= bounds.max_bytes
            or moment - self.oldest >= bounds.max_age
        )

    def seconds_until_due(self, bounds: BatchBounds, moment: float, *, flush: bool) -> float:
        """Until `due` says yes if no more come."""
        if self.due(bounds, moment, flush=flush):
            return 0.0
        return max(0.0, self.oldest + bounds.max_age - moment)


def waiting_backlog(db: Database, destination: int, cursor: int) -> Backlog:
    """What the journal holds beyond a destination's cursor."""
    row = db.connection.execute(
        "SELECT count(*), coalesce(sum(size), 0) FROM scan WHERE seq > ? AND routes & ?", (cursor, 1 << destination)
    ).fetchone()
    return Backlog(row[0], row[1])
