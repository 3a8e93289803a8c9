"""What this process took and has not journalled yet, and its signs of life meanwhile."""

import asyncio
import os
import re
import secrets
import socket
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress

import structlog

from scribe_connectors.redis._options import RedisSourceOptions
from scribe_export.clock import Clock
from scribe_export.errors import SinkError

_log = structlog.get_logger("scribe_export.redis")
_POLL = 0.05
GRACE = 0.5
"""Seconds beyond a lease after which it has surely run out."""


def new_consumer() -> str:
    """A name that no other process has or had, and that tells an operator where this one is."""
    host = re.sub(r"[^A-Za-z0-9.-]", "-", socket.gethostname())[:64]
    return f"{host}-{os.getpid()}-{secrets.token_hex(4)}"


class Room:
    """Bounds what is taken and not yet journalled, in number and bytes."""

    def __init__(self, options: RedisSourceOptions, clock: Clock) -> None:
        self._options, self._clock = options, clock
        self._count = self._bytes = 0
        self._usual = 4096  # bytes of a message; learnt from those that come

    async def wait(self) -> int:
        """Wait until there is room; how many messages may be taken now."""
        options = self._options
        while self._count >= options.max_unacked or self._bytes >= options.max_unacked_bytes:
            await self._clock.sleep(_POLL)
        fits = (options.max_unacked_bytes - self._bytes) // self._usual
        return max(1, min(options.max_records, options.max_unacked - self._count, fits))

    def fill(self, bodies: Sequence[bytes]) -> None:
        """They were taken."""
        size = sum(map(len, bodies))
        self._count += len(bodies)
        self._bytes += size
        self._usual = max(1, size // len(bodies))

    def free(self, bodies: Sequence[bytes]) -> None:
        """They are journalled, or not ours any more."""
        self._count -= len(bodies)
        self._bytes -= sum(map(len, bodies))


class Beat:
    """Calls `each` in the background every so many seconds; what fails is tried again the next time."""

    def __init__(self, each: Callable[[], Awaitable[None]], seconds: float) -> None:
        self._each, self._seconds = each, seconds
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin; safe twice. It outlives the generator that starts it, so it is no task of its scope."""
        if self._task is None:
            self._task = asyncio.get_running_loop().create_task(self._run())

    async def stop(self) -> None:
        """End; safe twice."""
        task, self._task = self._task, None
        if task is not None:
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task

    async def _run(self) -> None:
        while True:
            await asyncio.sleep(self._seconds)
            try:
                await self._each()
            except SinkError as error:
                _log.warning("no sign of life", reason=str(error))
            except Exception:  # noqa: BLE001 - a bug must not end the signs of life
                _log.exception("no sign of life")
