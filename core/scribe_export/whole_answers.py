"""Answers that are whole and in time, for the SDKs that are built on `http.client`.

`http.client` takes the end of a connection within the headers for the end of the headers: what is left is a success
without the body and the headers that would have named what failed. And its timeout is for each read of a socket, so that
an answer which comes a byte at a time has no end (https://docs.python.org/3/library/socket.html#notes-on-socket-timeouts).
"""

import contextlib
import heapq
import http.client
import socket
import threading
import time
from collections.abc import Iterator, Mapping
from typing import Any

GRACE = 0.25
"""Seconds beyond the timeout of a read, which says of itself when nothing at all came."""


def whole_answers(pools: Mapping[str, type], connection: "type[TimelyConnection] | None" = None) -> dict[str, type]:
    """urllib3's classes of connection pools, by scheme, for answers that are whole; `connection` for an SDK's own ways.

    The head of an answer must come whole within the timeout for reading, and all of it unless it was asked for by GET:
    downloads may take as long as something comes. Otherwise the call ends as by a timeout, its outcome unknown.
    """
    return {scheme: _pool(pool, connection or TimelyConnection) for scheme, pool in pools.items()}


class Deadline:
    """A moment after which a socket is shut down, which ends whoever reads it; `passed` if it was."""

    __slots__ = ("_moment", "_socket", "passed")

    def __init__(self, connection: socket.socket, moment: float) -> None:
        self._socket: socket.socket | None = connection
        self._moment = moment
        self.passed = False

    def __lt__(self, other: "Deadline") -> bool:
        return self._moment < other._moment

    def end(self) -> None:
        """It was met."""
        self._socket = None

    def seconds(self, now: float) -> float:
        """How long is left of it; none once it was met."""
        return self._moment - now if self._socket else 0.0

    def strike(self) -> None:
        """Its moment has come."""
        if connection := self._socket:
            self.passed = True
            with contextlib.suppress(OSError):
                # Of TLS too: its own way of ending would wait for the reader.
                socket.socket.shutdown(connection, socket.SHUT_RDWR)


class _Watch:
    """One thread for all deadlines of the process."""

    def __init__(self) -> None:
        self._waiting: list[Deadline] = []
        self._changed = threading.Condition()
        self._thread: threading.Thread | None = None

    def set(self, connection: socket.socket, seconds: float) -> Deadline:
        deadline = Deadline(connection, time.monotonic() + seconds)
        with self._changed:
            heapq.heappush(self._waiting, deadline)
            if self._thread is None or not self._thread.is_alive():
                self._thread = threading.Thread(target=self._run, name="deadlines", daemon=True)
                self._thread.start()
            elif self._waiting[0] is deadline:
                self._changed.notify()
        return deadline

    def _run(self) -> None:
        with self._changed:
            while True:
                left = self._waiting[0].seconds(time.monotonic()) if self._waiting else None
                if left is None or left > 0:
                    self._changed.wait(left)
                else:
                    heapq.heappop(self._waiting).strike()


_watch = _Watch()


class _Lines:
    """A stream that remembers whether it ended within the lines that were read of it."""

    def __init__(self, stream: Any) -> None:
        self._stream = stream
        self.ended = False

    def readline(self, *limit: int) -> bytes:
        line: bytes = self._stream.readline(*limit)
        self.ended = not line
        return line

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


class WholeHead(http.client.HTTPResponse):
    """A response whose connection must not end within the headers."""

    fp: Any

    def begin(self) -> None:
        stream = self.fp
        lines = self.fp = _Lines(stream)
        try:
            super().begin()
        finally:
            if self.fp is lines:
                self.fp = stream
        if lines.ended:
            self.close()
            raise http.client.RemoteDisconnected("the connection ended within the headers of the answer")


class TimelyConnection:
    """Goes before the class of a connection."""

    response_class: Any = WholeHead
    sock: Any
    _deadline: Deadline | None = None
    _downloads = False

    def request(self, method: str, *arguments: Any, **options: Any) -> Any:
        """As the class behind it does."""
        self._downloads = method == "GET"
        return super().request(method, *arguments, **options)  # type: ignore[misc]  # the class behind has it

    def getresponse(self, *arguments: Any, **options: Any) -> Any:
        """As the class behind it does, in time; raises `TimeoutError` otherwise."""
        with self.in_time():
            answer = super().getresponse(*arguments, **options)  # type: ignore[misc]  # as above
        if self._downloads:
            self.done()
        return answer

    @contextlib.contextmanager
    def in_time(self) -> Iterator[None]:
        """From now until `done`; raises `TimeoutError` for what fails in the block because it was too slow."""
        self.done()
        timeout = self.sock.gettimeout() if isinstance(self.sock, socket.socket) else None
        deadline = self._deadline = None if timeout is None else _watch.set(self.sock, timeout + GRACE)
        try:
            yield
        except (OSError, http.client.HTTPException) as error:
            self.done()
            if deadline and deadline.passed:
                raise TimeoutError("the answer did not come whole in time") from error
            raise

    def done(self) -> None:
        """What had to come in time is here."""
        if self._deadline:
            self._deadline.end()

    def close(self) -> None:
        """As the class behind it does."""
        self.done()
        super().close()  # type: ignore[misc]  # as above


def _pool(pool: Any, timely: type[TimelyConnection]) -> type:
    if issubclass(pool.ConnectionCls, TimelyConnection):
        return pool  # type: ignore[no-any-return]  # one of ours, which urllib3 has no types for
    connection = type(pool.ConnectionCls.__name__, (timely, pool.ConnectionCls), {})

    def put(self: Any, given: Any) -> None:
        if given is not None:
            given.done()
        pool._put_conn(self, given)  # noqa: SLF001 - where urllib3 gets a connection back

    return type(pool.__name__, (pool,), {"ConnectionCls": connection, "_put_conn": put})
