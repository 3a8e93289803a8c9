"""How much waits for destinations that seal nothing now, counted once and not again and again."""

from collections.abc import Mapping
from dataclasses import dataclass

from scribe_export.journal.database import Database
from scribe_export.journal.ingest import bits, last_seq

SLICE = 20_000
"""Scans counted in one command of the store, about 10 ms."""


@dataclass(slots=True)
class Waiting:
    """Scans, and their bytes, routed to a destination between `after` and `upto`."""

    after: int
    upto: int
    count: int = 0
    size: int = 0


class Unsealed:
    """Scans beyond the last seal stay as they are until it moves, so only what came since the last count is added.

    What an operator took from there has everything counted anew.
    """

    def __init__(self) -> None:
        self.waiting: dict[int, Waiting] = {}
        self._rerouted = 0

    def counted(self, db: Database, sealed: Mapping[int, int]) -> bool:
        """Count on, for all these destinations (their ids with their `sealed_seq`) at once; False if there is more."""
        if db.rerouted != self._rerouted:
            self.waiting.clear()
            self._rerouted = db.rerouted
        for destination, after in sealed.items():
            if destination not in self.waiting or self.waiting[destination].after != after:
                self.waiting[destination] = Waiting(after, after)
        newest = last_seq(db)
        behind = {one: self.waiting[one] for one in sealed if self.waiting[one].upto < newest}
        if not behind:
            return True
        start = min(waiting.upto for waiting in behind.values())
        further = [waiting.upto for waiting in behind.values() if waiting.upto > start]
        end = min(newest, start + SLICE, *further)
        chosen = {one: waiting for one, waiting in behind.items() if waiting.upto == start}
        for mask, count, size in db.connection.execute(
            "SELECT routes, count(*), sum(size) FROM scan WHERE seq > ? AND seq <= ? GROUP BY routes", (start, end)
        ):
            for bit in bits(mask):
                if bit in chosen:
                    chosen[bit].count += count
                    chosen[bit].size += size
        for waiting in chosen.values():
            waiting.upto = end
        return all(waiting.upto == newest for waiting in behind.values())
