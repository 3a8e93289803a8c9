"""A look at the running pipeline: its lanes, its sources, and one query of its journal."""

from collections.abc import Iterable, Mapping

from scribe_export.alerts.seen import DestinationSeen, JournalSeen, Seen, SourceSeen
from scribe_export.clock import Clock
from scribe_export.feed import Feed
from scribe_export.journal.database import LEAST_ROOM, Database, room
from scribe_export.journal.dead import dead_counts
from scribe_export.journal.ingest import NO_DESTINATION, last_seq
from scribe_export.journal.store import Store
from scribe_export.lane.cut import BatchBounds
from scribe_export.lane.lane import Lane
from scribe_export.patterns import CircuitState

SLICE = 100_000
"""Scans passed over in one command of the store, about 10 ms; what was passed over is not looked at again."""
_ROOMY = 0.9


class Reader:
    """Looks at what it is given; `feeds` may grow."""

    def __init__(self, store: Store, lanes: Mapping[str, Lane], feeds: Iterable[Feed], clock: Clock) -> None:
        self._store, self._lanes, self._feeds, self._clock = store, lanes, feeds, clock
        self._passed: dict[int, int] = {}

    async def look(self) -> Seen:
        """As it is now; raises `JournalUnusable`."""
        while (journal := await self._store.do(self._journal)) is None:
            pass
        return Seen(
            moment=self._clock.monotonic(),
            destinations=[_destination(lane, journal) for lane in self._lanes.values()],
            sources=[_source(feed) for feed in self._feeds],
            journal=journal,
        )

    def _journal(self, db: Database) -> JournalSeen | None:
        """None if there are more scans to pass over before it is known which waits longest."""
        oldest: dict[str, float] = {}
        newest, now = last_seq(db), db.clock.now()
        for name, lane in self._lanes.items():
            waiting = self._oldest_waiting(db, lane.id, newest)
            if waiting is None:
                return None
            found = db.connection.execute("SELECT at FROM scan WHERE seq >= ? ORDER BY seq LIMIT 1", (waiting,))
            for (at,) in found:
                oldest[name] = max(0.0, now - at)
        # In memory they are only on their way to where they are kept.
        dead, used = dead_counts(db) if db.folder else {}, db.used()
        free = room(db.folder) if db.folder else LEAST_ROOM
        full = "the journal's quota is used up: sources pause" if used >= db.quota else ""
        return JournalSeen(
            dead={name: dead.get(lane.id, 0) for name, lane in self._lanes.items()},
            oldest=oldest,
            unplaced=dead.get(NO_DESTINATION, 0),
            full=full or ("the disk is full: sources pause" if free < LEAST_ROOM else ""),
            roomy=used < _ROOMY * db.quota,
        )

    def _oldest_waiting(self, db: Database, destination: int, newest: int) -> int | None:
        """The number of the oldest scan that is neither delivered nor dead there, one too high if there is none."""
        run = db.connection.execute
        sealed, open_from = run(
            "SELECT sealed_seq, (SELECT min(first_seq) FROM batch WHERE destination=destination.id AND state='open')"
            " FROM destination WHERE id=?",
            (destination,),
        ).fetchone()
        if open_from is not None:
            return int(open_from)
        start = max(sealed, self._passed.get(destination, 0))
        end = min(newest, start + SLICE)
        row = run(
            "SELECT seq FROM scan WHERE seq > ? AND seq <= ? AND routes & ? ORDER BY seq LIMIT 1",
            (start, end, 1 << destination),
        ).fetchone()
        self._passed[destination] = row[0] - 1 if row else end
        if row:
            return int(row[0])
        return newest + 1 if end == newest else None


def _destination(lane: Lane, journal: JournalSeen) -> DestinationSeen:
    return DestinationSeen(
        name=lane.name,
        held=None if lane.breaker.state is CircuitState.CLOSED else lane.breaker.not_closed_for,
        reason=lane.breaker.reason,
        rest=lane.breaker.timeout,
        dead=journal.dead.get(lane.name, 0),
        oldest=journal.oldest.get(lane.name),
        max_age=BatchBounds.of(lane.sink).max_age,
    )


def _source(feed: Feed) -> SourceSeen:
    return SourceSeen(
        name=feed.name,
        stopped=feed.failed,
        ended=feed.exhausted,
        hearing=feed.hearing,
        silent_after=feed.source.options.silent_after,
        gap=feed.source.last_gap,
    )
