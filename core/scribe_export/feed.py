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
from scribe_export.journal.store import Store
from scribe_export.model import Delivery, Incoming
from scribe_export.patterns import RetryPolicy
from scribe_export.tasks import plain_errors

log = structlog.get_logger()
LOOKUP = 500


class Taker(Protocol):
    """Takes bodies into the journal: as completed scans, or as requests."""

    async def prepare(self, incoming: Sequence[Incoming], origin: Origin) -> Any:
        """Read them, without an effect."""

    async def commit(self, prepared: Any, origin: Origin, checkpoint: Mapping[str, str | None] | None = None) -> Any:
        """Journal what `prepare` gave; return after the fsync."""


class Feed:
    """`run` returns when the source is exhausted or `stop` was called; `failed` says why it cannot go on."""

    def __init__(self, name: str, source: Source, *, intake: Taker, store: Store, clock: Clock) -> None:
        self.name = name
        self.source = source
        self.failed = ""
        self.exhausted = False
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
            with anyio.CancelScope(shield=True):
                await self.source.close()

    async def _back_off(self, event: str, error: Exception) -> None:
        self._failures += 1
        delay = self._retry.delay(self._failures, getattr(error, "retry_after", None))
        self.hearing.failed(self._clock.monotonic(), delay, str(error) or type(error).__name__)
        level = self._log.error if isinstance(error, Misconfigured) else self._log.warning
        level(event, reason=str(error) or type(error).__name__, seconds=round(delay, 1))
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
                    scans = await self._intake.prepare(delivery.incoming, self._origin)
                    await turn.acquire()
                except BaseException:
                    await _nack(delivery)
                    raise
                tasks.start_soon(self._commit, delivery, scans, turn)

    async def _commit(self, delivery: Delivery, scans: Any, turn: anyio.Semaphore) -> None:
        try:
            await self._intake.commit(scans, self._origin, delivery.checkpoint)
        except BaseException:
            await _nack(delivery)
            raise
        finally:
            turn.release()
        self._failures = 0
        self.hearing.took(self._clock.monotonic(), len(delivery.incoming))
        await delivery.ack()


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
