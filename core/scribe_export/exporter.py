"""A pipeline at work: sources into the journal, the journal into lanes, all from one config."""

import functools
import random
from collections.abc import Callable, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self, cast

import anyio
import msgspec
import structlog
from anyio.abc import TaskGroup

from scribe_export import config as configuration
from scribe_export.accepted import Accepted
from scribe_export.alerts.watch import AlertWatch
from scribe_export.claims import ClaimHolder, ClaimStore
from scribe_export.clock import Clock, SystemClock
from scribe_export.config import Config
from scribe_export.errors import InvalidScan, JournalUnusable
from scribe_export.feed import Feed
from scribe_export.housekeeping import Housekeeper
from scribe_export.identify import Identifier, Origin
from scribe_export.intake import Intake
from scribe_export.interface import Sink, Source
from scribe_export.journal.destinations import DestinationRow, register
from scribe_export.journal.ingest import ConflictMasks, Ingested, last_seq
from scribe_export.journal.opening import OpenJournal, mark_damaged, open_journal
from scribe_export.journal.recover import RecoveryReport
from scribe_export.journal.store import Store
from scribe_export.lane.head import Head
from scribe_export.lane.lane import Lane
from scribe_export.model import Incoming
from scribe_export.options import BreakerOptions, SinkOptions
from scribe_export.patterns import CircuitBreaker, RetryPolicy
from scribe_export.requests.performing import SOURCE, Requests
from scribe_export.requests.replying import Replier
from scribe_export.requests.taking import RequestIntake
from scribe_export.routing.router import Router
from scribe_export.tasks import plain_errors

log = structlog.get_logger()
POLL = 0.05


class Exporter:
    """Use it as ``async with``: entering opens the journal and starts what the config names.

    `sources` and `lanes` False leave those out: such an exporter only journals. `once` asks sources to read what is there
    and then end. Entering raises `StateOwned` or another `JournalError`.
    """

    def __init__(
        self,
        config: Config,
        *,
        sources: bool = True,
        lanes: bool = True,
        once: bool = False,
        clock: Clock | None = None,
        rng: random.Random | None = None,
    ) -> None:
        self.config = config
        self.clock = clock or SystemClock()
        self.failure: JournalUnusable | None = None
        self.lanes: dict[str, Lane] = {}
        self.sinks: dict[str, Sink] = {}
        self.claims: dict[str, ClaimStore | None] = {}
        self.feeds: list[Feed] = []
        self.requests: Requests | None = None
        self.repliers: list[Replier] = []
        self.rows: dict[str, DestinationRow] = {}
        self._with_sources, self._with_lanes, self._once = sources, lanes, once
        self._rng = rng or random.Random()  # noqa: S311 - spreads retries, guards nothing
        self._stoppable: list[anyio.CancelScope] = []
        self._reading: set[str] = set()

    @classmethod
    def from_file(cls, path: str | Path, **options: Any) -> "Exporter":
        """From a config file; raises `ConfigError` with every mistake in it."""
        return cls(configuration.load(path), **options)

    async def __aenter__(self) -> Self:
        self._journal = self._opened()
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
            for lane in self.lanes.values():
                self._tasks.start_soon(self._guarded, lane.run)
        if self._with_sources:
            for worker in (self.requests, *self.repliers):
                if worker:
                    self._tasks.start_soon(self._guarded, worker.run)
            self._reading = {feed.name for feed in self.feeds}
            for feed in self.feeds:
                self._tasks.start_soon(self._read, feed)
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
        for scope in self._stoppable:
            scope.cancel()
        for worker in (*self.lanes.values(), self.requests, *self.repliers):
            if worker:
                worker.stop()

    async def deliver(self, scan: bytes | Mapping[str, Any], *, source: str = "python") -> Accepted:
        """Journal one completed scan: when this returns it is fsynced, and its destinations will have it.

        Raises `InvalidScan` for what is none, `JournalFull` when the quota is used up.
        """
        return (await self.accept([scan if isinstance(scan, bytes) else msgspec.json.encode(scan)], source=source))[0]

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
        return bool(self._reading)

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

    @property
    def _requests_idle(self) -> bool:
        if not self._with_sources or self.requests is None:
            return True
        return self.requests.idle and all(replier.idle for replier in self.repliers)

    def _opened(self) -> OpenJournal:
        return open_journal(self.config.state_folder, quota=self.config.journal.quota, clock=self.clock)

    async def _build(self) -> None:
        self.rows = await self.store.do(lambda db: register(db, self.config.destinations))
        newest = await self.store.do(last_seq)
        self.head = Head(newest)
        for name, built in self.config.destinations.items():
            sink = cast("Sink", built.connector(built.options, self.config.context(name, clock=self.clock)))
            self.sinks[name] = sink
            self.claims[name] = self._claim_store(built.options)
            if self._with_lanes:
                self.lanes[name] = self._lane(self.rows[name], sink)
        bit_of = {name: row.id for name, row in self.rows.items()}
        self.router = Router(bit_of, self.config.rules)
        policies = {row.id: self.config.destinations[name].options.on_conflict for name, row in self.rows.items()}
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
            conflicts=ConflictMasks(
                dead_letter=sum(1 << bit for bit, policy in policies.items() if policy == "dead_letter"),
                keep=sum(1 << bit for bit, policy in policies.items() if policy == "keep"),
            ),
            clock=self.clock,
        )
        self.housekeeper = Housekeeper(self.store, self._journal.folder, self.clock, self.config.journal.history)
        if self.config.scanner:
            self.requests = Requests(
                self.config.scanner,
                self.config.context(SOURCE, clock=self.clock),
                store=self.store,
                intake=self.intake,
                accepted=self.accepted,
            )
        if self._with_sources:
            for name in self.config.sources:
                self.feeds.append(self._feed(name))
        self.alerts = AlertWatch(
            self.config.alerts,
            pipeline=self.config.pipeline,
            folder=self.config.folder,
            store=self.store,
            lanes=self.lanes,
            feeds=self.feeds,
            clock=self.clock,
            rng=self._rng,
        )

    def _feed(self, name: str) -> Feed:
        source = self._source(name)
        if source.options.delivers == "scans" or self.requests is None:
            return Feed(name, source, intake=self.intake, store=self.store, clock=self.clock)
        told = [self.requests.ring]
        if source.replies:
            replier = Replier(name, self._source(name), store=self.store, clock=self.clock)
            self.repliers.append(replier)
            self.requests.on_end(replier.ring)
            told.append(replier.ring)
        taker = RequestIntake(self.store, self.clock, replies=source.replies, told=told)
        return Feed(name, source, intake=taker, store=self.store, clock=self.clock)

    def _source(self, name: str) -> Source:
        built = self.config.sources[name]
        return cast(
            "Source", built.connector(built.options, self.config.context(name, clock=self.clock, once=self._once))
        )

    def _lane(self, row: DestinationRow, sink: Sink) -> Lane:
        options = sink.options
        breaker = self._breaker(options.breaker)
        retry = RetryPolicy(
            options.retry.max_attempts,
            options.retry.base_delay,
            options.retry.max_delay,
            rng=self._rng,
            clock=self.clock,
        )
        return Lane(
            row,
            sink,
            store=self.store,
            head=self.head,
            clock=self.clock,
            retry=retry,
            breaker=breaker,
            claims=self.claims[row.name],
            assume=self.config.assume_timezone,
        )

    def _claim_store(self, options: SinkOptions) -> ClaimStore | None:
        name = options.oversize.destination
        if name is None:
            return None
        built = self.config.destinations[name]
        holder = built.connector(built.options, self.config.context(name, clock=self.clock))
        return ClaimStore(name, cast("ClaimHolder", holder), self._breaker(built.options.breaker))

    def _breaker(self, options: BreakerOptions) -> CircuitBreaker:
        return CircuitBreaker(
            options.failure_threshold,
            options.timeout,
            failure_rate=options.failure_rate,
            window=options.window,
            clock=self.clock,
        )

    async def _read(self, feed: Feed) -> None:
        await self._until_stopped(feed.run)
        self._reading.discard(feed.name)

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
            if "damaged" in str(error):
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
