"""A pipeline at work: sources into the journal, the journal into lanes, all from one config."""

import functools
import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import anyio
import anyio.to_thread
import structlog
from anyio.abc import TaskGroup

from scribe_export import config as configuration
from scribe_export.accepted import Accepted
from scribe_export.alerts.watch import AlertWatch
from scribe_export.arrivals import Arrivals
from scribe_export.assembly import Assembly
from scribe_export.claims import ClaimStore
from scribe_export.clock import Clock, SystemClock
from scribe_export.config import Buffer, Config
from scribe_export.errors import InvalidScan, JournalUnusable, Undelivered
from scribe_export.feed import Feed, Taker, tickets_of
from scribe_export.housekeeping import Housekeeper
from scribe_export.identify import Identifier, Origin
from scribe_export.intake import Intake
from scribe_export.interface import Sink, Source
from scribe_export.journal.destinations import DestinationRow, register
from scribe_export.journal.ingest import Ingested, last_seq
from scribe_export.journal.opening import OpenJournal, mark_damaged, open_in_memory, open_journal
from scribe_export.journal.recover import RecoveryReport
from scribe_export.journal.store import Store
from scribe_export.lane.head import Head
from scribe_export.lane.lane import Lane
from scribe_export.model import Incoming
from scribe_export.requests.performing import SOURCE, Requests
from scribe_export.requests.replying import Replier
from scribe_export.requests.taking import RequestIntake
from scribe_export.routing.router import Router
from scribe_export.scan import encode_document
from scribe_export.tasks import plain_errors
from scribe_export.unbuffered.concluding import UNDECIDED, Concluder, Fate
from scribe_export.unbuffered.watching import Watcher

log = structlog.get_logger()
POLL = 0.05
DEAD_LETTERS = "dead_letter"
MEMORY_QUOTA = 256 * 2**20
MEMORY_HISTORY = 60.0
"""With `buffer: none`: bytes of scans in memory, and seconds for which one that left is known again."""


class Exporter:
    """Use it as ``async with``: entering opens the journal and starts what the config names.

    `sources` and `lanes` False leave those out: such an exporter only journals. `once` asks sources to read what is there
    and then end. `buffer` is that of the config if left out; with ``none`` the journal lies in memory, and sources are
    acknowledged when the destinations have confirmed. Entering raises `StateOwned` or another `JournalError`.
    """

    def __init__(
        self,
        config: Config,
        *,
        sources: bool = True,
        lanes: bool = True,
        once: bool = False,
        buffer: Buffer | None = None,
        clock: Clock | None = None,
        rng: random.Random | None = None,
    ) -> None:
        self.config = config
        self.buffer: Buffer = buffer or config.buffer
        if self.buffer == "none" and not lanes:
            raise ValueError("without lanes nothing would ever be delivered or acknowledged")
        self.clock = clock or SystemClock()
        self.failure: JournalUnusable | None = None
        self.stopping = False
        self.lanes: dict[str, Lane] = {}
        self.sinks: dict[str, Sink] = {}
        self.claims: dict[str, ClaimStore | None] = {}
        self.feeds: list[Feed] = []
        self.requests: Requests | None = None
        self.repliers: list[Replier] = []
        self.rows: dict[str, DestinationRow] = {}
        self.draining: set[str] = set()
        self.concluder: Concluder | None = None
        self._watcher: Watcher | None = None
        self._takers: dict[str, Taker] = {}
        self._with_sources, self._with_lanes, self._once = sources, lanes, once
        self.rng = rng or random.Random()  # noqa: S311 - spreads retries, guards nothing
        self._stoppable: list[anyio.CancelScope] = []

    @classmethod
    def from_file(cls, path: str | Path, **options: Any) -> "Exporter":
        """From a config file; raises `ConfigError` with every mistake in it."""
        return cls(configuration.load(path), **options)

    async def __aenter__(self) -> Self:
        # Elsewhere, so that probes are answered while a large journal is migrated or recovered.
        self._journal = await anyio.to_thread.run_sync(self._opened)
        self.store = Store(self._journal.database, on_failure=self._journal_failed)
        self.store.start()
        try:
            await self._build()
        except BaseException:
            self._close_journal()
            raise
        self._tasks: TaskGroup = await anyio.create_task_group().__aenter__()
        if self._with_lanes:
            self._tasks.start_soon(self._until_stopped, self.housekeeper.run)
            self._tasks.start_soon(self._until_stopped, self.alerts.run)
            self._tasks.start_soon(self._deliver_all)
        if self.concluder:
            self._tasks.start_soon(self._guarded, self.concluder.run)
            if self._once or not self._with_sources:
                # Somebody waits for each of them.
                self.flush()
        if self._with_sources or self.concluder:
            for worker in (self.requests, *self.repliers):
                if worker:
                    self._tasks.start_soon(self._guarded, worker.run)
        for feed in self.feeds:
            if self.concluder:
                self._tasks.start_soon(self._guarded, feed.run_until_stopped)
            else:
                self._tasks.start_soon(self._until_stopped, feed.run)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop the sources, let what is in flight settle, close the journal."""
        self.stop()
        try:
            if error is not None or self.failure:
                self._tasks.cancel_scope.cancel()
            with plain_errors():
                # The block's own error goes on as it is, and not as one of a group.
                await self._tasks.__aexit__(None, None, None)
        except JournalUnusable as unusable:
            self.failure = self.failure or unusable
        finally:
            with anyio.CancelScope(shield=True):
                if self.requests:
                    await self.requests.close()
                await anyio.to_thread.run_sync(self._close_journal)
        if self.failure:
            raise self.failure from None

    def stop(self) -> None:
        """Read and start nothing more; leaving the block waits for what is in flight."""
        self.stopping = True
        for scope in self._stoppable:
            scope.cancel()
        for worker in (*self.feeds, *self.lanes.values(), self.requests, *self.repliers):
            if worker:
                worker.stop()

    async def deliver(self, scan: bytes | Mapping[str, Any], *, source: str = "python") -> Accepted:
        """Journal one completed scan: when this returns it is fsynced, and its destinations will have it.

        Raises `InvalidScan` for what is none, `JournalFull` when the quota is used up. With `buffer` ``none`` it returns
        when its destinations have it, and raises `Undelivered` if one of them can never take it.
        """
        body = scan if isinstance(scan, bytes) else encode_document(scan)
        accepted = (await self.accept([body], source=source))[0]
        if self.concluder:
            fates = [UNDECIDED]
            await self.concluder.tell(source, [Incoming(body)], [accepted.seq], fates)
            if fates[0].dead or not fates[0].kept:
                raise Undelivered(fates[0].reason + (f"; {self.config.dead_letter} keeps it" if fates[0].kept else ""))
        return accepted

    async def accept(self, bodies: list[bytes], *, source: str) -> list[Accepted]:
        """Journal completed scans in one commit; raises as `deliver`, and then took none of them."""
        origin = Origin(source)
        scans = await self.intake.prepare([Incoming(body) for body in bodies], origin)
        for scan in scans:
            if scan.invalid:
                raise InvalidScan(scan.invalid[1])
        results = await self.intake.commit(scans, origin, wait_for_room=False)
        return [self.accepted(scan.scan_id, result) for scan, result in zip(scans, results, strict=True)]

    @property
    def recovery(self) -> RecoveryReport | None:
        """What came over if the journal was damaged and had to be recovered at this start."""
        return self._journal.recovery

    @property
    def reading(self) -> bool:
        """Whether some source has not come to its end."""
        return any(not feed.ended for feed in self.feeds)

    def flush(self) -> None:
        """Seal what waits at once, from now on."""
        for lane in self.lanes.values():
            lane.flush = True
            lane.ring()

    async def until_idle(self, max_wait: float) -> bool:
        """Wait until sources are exhausted and nothing can move; True if everything was delivered or is dead.

        `max_wait` is in seconds.
        """
        deadline = self.clock.monotonic() + max_wait
        flushed = False
        while self.clock.monotonic() < deadline and not self.failure:
            if not self.reading:
                if not flushed:
                    self.flush()
                    flushed = True
                if self._requests_idle and all(lane.idle or lane.stuck for lane in self.lanes.values()):
                    break
            await self.clock.sleep(POLL)
        return not self.reading and self._requests_idle and all(lane.idle for lane in self.lanes.values())

    async def confirm(self, source: str, incoming: Sequence[Incoming], *, within: float) -> list[Fate]:
        """With `buffer` ``none``: take bodies as from that source, and say what became of each within so many seconds.

        What is undecided then is still on its way; when it comes again it is known, and not sent a second time.
        """
        assert self.concluder is not None
        taker, origin = self._takers[source], Origin(source, self.config.sources[source].options.scope)
        fates = [UNDECIDED] * len(incoming)
        with anyio.move_on_after(within):
            taken = await taker.commit(await taker.prepare(incoming, origin), origin)
            await self.concluder.tell(source, incoming, tickets_of(taken), fates)
        return fates

    @property
    def _requests_idle(self) -> bool:
        if not self._with_sources or self.requests is None:
            return True
        return self.requests.idle and all(replier.idle for replier in self.repliers)

    def _opened(self) -> OpenJournal:
        if self.buffer == "none":
            return open_in_memory(quota=min(self.config.journal.quota, MEMORY_QUOTA), clock=self.clock)
        return open_journal(self.config.state_folder, quota=self.config.journal.quota, clock=self.clock)

    async def _build(self) -> None:
        parts = Assembly(self.config, clock=self.clock, rng=self.rng, once=self._once)
        self.rows = await self.store.do(lambda db: register(db, self.config.destinations))
        newest = await self.store.do(last_seq)
        if self.buffer == "none":
            self._watcher = Watcher(self.store, self.clock)
            self.concluder = Concluder(self._watcher, self._post if self.config.dead_letter else None)
        self.head = Head(newest)
        for name, built in self.config.destinations.items():
            self.sinks[name] = parts.sink(name)
            self.claims[name] = parts.claim_store(built.options)
            if self._with_lanes:
                self.lanes[name] = parts.lane(
                    self.rows[name],
                    self.sinks[name],
                    store=self.store,
                    head=self.head,
                    claims=self.claims[name],
                    told=self._watcher.ring if self._watcher else None,
                )
        bit_of = {name: row.id for name, row in self.rows.items()}
        self.router = Router(
            {name: bit for name, bit in bit_of.items() if name != self.config.dead_letter}, self.config.rules
        )
        conflicts = parts.conflicts(self.rows)
        if self.concluder:
            # The first of an id may yet be refused and forgotten, so a second one is left to the sink to judge.
            conflicts = replace(conflicts, keep=0)
        self.intake = Intake(
            store=self.store,
            head=self.head,
            lanes={lane.id: lane for lane in self.lanes.values()},
            identifier=Identifier(
                self.router,
                bit_of,
                max_record=self.config.journal.max_record,
                assume=self.config.assume_timezone,
            ),
            conflicts=conflicts,
            clock=self.clock,
            arrivals=Arrivals(self.config.sources, self.clock),
        )
        history = self.config.journal.history
        if self.concluder:
            history = min(history, MEMORY_HISTORY)
        self.housekeeper = Housekeeper(self.store, self._journal.folder, self.clock, history)
        if self.config.scanner:
            self.requests = Requests(
                self.config.scanner,
                self.config.context(SOURCE, clock=self.clock),
                store=self.store,
                intake=self.intake,
                accepted=self.accepted,
            )
            if self._watcher:
                self.requests.on_end(self._watcher.ring)
        if self._with_sources or self.concluder:
            for name in self.config.sources:
                source = parts.source(name)
                taker = self._takers[name] = self._taker(name, source, parts)
                if self._with_sources:
                    feed = Feed(
                        name, source, intake=taker, store=self.store, clock=self.clock, concluder=self.concluder
                    )
                    self.feeds.append(feed)
        self.alerts = AlertWatch(
            self.config.alerts,
            pipeline=self.config.pipeline,
            folder=self.config.folder,
            store=self.store,
            lanes=self.lanes,
            feeds=self.feeds,
            clock=self.clock,
            rng=self.rng,
        )

    def _taker(self, name: str, source: Source, parts: Assembly) -> Taker:
        if source.options.delivers == "scans" or self.requests is None:
            return self.intake
        told = [self.requests.ring]
        if source.replies:
            moved = self._watcher.ring if self._watcher else None
            replier = Replier(name, parts.source(name), store=self.store, clock=self.clock, told=moved)
            self.repliers.append(replier)
            self.requests.on_end(replier.ring)
            told.append(replier.ring)
        return RequestIntake(self.store, self.clock, replies=source.replies, told=told)

    async def _post(self, bodies: Sequence[bytes]) -> list[int]:
        """Dead letters on their way to the destination for them."""
        origin = Origin(DEAD_LETTERS, any_size=True)
        scans = await self.intake.prepare([Incoming(body) for body in bodies], origin)
        for scan in scans:
            scan.mask, scan.failed = 0 if scan.invalid else 1 << self.rows[self.config.dead_letter or ""].id, {}
        return [result.seq for result in await self.intake.commit(scans, origin, wait_for_room=False)]

    async def _deliver_all(self) -> None:
        async with anyio.create_task_group() as tasks:
            for lane in self.lanes.values():
                tasks.start_soon(self._guarded, lane.run)
        if self._watcher:
            self._watcher.stop()

    async def _until_stopped(self, run: Callable[[], Any]) -> None:
        with anyio.CancelScope() as scope:
            self._stoppable.append(scope)
            await self._guarded(run)

    async def _guarded(self, run: Callable[[], Any]) -> None:
        """A journal that cannot be used ends everything, once."""
        try:
            await run()
        except JournalUnusable as error:
            self._journal_failed(error)

    def _journal_failed(self, error: JournalUnusable) -> None:
        if self.failure is None:
            self.failure = error
            log.critical("journal unusable, stopping", reason=str(error))
            if "damaged" in str(error) and self._journal.folder:
                mark_damaged(self.config.state_folder, str(error))
        self.stop()
        self._tasks.cancel_scope.cancel()

    def accepted(self, scan_id: str, result: Ingested) -> Accepted:
        """The answer for one body that the intake has journalled."""
        return Accepted(
            scan_id=scan_id,
            seq=result.seq,
            outcome=result.outcome,
            destinations=self._names_of(result.mask),
        )

    @functools.cache  # noqa: B019 - as many as there are distinct routes, for as long as the exporter lives
    def _names_of(self, mask: int) -> tuple[str, ...]:
        return tuple(name for name, row in self.rows.items() if mask >> row.id & 1)

    def _close_journal(self) -> None:
        self.store.stop()
        self._journal.close()
