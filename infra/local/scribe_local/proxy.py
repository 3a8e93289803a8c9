"""A TCP proxy that fails on command, for tests of what a client does then."""

import asyncio
import socket
import struct
import threading
from contextlib import suppress
from enum import Enum
from types import TracebackType
from typing import Self

from scribe_local.process import free_port


class Mode(Enum):
    """What happens to connections, also to those already open."""

    PASS = "pass"  # noqa: S105 - no password
    """Bytes go through."""
    REFUSE = "refuse"
    """Nobody listens, and what was open is reset."""
    HANG = "hang"
    """Connections are accepted and no byte moves; what waited goes on when the mode changes."""
    LOSE = "lose"
    """The request goes through and takes effect; the connection is reset in place of the answer."""
    DELAY = "delay"
    """Every answer comes late."""
    TRICKLE = "trickle"
    """Every answer comes byte by byte, each late."""
    LIMIT = "limit"
    """No connection gets more than so many bytes a second through, in either direction."""
    CUT = "cut"
    """The connection ends within the answer."""


class Proxy:
    """Listens on a port of 127.0.0.1 in a thread of its own and passes bytes to another; a context manager.

    `connections` counts those accepted, `lost` the answers that `Mode.LOSE` ate. Safe to command from any thread.
    """

    def __init__(self, target_port: int) -> None:
        self._target = target_port
        self.port = free_port()
        self.connections = 0
        self.lost = 0
        self._mode = Mode.PASS
        self._delay = 0.0
        self._losses: int | None = None
        self._rate, self._after = 1024, 20
        self._listener: asyncio.Server | None = None
        self._open: set[asyncio.StreamWriter] = set()
        self._loop = asyncio.new_event_loop()
        self._changed = asyncio.Event()
        self._thread = threading.Thread(target=self._loop.run_forever, name="proxy", daemon=True)

    @property
    def url(self) -> str:
        """Without a slash at its end."""
        return f"http://127.0.0.1:{self.port}"

    def set(
        self, mode: Mode, *, delay: float = 0.0, times: int | None = None, rate: int = 1024, after: int = 20
    ) -> None:
        """Switch; returns once it holds.

        `delay` in seconds goes with DELAY and TRICKLE; LOSE ends after `times` answers if given; `rate` in bytes a second
        goes with LIMIT, `after` in bytes of an answer with CUT.
        """
        self._rate, self._after = rate, after
        asyncio.run_coroutine_threadsafe(self._set(mode, delay, times), self._loop).result()

    def __enter__(self) -> Self:
        self._thread.start()
        self.set(Mode.PASS)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        asyncio.run_coroutine_threadsafe(self._end(), self._loop).result()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    async def _set(self, mode: Mode, delay: float, times: int | None) -> None:
        self._mode, self._delay, self._losses = mode, delay, times
        self._changed.set()
        self._changed = asyncio.Event()
        if mode is Mode.REFUSE:
            await self._close_listener()
            self._reset_all()
        elif self._listener is None:
            self._listener = await asyncio.start_server(self._serve, "127.0.0.1", self.port, limit=2**20)

    async def _end(self) -> None:
        await self._close_listener()
        self._mode = Mode.REFUSE
        self._changed.set()
        self._reset_all()
        running = asyncio.all_tasks() - {asyncio.current_task()}
        for task in running:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)

    async def _close_listener(self) -> None:
        if self._listener is not None:
            self._listener.close()
            self._listener = None

    def _reset_all(self) -> None:
        for writer in list(self._open):
            _reset(writer)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        self._open.add(writer)
        try:
            await self._unhung()
            if writer.transport.is_closing():
                return
            server_reader, server_writer = await asyncio.open_connection("127.0.0.1", self._target, limit=2**20)
            self._open.add(server_writer)
            try:
                await self._both_ways(reader, writer, server_reader, server_writer)
            finally:
                self._open.discard(server_writer)
                server_writer.transport.abort()
        except (OSError, asyncio.CancelledError):
            # Only `_end` cancels; a cancelled task would be reported by the stream's own callback.
            _reset(writer)
        finally:
            self._open.discard(writer)
            writer.transport.abort()

    async def _both_ways(
        self,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        server_reader: asyncio.StreamReader,
        server_writer: asyncio.StreamWriter,
    ) -> None:
        asked = asyncio.create_task(self._requests(reader, server_writer))
        try:
            await self._answers(server_reader, writer)
        finally:
            asked.cancel()
            with suppress(asyncio.CancelledError, OSError):
                await asked

    async def _requests(self, reader: asyncio.StreamReader, server_writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(65536):
            await self._unhung()
            await self._pass(data, server_writer)
        server_writer.write_eof()

    async def _answers(self, server_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await server_reader.read(65536):
            await self._unhung()
            if self._mode is Mode.DELAY:
                await asyncio.sleep(self._delay)
            if self._mode is Mode.LOSE and _answer_proper(data):
                self.lost += 1
                if self._losses is not None:
                    self._losses -= 1
                    self._mode = Mode.LOSE if self._losses > 0 else Mode.PASS
                _reset(writer)
                return
            if self._mode is Mode.CUT:
                writer.write(data[: self._after])
                await writer.drain()
                writer.close()
                return
            await self._pass(data, writer, answers=True)

    async def _pass(self, data: bytes, writer: asyncio.StreamWriter, *, answers: bool = False) -> None:
        """At once, or in pieces for as long as the mode asks for it."""
        while data:
            if self._mode is Mode.TRICKLE and answers:
                size, pause = 1, self._delay
            elif self._mode is Mode.LIMIT:
                size, pause = max(1, self._rate // 20), 0.05
            else:
                size, pause = len(data), 0.0
            writer.write(data[:size])
            await writer.drain()
            data = data[size:]
            if pause:
                await asyncio.sleep(pause)

    async def _unhung(self) -> None:
        while self._mode is Mode.HANG:
            await self._changed.wait()


def _answer_proper(data: bytes) -> bytes:
    """What follows ``100 Continue``, which only asks for the rest of the request."""
    return data.partition(b"\r\n\r\n")[2] if data.startswith(b"HTTP/1.1 100") else data


def _reset(writer: asyncio.StreamWriter) -> None:
    """Close with RST instead of FIN: the client sees a broken connection, not an end."""
    connection = writer.get_extra_info("socket")
    if connection is not None and connection.fileno() >= 0:
        with suppress(OSError):
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()
