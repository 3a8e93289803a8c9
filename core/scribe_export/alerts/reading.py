"""A look at the running pipeline: its lanes, its sources, and one query of its journal."""

from collections.abc import Iterable, Mapping

from scribe_export.alerts.seen import DestinationSeen, JournalSeen, Seen, SourceSeen
from scribe_export.clock import Clock
from scribe_export.feed import Feed
from scribe_export.journal.database import Database
from scribe_export.journal.dead import dead_counts
from scribe_export.journal.ingest import NO_DESTINATION
from scribe_export.journal.oldest import Oldest
from scribe_export.journal.store import Store
from scribe_export.lane.cut import BatchBounds
from scribe_export.lane.lane import Lane
from scribe_export.patterns import CircuitState

_ROOMY = 0.9


class Reader:
    """Looks at what it is given; `feeds` may grow."""

    def __init__(self, store: Store, lanes: Mapping[str, Lane], feeds: Iterable[Feed], clock: Clock) -> None:
        self._store, self._lanes, self._feeds, self._clock = store, lanes, feeds, clock
        self._oldest = Oldest()

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
        for name, lane in self._lanes.items():
            if not self._oldest.found(db, lane.id):
                return None
            age = self._oldest.age(db, lane.id)
            if age is not None:
                oldest[name] = age
        # In memory they are only on their way to where they are kept.
        dead, used = dead_counts(db) if db.folder else {}, db.used()
        full = db.full()
        return JournalSeen(
            dead={name: dead.get(lane.id, 0) for name, lane in self._lanes.items()},
            oldest=oldest,
            unplaced=dead.get(NO_DESTINATION, 0),
            full=f"{full}: sources pause" if full else "",
            roomy=used < _ROOMY * db.quota,
        )


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
