"""The loop of one destination: what is sent next, when, and how many at once."""

import functools
from collections.abc import Callable, Collection, Sequence
from dataclasses import replace
from datetime import UTC, tzinfo

import anyio
import structlog
from anyio.abc import TaskGroup

from scribe_export.claims import ClaimStore
from scribe_export.clock import Clock
from scribe_export.errors import JournalFull, Misconfigured, SinkError
from scribe_export.interface import Sink
from scribe_export.journal.batches import SealedBatch, batches, members_of, take_note
from scribe_export.journal.bodies import Fetched, fetch_members, fetch_next
from scribe_export.journal.database import Database
from scribe_export.journal.destinations import DestinationRow
from scribe_export.journal.seal import seal
from scribe_export.journal.store import Store
from scribe_export.lane.backlog import Backlog, waiting_backlog
from scribe_export.lane.cut import BatchBounds, group
from scribe_export.lane.head import Head
from scribe_export.lane.keeping import KeptBreaker
from scribe_export.lane.measured import LaneMeter, Load
from scribe_export.lane.queue import BatchQueue
from scribe_export.lane.sending import Failed, Outcome, Refused, encode, keep_claims, prepare, takes_places
from scribe_export.lane.settling import Settlement, settlement
from scribe_export.lane.waiting import Bell
from scribe_export.model import Record
from scribe_export.oversize import sealed_shape
from scribe_export.patterns import CircuitBreaker, CircuitState, RetryPolicy
from scribe_export.redaction import redacted
from scribe_export.tasks import plain_errors

log = structlog.get_logger()
FULL_PAUSE = 1.0
UNOPENED = "cannot be opened"


class Lane:
    """Delivers one destination's scans from the journal; `run` until `stop`.

    `flush` seals what waits at once instead of waiting for full batches.
    """

    def __init__(
        self,
        row: DestinationRow,
        sink: Sink,
        *,
        store: Store,
        head: Head,
        clock: Clock,
        retry: RetryPolicy,
        breaker: CircuitBreaker,
        claims: ClaimStore | None = None,
        assume: tzinfo = UTC,
        told: Callable[[], None] | None = None,
    ) -> None:
        """`told` is called when scans were settled, or became dead letters."""
        self.name = row.name
        self.id = row.id
        self.sink = sink
        self.breaker = breaker
        self.flush = False
        self.paused = row.paused
        self.misconfigured = False
        self.meter = LaneMeter(clock)
        self._store, self._head, self._clock, self._retry, self._assume = store, head, clock, retry, assume
        self._claims, self._told = claims, told
        self._cursor = row.sealed_seq
        self._bounds = BatchBounds.of(sink)
        self._backlog = Backlog()
        self._queue = BatchQueue(clock, retry, breaker.window, ordered=sink.ordered)
        self._ready: dict[int, list[Record]] = {}
        self._in_flight: dict[int, SealedBatch] = {}
        self._width = float(sink.options.max_in_flight)
        self._bell = Bell()
        self.turn = anyio.Lock()
        self._stopping = False
        self._loaded = False
        self._log = log.bind(destination=self.name)
        self._kept = KeptBreaker(row, breaker)

    def journalled(self, count: int, size: int) -> None:
        """`count` scans of `size` bytes for this destination were committed."""
        self._backlog.add(count, size, self._clock.monotonic())
        if (
            self._backlog.due(self._bounds, self._clock.monotonic(), flush=self.flush)
            or not self._bounds.max_age
            or self._backlog.count == count
        ):
            self._bell.ring()

    def ring(self) -> None:
        """Something changed from outside: a flush, a replay."""
        self._bell.ring()

    def adopt(self, sealed: list[SealedBatch]) -> None:
        """Take batches that an operator's replay has sealed or reopened."""
        for batch in sealed:
            self._queue.put(batch, now=True)
        self._bell.ring()

    def pause(self, *, paused: bool) -> None:
        """Start nothing until it is resumed, and then try at once what waits; what is in flight ends."""
        self.paused = paused
        if not paused:
            self.breaker.reset()
            self._queue.all_due()
        self._bell.ring()

    @property
    def in_flight(self) -> Collection[int]:
        """The rows of the batches that are being sent. Who holds `turn` keeps more from being sealed or sent."""
        return self._in_flight.keys()

    def exchange(self, gone: Collection[int], sealed: Sequence[SealedBatch]) -> None:
        """Take batches in the place of others that were sealed anew; the caller holds `turn`."""
        self._queue.drop(gone)
        for batch in gone:
            self._ready.pop(batch, None)
        for one in sealed:
            self._queue.put(one)
        self._bell.ring()

    def stop(self) -> None:
        """Start nothing more; `run` returns when what is in flight has ended."""
        self._stopping = True
        self._bell.ring()

    @property
    def idle(self) -> bool:
        """Nothing waits and nothing is in flight."""
        return self._loaded and not self._queue and not self._in_flight and not self._backlog.count

    @property
    def stuck(self) -> bool:
        """Nothing will move by itself: it waits for an operator, or for a scan that tells poison from an outage."""
        suspects = self._loaded and bool(self._queue) and not self._backlog.count and self._queue.only_suspects
        return not self._in_flight and (self.paused or self.misconfigured or suspects)

    @property
    def load(self) -> Load:
        """What it has before it."""
        return Load.of(self._backlog, self._queue, self._in_flight.values(), self._width, known=self._loaded)

    async def run(self) -> None:
        """Open the sink, take up what the journal holds, and deliver."""
        if not await self._open_sink():
            return
        try:
            await self._load()
            with plain_errors():
                await self._deliver()
        finally:
            with anyio.CancelScope(shield=True):
                await self.sink.close()
                if self._claims:
                    await self._claims.close()

    async def _deliver(self) -> None:
        async with anyio.create_task_group() as tasks:
            while not self._stopping:
                async with self.turn:
                    launched = await self._launch(tasks)
                if not launched:
                    await self._bell.wait(self._clock, self._next_moment())

    async def _open_sink(self) -> bool:
        while not self._stopping:
            if self.paused:
                await self._bell.wait(self._clock, None)
                continue
            try:
                await self.sink.open()
            except SinkError as error:
                self.misconfigured = isinstance(error, Misconfigured)
                self.breaker.trip(f"{UNOPENED}: {error}")
                await self._hold_open()
            except Exception as error:  # noqa: BLE001 - a connector's bug must not stop the others
                self._log.exception("destination cannot be opened")
                self.breaker.trip(redacted(f"{UNOPENED}: {type(error).__name__}: {error}"))
                await self._hold_open()
            else:
                if self.breaker.reason.startswith(UNOPENED):
                    self.breaker.reset()
                return True
        return False

    async def _hold_open(self) -> None:
        self._log.warning("destination held", reason=self.breaker.reason)
        await self._store.do(self._kept.beside(lambda _: None))
        until = self._clock.monotonic() + max(self.breaker.remaining(), 1.0)
        while self._held_open and (left := until - self._clock.monotonic()) > 0:
            await self._bell.wait(self._clock, left)

    @property
    def _held_open(self) -> bool:
        """It cannot be opened, and nobody has said that it may be tried."""
        return not self._stopping and self.breaker.state is not CircuitState.CLOSED

    async def _load(self) -> None:
        def load(db: Database) -> tuple[list[SealedBatch], Backlog]:
            return batches(db, self.id), waiting_backlog(db, self.id, self._cursor)

        opened, backlog = await self._store.do(load)
        self._backlog.clear()  # what was journalled since the start is among what was found
        self._backlog.merge(backlog)
        for batch in opened:
            self._queue.put(batch)
        self._loaded = True

    async def _launch(self, tasks: TaskGroup) -> bool:
        """Start one attempt or seal one batch; False if there is nothing to do now."""
        if self.paused or self._stopping:
            return False
        probing = self.breaker.state is not CircuitState.CLOSED
        if len(self._in_flight) >= (1 if probing else int(self._width)) or (probing and self.breaker.remaining() > 0):
            return False
        batch = self._queue.next_due()
        if batch is None and self._backlog.due(self._bounds, self._clock.monotonic(), flush=self.flush):
            return await self._seal()
        batch = batch or self._queue.last_resort()
        if batch is None:
            return False
        self._queue.take(batch)
        self._in_flight[batch.id] = batch
        tasks.start_soon(self._send, batch)
        return True

    def _next_moment(self) -> float | None:
        """Seconds until something is due by itself; None if only an event can bring more to do."""
        full = len(self._in_flight) >= int(self._width) or self.breaker.state is not CircuitState.CLOSED
        if self.paused or (self._in_flight and full):
            return None
        moments = [self._queue.seconds_until_due()]
        if self._backlog.count:
            moments.append(self._backlog.seconds_until_due(self._bounds, self._clock.monotonic(), flush=self.flush))
        soonest = min((moment for moment in moments if moment is not None), default=None)
        return None if soonest is None else max(soonest, self.breaker.remaining(), 0.0)

    async def _seal(self) -> bool:
        fetched, upto = await self._fetch()
        groups = group(self.sink, fetched.records)
        refused = groups.refused | {seq: ("corrupt", why) for seq, why in fetched.corrupt.items()}
        if not groups.members and not refused:
            self._cursor = upto
            self._backlog.clear()
            return False
        command = functools.partial(
            seal,
            destination=self.id,
            groups=groups.members,
            upto=upto,
            shape=sealed_shape(self.sink, self._claims.location if self._claims else None),
            by_record=self.sink.identity == "record",
            refused=refused,
        )
        try:
            sealed = await self._store.do(command)
        except JournalFull as error:
            await self._wait_for_room(error)
            return True
        self._cursor = upto
        size = sum([record.size for record in fetched.records])
        self._backlog.take(len(fetched.records) + len(fetched.corrupt), size, self._clock.monotonic())
        for seq, (kind, why) in refused.items():
            self._log.error("dead letter", seq=seq, kind=kind, error=why)
        if refused and self._told:
            self._told()
        if len(sealed) == 1 and not refused:
            self._ready[sealed[0].id] = fetched.records
        for batch in sealed:
            self._queue.put(batch)
        return True

    async def _fetch(self) -> tuple[Fetched, int]:
        bounds = self._bounds
        taken = self._head.take(self.id, self._cursor, bounds.max_records, bounds.max_bytes)
        if taken is not None:
            return Fetched(taken.records, {}), taken.upto
        newest = self._head.newest_seq
        fetched = await self._store.do(
            functools.partial(
                fetch_next,
                bit=self.id,
                after=self._cursor,
                max_records=bounds.max_records,
                max_bytes=bounds.max_bytes,
                assume=self._assume,
            )
        )
        seqs = [record.seq for record in fetched.records] + list(fetched.corrupt)
        return fetched, max(seqs, default=newest)

    async def _send(self, batch: SealedBatch) -> None:
        try:
            outcome = await self._attempt(batch)
            if outcome is None:
                self._queue.put(batch, now=True)
            else:
                await self._settle(batch, outcome)
        finally:
            self._ready.pop(batch.id, None)
            self._in_flight.pop(batch.id, None)
            self._queue.returned(batch)
            self._bell.ring()

    async def _attempt(self, batch: SealedBatch) -> Outcome | None:
        """None if the breaker would not let it through after all."""
        records = self._ready.get(batch.id)
        if records is None:
            fetched = await self._store.do(lambda db: _members(db, batch, self._assume))
            if fetched.corrupt:
                return Refused({seq: ("corrupt", why) for seq, why in fetched.corrupt.items()})
            records = fetched.records
        fitted = await encode(self.sink, batch, records)
        if isinstance(fitted, Outcome):
            return fitted
        if fitted.claims and self._claims and (waiting := await keep_claims(self._claims, fitted)):
            return waiting
        if not self.breaker.allow():
            return None
        encoded = fitted.encoded
        if takes_places(self.sink) and not batch.note:
            place = await prepare(self.sink, encoded.batch)
            if isinstance(place, Failed):
                return place
            if place:
                await self._store.do(lambda db: take_note(db, batch, place))
                encoded = replace(encoded, batch=replace(encoded.batch, note=place))
        return await self.meter.write(self.sink, encoded, self._claims, fitted.claims.values())

    async def _settle(self, batch: SealedBatch, outcome: Outcome) -> None:
        was_closed = self.breaker.state is CircuitState.CLOSED
        alone = not self._queue and len(self._in_flight) <= 1 and not self._backlog.count
        done = settlement(batch, outcome, evidence=self._queue.evidence(batch, alone=alone), retry=self._retry)
        self._weigh(done)
        if not was_closed and self.breaker.state is CircuitState.CLOSED:
            self._log.info("destination recovered")
            self._queue.all_due()
        sealed = await self._commit(done)
        self.meter.ended(batch, outcome, sealed)
        if done.failed:
            self._queue.failed(batch, sealed)
        else:
            self._queue.settled(batch)
        if done.got_through:
            self._queue.got_through()
        for follower in sealed:
            self._queue.put(follower, delay=done.delay)
        done.tell(self._log, batch)
        if self._told:
            self._told()

    def _weigh(self, done: Settlement) -> None:
        """What the outcome says of the destination, and of how much it can take."""
        was_open = self.breaker.state is CircuitState.OPEN
        if done.got_through:
            self.misconfigured = False
            self._width = min(self._width + 1 / self._width, self.sink.options.max_in_flight)
            self.breaker.record_success()
        elif done.misconfigured:
            self.misconfigured = True
            self.breaker.trip(done.reason)
        elif done.speaks_against:
            self.breaker.record_failure(done.reason)
        else:
            self.breaker.release()
        if done.throttled:
            self._width = max(1.0, self._width / 2)
        if self.breaker.state is CircuitState.OPEN and not was_open:
            self._log.warning("destination held", reason=self.breaker.reason)

    async def _commit(self, done: Settlement) -> list[SealedBatch]:
        command = self._kept.beside(done.command)
        while True:
            try:
                return await self._store.do(command) or []
            except JournalFull as error:
                await self._wait_for_room(error)

    async def _wait_for_room(self, error: JournalFull) -> None:
        self._log.warning("journal full, batch kept", reason=str(error))
        await self._clock.sleep(FULL_PAUSE)


def _members(db: Database, batch: SealedBatch, assume: tzinfo) -> Fetched:
    return fetch_members(db, [member.seq for member in members_of(db, batch)], assume=assume)
