"""Completed scans, told of by the SCRIBE WebSocket: ``type: scribe_websocket``."""

from collections.abc import AsyncGenerator, Iterable, Mapping
from contextlib import aclosing
from itertools import islice
from typing import ClassVar

import anyio
import msgspec
import structlog

from scribe_connectors.scribe._endpoints import ScanId
from scribe_connectors.scribe._fetch import fetch
from scribe_connectors.scribe._listed import Entry
from scribe_connectors.scribe._seen import Seen, mark
from scribe_connectors.scribe._socket import opener
from scribe_connectors.scribe._subscription import Subscription
from scribe_connectors.scribe.client import AsyncScribeClient
from scribe_connectors.scribe.source import MAX_BYTES, ScribeApiSource
from scribe_connectors.scribe.websocket_options import ScribeWebSocketOptions
from scribe_export.errors import BreakerOpen
from scribe_export.interface import Checkpoint, Context
from scribe_export.model import Delivery, Incoming
from scribe_export.options import Options

_SOON = 5.0
"""Seconds until the history is asked again about what could not be fetched."""
_log = structlog.get_logger(__name__)


class ScribeWebSocketSource(ScribeApiSource):
    """Fetches each scan that a `scan_completed` event names, and asks the history for those that no event named.

    The WebSocket acknowledges nothing, so an event is a hint and the history the truth: it is read as `ScribeApiSource`
    does after each subscription, while events are collected, and every `poll_interval`. While the WebSocket is away scans
    come by the history alone. With `Context.once` it is not opened at all.
    """

    options_type: ClassVar[type[Options]] = ScribeWebSocketOptions
    options: ScribeWebSocketOptions

    def __init__(self, options: ScribeWebSocketOptions, context: Context) -> None:
        super().__init__(options, context)
        self._listed: set[str] = set()

    @property
    def _retry_after(self) -> float:
        return min(_SOON, self.options.poll_interval)

    async def deliveries(self, checkpoint: Checkpoint) -> AsyncGenerator[Delivery]:
        if self.context.once:
            async with aclosing(super().deliveries(checkpoint)) as deliveries:
                async for delivery in deliveries:
                    yield delivery
            return
        if self._client is None:
            raise RuntimeError("the source is not open")
        seen = await Seen(self.options.max_limit).load(checkpoint)
        self._postponed.take_up(seen)
        opened = opener(self.options, self.context)
        live = Subscription(self.options.address, opened, self.context)
        try:
            async with aclosing(self._read(self._client, seen, live)) as deliveries:
                async for delivery in deliveries:
                    yield delivery
        finally:
            with anyio.CancelScope(shield=True):
                await live.stop()

    async def _read(self, client: AsyncScribeClient, seen: Seen, live: Subscription) -> AsyncGenerator[Delivery]:
        clock = self.context.clock
        due = clock.monotonic()
        while True:
            hints, self._unfinished = live.take(), False
            if live.behind or not seen.started or clock.monotonic() >= due:
                live.behind = False
                async with aclosing(self._history(client, seen)) as deliveries:
                    async for delivery in deliveries:
                        yield delivery
                due = clock.monotonic() + self.options.poll_interval
            if not self._unfinished:
                async with aclosing(self._hand(seen, self._told(client, seen, hints))) as deliveries:
                    async for delivery in deliveries:
                        yield delivery
            soon = clock.monotonic() + self._retry_after if self._unfinished else self._postponed.next_due()
            due = min(due, soon)
            await self._wait(live, due)

    async def _history(self, client: AsyncScribeClient, seen: Seen) -> AsyncGenerator[Delivery]:
        listed = await self._look(client, seen)
        async with aclosing(self._round(client, seen, listed)) as deliveries:
            async for delivery in deliveries:
                yield delivery
        self._listed = {str(scan_id) for marked, scan_id in listed.scans.items() if marked in seen}

    async def _told(
        self, client: AsyncScribeClient, seen: Seen, hints: Iterable[ScanId]
    ) -> AsyncGenerator[Mapping[str, Incoming]]:
        """The scans that events named, by mark, but for those had already; of failures the history is asked soon."""
        left, found, size = (hint for hint in hints if str(hint) not in self._listed), dict[str, Incoming](), 0
        limit = self.options.max_records
        while group := {str(hint): hint for hint in islice(left, min(self.options.max_in_flight, limit - len(found)))}:
            answers = await fetch(client, group)
            for text, answer in answers.items():
                if not isinstance(answer, bytes):
                    _log.info("scan not fetched yet", source=self.context.name, scan_id=text, error=str(answer))
                    self._unfinished = True
                    continue
                self._listed.add(text)
                marked = _mark(answer, group[text])
                if marked not in seen:
                    found[marked], size = self._incoming(answer, group[text]), size + len(answer)
            if any(isinstance(answer, BreakerOpen) for answer in answers.values()):
                break
            if len(found) >= limit or size >= MAX_BYTES:
                yield found
                found, size = {}, 0
        if found:
            yield found

    async def _wait(self, live: Subscription, due: float) -> None:
        """Until there is news, or it is time to look."""

        async def listen(scope: anyio.CancelScope) -> None:
            await live.news.wait()
            scope.cancel()

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(listen, tasks.cancel_scope)
            await self.context.clock.sleep(max(0.0, due - self.context.clock.monotonic()))
            tasks.cancel_scope.cancel()


def _mark(body: bytes, scan_id: ScanId) -> str:
    # What the list says of a scan, its document says too; the journal sets aside one that has no usable id.
    try:
        return mark(msgspec.json.decode(body, type=Entry))
    except msgspec.ValidationError:
        return mark(Entry(scan_id))
