"""Which scan waits longest for a destination, found without going through all that waits."""

from scribe_export.journal.database import Database
from scribe_export.journal.ingest import last_seq

SLICE = 100_000
"""Scans passed over in one command of the store, about 10 ms; what was passed over is not looked at again."""


class Oldest:
    """Remembers, by destination, up to where nothing waits."""

    def __init__(self) -> None:
        self._passed: dict[int, int] = {}
        self._waiting: dict[int, int] = {}

    def found(self, db: Database, destination: int) -> bool:
        """Look on for the oldest scan that is neither delivered nor dead there; False if there are more to pass over."""
        run, newest = db.connection.execute, last_seq(db)
        sealed, open_from = run(
            "SELECT sealed_seq, (SELECT min(first_seq) FROM batch WHERE destination=destination.id AND state='open')"
            " FROM destination WHERE id=?",
            (destination,),
        ).fetchone()
        if open_from is not None:
            self._waiting[destination] = open_from
            return True
        start = max(sealed, self._passed.get(destination, 0))
        end = min(newest, start + SLICE)
        row = run(
            "SELECT seq FROM scan WHERE seq > ? AND seq <= ? AND routes & ? ORDER BY seq LIMIT 1",
            (start, end, 1 << destination),
        ).fetchone()
        self._passed[destination] = row[0] - 1 if row else end
        self._waiting[destination] = row[0] if row else newest + 1
        return row is not None or end == newest

    def age(self, db: Database, destination: int) -> float | None:
        """Seconds since that scan was journalled, after `found` said True; None if nothing waits."""
        row = db.connection.execute(
            "SELECT at FROM scan WHERE seq >= ? ORDER BY seq LIMIT 1", (self._waiting[destination],)
        ).fetchone()
        return max(0.0, db.clock.now() - row[0]) if row else None
