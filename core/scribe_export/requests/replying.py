"""Replies to requesters: owed in the journal until their service confirmed them."""

from collections.abc import Callable, Sequence

import anyio
import structlog

from scribe_export.clock import Clock
from scribe_export.errors import Misconfigured, PartialFailure, Rejected, SinkError
from scribe_export.interface import Source
from scribe_export.journal.requests import RequestRow, owed, replied
from scribe_export.journal.store import Store
from scribe_export.lane.waiting import Bell
from scribe_export.patterns import RetryPolicy
from scribe_export.requests.message import reply_of

log = structlog.get_logger()
_AT_ONCE = 20


class Replier:
    """Sends the replies that one source's requesters are owed; `source` is an instance of its own, for sending alone.

    A reply may be sent twice, after a crash or a lost answer; the request's id in it tells.
    """

    def __init__(
        self, name: str, source: Source, *, store: Store, clock: Clock, told: Callable[[], None] | None = None
    ) -> None:
        """`told` is called when some were confirmed."""
        self.name = name
        self._told = told
        self._source, self._store, self._clock = source, store, clock
        self._retry = RetryPolicy(base_delay=0.5, max_delay=60.0, clock=clock)
        self._bell = Bell()
        self._opened, self._stopping, self._clear = False, False, False

    @property
    def idle(self) -> bool:
        """No reply is owed."""
        return self._clear

    def ring(self) -> None:
        """A request has ended."""
        self._clear = False
        self._bell.ring()

    def stop(self) -> None:
        """`run` returns after the reply that is being sent."""
        self._stopping = True
        self._bell.ring()

    async def run(self) -> None:
        """Send what is owed until stopped."""
        failures = 0
        try:
            while not self._stopping:
                rows = await self._store.do(lambda db: owed(db, self.name, _AT_ONCE))
                if not rows:
                    self._clear = True
                    await self._bell.wait(self._clock, None)
                    continue
                try:
                    await self._send(rows)
                    failures = 0
                except Exception as error:  # noqa: BLE001 - a connector's bug must not stop the others
                    failures += 1
                    await self._back_off(error, failures)
        finally:
            with anyio.CancelScope(shield=True):
                await self._source.close()

    async def _send(self, rows: Sequence[RequestRow]) -> None:
        if not self._opened:
            await self._source.open()
            self._opened = True
        try:
            await self._source.reply([reply_of(row, self._clock.now()) for row in rows])
        except Rejected as error:
            if len(rows) > 1:
                for row in rows:
                    await self._send([row])
                return
            self._refused(rows[0], error)
        except PartialFailure as failure:
            await self._settle_some(rows, failure)
            return
        await self._replied(rows)

    async def _settle_some(self, rows: Sequence[RequestRow], failure: PartialFailure) -> None:
        """Those that were confirmed, or refused for good, are not sent again. Raises what the others failed with."""
        refused = {index: error for index, error in failure.errors.items() if isinstance(error, Rejected)}
        for index, error in refused.items():
            self._refused(rows[index], error)
        settled = [row for index, row in enumerate(rows) if index in failure.acked or index in refused]
        await self._replied(settled)
        if len(settled) < len(rows):
            raise next((error for error in failure.errors.values() if not isinstance(error, Rejected)), failure)

    async def _replied(self, rows: Sequence[RequestRow]) -> None:
        await self._store.do(lambda db: replied(db, rows))
        if self._told:
            self._told()

    def _refused(self, row: RequestRow, error: SinkError) -> None:
        log.error("reply refused", source=self.name, request=row.request_id, reason=str(error))

    async def _back_off(self, error: Exception, failures: int) -> None:
        delay = self._retry.delay(failures, getattr(error, "retry_after", None))
        level = log.error if isinstance(error, Misconfigured) or not isinstance(error, SinkError) else log.warning
        level("replies held", source=self.name, reason=f"{type(error).__name__}: {error}", seconds=round(delay, 1))
        until = self._clock.monotonic() + max(delay, 0.05)
        # A request that ends meanwhile makes it no shorter: each would be one more failure, and the delay grow with them.
        while not self._stopping and (left := until - self._clock.monotonic()) > 0:
            await self._bell.wait(self._clock, left)
