"""Reads a running exporter for whoever asks over HTTP, and takes little of the journal's time for it."""

import time
from dataclasses import dataclass

import anyio
import structlog
from anyio.abc import TaskGroup

from scribe_export.endpoint.snapshot import DestinationView, Snapshot, SourceView
from scribe_export.errors import JournalError
from scribe_export.exporter import Exporter
from scribe_export.feed import Feed
from scribe_export.journal.database import Database
from scribe_export.journal.glance import DestinationGlance, Glancer, JournalGlance
from scribe_export.source_states import SourceState, source_states

log = structlog.get_logger()
PATIENCE = 2.0
"""Seconds that somebody waits for the journal, before being told what it held before."""
SPARING = 20.0
"""A reading serves for this many times what it took, so that they take a twentieth of the journal's time at most."""


def spared_until(took: float) -> float:
    """Until which moment, monotonic, something that took so many seconds is not done again."""
    return time.monotonic() + SPARING * took


class NotRead(Exception):
    """The journal did not answer in time, and was never read before."""


@dataclass(frozen=True, slots=True)
class _Reading:
    """`at` and `until`, when it has served its time, are monotonic."""

    glance: JournalGlance
    at: float
    until: float


class Reader:
    """Those who ask at the same time share one reading, which goes on in `tasks` whether or not they wait for it."""

    def __init__(self, exporter: Exporter, tasks: TaskGroup, *, started: float) -> None:
        self._exporter, self._tasks, self._started = exporter, tasks, started
        self._glancer = Glancer()
        self._last: _Reading | None = None
        self._under_way: anyio.Event | None = None

    async def snapshot(self) -> Snapshot:
        """As it is now, or where the journal is slow as it was before; raises `NotRead`."""
        reading = await self._reading()
        exporter = self._exporter
        glance = reading.glance
        arrivals = exporter.intake.arrivals.by_source
        states = {state.name: state for state in source_states(exporter.feeds, exporter.clock)}
        return Snapshot(
            pipeline=exporter.config.pipeline,
            started=self._started,
            ready=not exporter.stopping,
            destinations=[self._destination(kept) for kept in glance.destinations],
            sources=[self._source(feed, states[feed.name], glance) for feed in exporter.feeds],
            others={name: arrived for name, arrived in arrivals.items() if name not in states},
            journal=glance,
            age=time.monotonic() - reading.at,
            commits=exporter.store.meter.commits.copy(),
            ballast_held=exporter.store.ballast_held,
        )

    def _source(self, feed: Feed, state: SourceState, glance: JournalGlance) -> SourceView:
        ago = state.last_taken_seconds
        return SourceView(
            state=state,
            arrived=self._exporter.intake.arrivals.by_source[feed.name],
            refused=glance.refused.get(feed.name, 0),
            failures=feed.hearing.failures,
            gaps=feed.source.gaps,
            last_taken=None if ago is None else round(self._exporter.clock.now() - ago, 3),
        )

    def _destination(self, kept: DestinationGlance) -> DestinationView:
        lane = self._exporter.lanes.get(kept.name)
        if lane is None:
            return DestinationView(kept, kept.waiting, kept.size, str(kept.breaker.get("state", "closed")))
        load = lane.load
        return DestinationView(
            kept,
            pending=kept.waiting if load.pending is None else load.pending,
            pending_bytes=kept.size if load.size is None else load.size,
            breaker=lane.breaker.state.value,
            misconfigured=lane.misconfigured,
            in_flight=load.in_flight,
            width=load.width,
            meter=lane.meter,
        )

    async def _reading(self) -> _Reading:
        last = self._last
        if last is not None and time.monotonic() < last.until:
            return last
        if self._under_way is None:
            self._under_way = anyio.Event()
            self._tasks.start_soon(self._read, self._under_way)
        with anyio.move_on_after(PATIENCE):
            await self._under_way.wait()
        if self._last is None:
            raise NotRead
        return self._last

    async def _read(self, over: anyio.Event) -> None:
        took = 0.0
        glance: JournalGlance | None = None
        counted = {lane.id for lane in self._exporter.lanes.values() if lane.load.pending is not None}

        def look(db: Database) -> JournalGlance | None:
            nonlocal took
            began = time.perf_counter()
            seen = self._glancer.look(db, counted)
            took += time.perf_counter() - began
            return seen

        try:
            while glance is None:
                glance = await self._exporter.store.do(look)
            self._last = _Reading(glance, time.monotonic(), spared_until(took))
        except JournalError as error:
            log.debug("journal not read", reason=str(error))  # who works with it says so
        except Exception:  # a bug in what looks on must not stop what delivers; who asks gets the last reading
            log.exception("journal not read")
        finally:
            self._under_way = None
            over.set()
