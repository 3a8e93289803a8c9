"""One connection to a broker, made when it is wanted and made anew after it was lost."""

import asyncio
import logging
import ssl
from collections.abc import Awaitable, Callable
from contextlib import suppress
from pathlib import Path

from aiormq import Channel, Connection
from aiormq.exceptions import ConnectionClosed, InvalidFrameError
from yarl import URL

from scribe_connectors.rabbitmq._errors import translated
from scribe_connectors.rabbitmq._options import RabbitMqOptions
from scribe_export.errors import Misconfigured, SinkError, Transient

# What it has to say comes here as errors, too, and the framework says them once.
logging.getLogger("aiormq").setLevel(logging.CRITICAL)

Prepare = Callable[[Channel], Awaitable[None]]
_CLOSING = 5.0
CONNECTION_FORCED = 320


class Broker:
    """`prepare` is called with a channel of each new connection before anything else uses it: it declares and checks.

    `name` is what the broker shows of this client. Raises the framework's errors only; `timeout` bounds each call.
    """

    def __init__(self, options: RabbitMqOptions, *, folder: Path, name: str, timeout: float, prepare: Prepare) -> None:
        self._options, self._folder, self._name, self._timeout = options, folder, name, timeout
        self._prepare = prepare
        self._connection: Connection | None = None
        self._lock = asyncio.Lock()

    async def open(self) -> None:
        """Connect, if there is no connection that lives. Raises `Transient` or `Misconfigured`."""
        with translated():
            async with asyncio.timeout(self._timeout):
                async with self._lock:
                    await self._connected()

    async def channel(self, *, confirms: bool) -> Channel:
        """A new channel; of a new connection if there is none that lives."""
        try:
            with translated():
                async with asyncio.timeout(self._timeout):
                    async with self._lock:
                        connection = await self._connected()
                    return await _open_channel(connection, confirms=confirms)
        except Transient as error:
            # Nothing was sent yet, whatever it was.
            raise Transient(str(error), retry_after=error.retry_after, applied="no") from error

    async def is_blocked(self, patience: float) -> bool:
        """Whether the broker, out of memory or disk, takes no messages now nor within `patience` seconds."""
        connection = self._connection
        if connection is None or connection.is_closed:
            return False
        try:
            async with asyncio.timeout(patience):
                await connection.ready()
        except TimeoutError:
            return True
        return False

    async def close(self) -> None:
        """Close the connection with all its channels, and the next call makes a new one; safe twice."""
        connection, self._connection = self._connection, None
        if connection is not None:
            with suppress(TimeoutError):
                async with asyncio.timeout(_CLOSING):
                    await connection.close(_by_us())

    async def _connected(self) -> Connection:
        if self._connection is not None and not self._connection.is_closed:
            return self._connection
        connection = Connection(self._url(), context=await self._trust())
        try:
            await connection.connect({"connection_name": self._name})
            channel = await _open_channel(connection, confirms=False)
            await self._prepare(channel)
            await channel.close()
        except BaseException as error:
            await connection.close(_by_us())
            if isinstance(error, InvalidFrameError):
                # It speaks something else, or it closed instead of opening the virtual host; the client keeps no code.
                raise Misconfigured(
                    f"no AMQP there, or no virtual host {connection.vhost!r}: {error.args[0]}"
                ) from error
            raise
        self._connection = connection
        return connection

    def _url(self) -> URL:
        options = self._options
        password = options.password.reveal() if options.password else "guest"
        url = URL(options.url).with_user(options.username).with_password(password)
        return url.with_query(heartbeat=str(round(options.heartbeat)))

    async def _trust(self) -> ssl.SSLContext | None:
        if not self._options.url.startswith("amqps"):
            return None
        name = self._options.tls.ca_file
        try:
            return await asyncio.to_thread(
                ssl.create_default_context, cafile=str(self._folder / name) if name else None
            )
        except OSError as error:
            raise Misconfigured(f"tls.ca_file: {error}") from error


def _by_us() -> ConnectionClosed:
    """What those are told that still wait for an answer."""
    return ConnectionClosed(CONNECTION_FORCED, "closed by this process")


async def _open_channel(connection: Connection, *, confirms: bool) -> Channel:
    try:
        channel = await connection.channel(publisher_confirms=confirms)
    except RuntimeError as error:
        if isinstance(error, SinkError) or not connection.is_closed:
            raise
        raise Transient("the connection was lost") from error
    assert isinstance(channel, Channel)
    return channel
