"""One source, read for as long as it has something: each delivery is acknowledged after its commit."""

from collections.abc import Mapping, Sequence
from contextlib import aclosing
from typing import Any, Protocol, cast

import anyio
import structlog

from scribe_export.alerts.hearing import Hearing
from scribe_export.clock import Clock
from scribe_export.errors import JournalError, Misconfigured, SinkError, SourceError
from scribe_export.identify import Origin
from scribe_export.interface import Source
from scribe_export.journal.database import Database
from scribe_export.journal.ingest import Ingested
from scribe_export.journal.store import Store
from scribe_export.model import Delivery, Incoming
from scribe_export.patterns import RetryPolicy
from scribe_export.redaction import redacted
from scribe_export.tasks import plain_errors
from scribe_export.unbuffered.concluding import Concluder
from scribe_export.unbuffered.watching import Ticket

log = structlog.get_logger()
LOOKUP = 500


class Taker(Protocol):
    """Takes bodies into the journal: as completed scans, or as requests."""

    async def prepare(self, incoming: Sequence[Incoming], origin: Origin) -> Any:
        """Read them, without an effect."""

    async def commit(
        self, prepared: Any, origin: Origin, checkpoint: Mapping[str, str | None] | None = None
    ) -> Sequence[Ingested] | Sequence[str]:
        """Journal what `prepare` gave; return after the fsync."""


def tickets_of(taken: Sequence[Ingested] | Sequence[str]) -> list[Ticket]:
    """By what the taken bodies are watched."""
    return [one if isinstance(one, str) else one.seq for one in taken]


class Feed:
    """`run` returns when the source is exhausted or cancelled; `failed` says why it cannot go on.

    `ended`: nothing more is read.
    """

    def __init__(
        self,
        name: str,
        source: Source,
        *,
        intake: Taker,
        store: Store,
        clock: Clock,
        concluder: Concluder | None = None,
    ) -> None:
        """With a `concluder` a delivery is not acknowledged for being journalled, but by that one."""
        self.name = name
        self.source = source
        self.failed = ""
        self.exhausted = False
        self.ended = False
        self._concluder, self._stopping = concluder, anyio.Event()
        self.hearing = Hearing(clock.monotonic())
        self._origin = Origin(name, source.options.scope)
        self._intake, self._store, self._clock = intake, store, clock
        self._retry = RetryPolicy(max_attempts=1, base_delay=1.0, max_delay=60.0, clock=clock)
        self._failures = 0
        self._log = log.bind(source=name)

    async def run(self) -> None:
        """Read until exhausted, with backoff over what is not the source's end."""
        try:
            while not self.exhausted:
                try:
                    await self.source.open()
                    await self._read()
                    self.exhausted = True
                except JournalError:
                    raise
                except SourceError as error:
                    self.failed = str(error)
                    self._log.error("source stopped", reason=self.failed)
                    return
                except SinkError as error:
                    await self._back_off("source held", error)
                except Exception as error:  # noqa: BLE001 - a connector's bug must not stop the others
                    self._log.exception("source failed")
                    await self._back_off("source held", error)
        finally:
            self.ended = True
            with anyio.CancelScope(shield=True):
                if self._concluder:
                    await self._concluder.released(self.name)
                await self.source.close()

    def stop(self) -> None:
        """Have `run_until_stopped` take no more, and return."""
        self._stopping.set()

    async def run_until_stopped(self) -> None:
        """As `run`, but what is on its way at the end is acknowledged over the connection that it came by."""
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(self._run_to_its_end)
            await self._stopping.wait()
            self.ended = True
            if self._concluder:
                await self._concluder.released(self.name)
            tasks.cancel_scope.cancel()

    async def _run_to_its_end(self) -> None:
        await self.run()
        self.stop()

    async def _back_off(self, event: str, error: Exception) -> None:
        self._failures += 1
        delay = self._retry.delay(self._failures, getattr(error, "retry_after", None))
        reason = redacted(str(error)) or type(error).__name__
        self.hearing.failed(self._clock.monotonic(), delay, reason)
        level = self._log.error if isinstance(error, Misconfigured) else self._log.warning
        level(event, reason=reason, seconds=round(delay, 1))
        await self._clock.sleep(delay)

    async def _read(self) -> None:
        """The next delivery is read while the last one is being synced, and committed after it."""
        checkpoint = StoredCheckpoint(self._store, self.name)
        deliveries = cast("Any", self.source.deliveries(checkpoint))
        with plain_errors():
            await self._take(deliveries)

    async def _take(self, deliveries: Any) -> None:
        async with aclosing(deliveries), anyio.create_task_group() as tasks:
            turn = anyio.Semaphore(1)
            async for delivery in deliveries:
                try:
                    if self.ended:
                        await anyio.sleep_forever()
                    scans = await self._intake.prepare(delivery.incoming, self._origin)
                    await turn.acquire()
                except BaseException:
                    await _nack(delivery)
                    raise
                tasks.start_soon(self._commit, delivery, scans, turn)

    async def _commit(self, delivery: Delivery, scans: Any, turn: anyio.Semaphore) -> None:
        try:
            taken = await self._intake.commit(scans, self._origin, delivery.checkpoint)
        except BaseException:
            await _nack(delivery)
            raise
        finally:
            turn.release()
        self._failures = 0
        self.hearing.took(self._clock.monotonic(), len(delivery.incoming))
        if self._concluder is None:
            await delivery.ack()
        elif not self._concluder.hold(self.name, delivery, tickets_of(taken)):
            await _nack(delivery)


async def _nack(delivery: Delivery) -> None:
    with anyio.CancelScope(shield=True):
        await delivery.nack()


class StoredCheckpoint:
    """A source's rows of the journal's `cursor` table."""

    def __init__(self, store: Store, source: str) -> None:
        self._store = store
        self._source = source

    async def get(self, keys: Sequence[str]) -> Mapping[str, str]:
        """The values of those of `keys` that have one."""
        return await self._store.do(lambda db: self._values(db, keys))

    def _values(self, db: Database, keys: Sequence[str]) -> dict[str, str]:
        found: dict[str, str] = {}
        for start in range(0, len(keys), LOOKUP):
            part = keys[start : start + LOOKUP]
            marks = ",".join("?" * len(part))
            query = f"SELECT key, value FROM cursor WHERE source=? AND key IN ({marks})"  # noqa: S608
            found.update(db.connection.execute(query, (self._source, *part)).fetchall())
        return found
