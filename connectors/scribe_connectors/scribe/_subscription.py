"""One subscription to the scanner's events, kept alive in the background."""

import asyncio
from collections.abc import Callable

import structlog
from websockets.asyncio.client import connect
from websockets.exceptions import WebSocketException

from scribe_connectors.scribe._endpoints import ScanId
from scribe_connectors.scribe._events import SUBSCRIBE, Alert, ScanCompleted, SystemStatus, Unknown, read_event, shown
from scribe_connectors.scribe._socket import lost
from scribe_export.errors import Misconfigured
from scribe_export.interface import Context
from scribe_export.patterns import RetryPolicy

_MOST_HINTS = 10_000
"""Ids that may wait; when more come, the history is asked instead."""
_MILD = {"debug", "info", "notice"}
_GRAVE = {"error", "critical", "fatal", "emergency"}


class Subscription:
    """Collects the ids of completed scans while others are being fetched; reconnects with backoff and jitter.

    `behind` says that scans may have been completed unheard: after each subscription, and again when the server first
    speaks, for only then it is sure to have subscribed us. `news` is set with it and with each id.
    """

    def __init__(self, url: str, opened: Callable[[], connect], context: Context) -> None:
        self.behind = False
        self.news = asyncio.Event()
        self._url = url
        self._opened = opened
        self._clock = context.clock
        self._retry = RetryPolicy(base_delay=1.0, max_delay=60.0, clock=context.clock)
        self._hints: dict[ScanId, None] = {}
        self._heard = False
        self._status = ""
        self._log = structlog.get_logger(__name__).bind(source=context.name)
        self._task = asyncio.create_task(self._run())
        self._task.add_done_callback(lambda _: self.news.set())

    async def stop(self) -> None:
        """Leave; safe twice."""
        self._task.cancel()
        await asyncio.wait([self._task])

    def take(self) -> dict[ScanId, None]:
        """The ids heard since the last call, in order; raises what ended the subscription, if it was a bug."""
        if self._task.done():
            self._task.result()
        taken, self._hints = self._hints, {}
        self.news.clear()
        return taken

    async def _run(self) -> None:
        failures = 0
        while True:
            self._heard = False
            try:
                await self._listen()
            except (OSError, WebSocketException) as error:
                reason = lost(error, self._url)
            failures = 1 if self._heard else failures + 1
            delay = self._retry.delay(failures)
            say = self._log.error if isinstance(reason, Misconfigured) else self._log.warning
            say("not subscribed", reason=str(reason), seconds=round(delay, 1))
            await self._clock.sleep(delay)

    async def _listen(self) -> None:
        """Ends by an exception only: of a connection that was not made, or was closed."""
        async with self._opened() as socket:
            await socket.send(SUBSCRIBE)
            self._log.info("subscribed", url=self._url)
            self._fall_behind()
            while True:
                self._hear(await socket.recv(decode=False))

    def _hear(self, message: bytes) -> None:
        if not self._heard:
            self._heard = True
            self._fall_behind()
        match read_event(message):
            case ScanCompleted(scan_id):
                self._hints[scan_id] = None
                if len(self._hints) > _MOST_HINTS:
                    self._hints.clear()
                    self._fall_behind()
                self.news.set()
            case SystemStatus(status, load):
                if shown(status) != self._status:
                    self._status = shown(status)
                    self._log.info("scanner status", status=self._status, load=shown(load))
            case Alert(said, severity):
                level = shown(severity).lower()
                say = self._log.info if level in _MILD else self._log.error if level in _GRAVE else self._log.warning
                say("scanner alert", severity=level, message=shown(said))
            case Unknown(None | "scan_completed"):
                self._log.warning("event not understood", bytes=len(message))
                self._fall_behind()
            case Unknown(kind):
                self._log.debug("event ignored", type=shown(kind))

    def _fall_behind(self) -> None:
        self.behind = True
        self.news.set()
