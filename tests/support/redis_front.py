"""A server before Redis: it passes commands on one by one, keeps and counts them, and fails on command."""

import socket
import socketserver
import ssl
import struct
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from types import TracebackType
from typing import BinaryIO, Self

Command = tuple[bytes, ...]
Script = Callable[[Command], bytes | None]
"""What to answer in place of Redis, as it goes over the wire; None passes on, empty bytes reset the connection."""

RESET = b""
LOST = b"lost"
"""In a script: the command is passed on, and its connection is reset in place of the answer."""
_CHANGING = (b"LPUSH", b"RPUSH", b"XADD", b"PUBLISH", b"SET", b"EXEC", b"LREM", b"XACK")


class RedisFront:
    """Listens on a free port of 127.0.0.1; a context manager.

    `commands` are all that came, raw ones as `wire`; `requests` counts commands, and connections that were reset at once.
    """

    def __init__(self, target_port: int, *, tls: ssl.SSLContext | None = None) -> None:
        self.requests = 0
        self.commands: list[Command] = []
        self.wire: list[bytes] = []
        self._target = target_port
        self._script: Script | None = None
        self._down = False
        self._open: set[socket.socket] = set()
        self._server = socketserver.ThreadingTCPServer(("127.0.0.1", 0), self._handler())
        self._server.daemon_threads = True
        self._scheme = "rediss" if tls else "redis"
        if tls:
            self._server.socket = tls.wrap_socket(self._server.socket, server_side=True, do_handshake_on_connect=False)
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,), name="redis-front")
        self.port: int = self._server.server_address[1]

    @property
    def url(self) -> str:
        return f"{self._scheme}://127.0.0.1:{self.port}"

    @property
    def connections(self) -> frozenset[socket.socket]:
        """Those that are open now; one that the client closed stays until its thread has read the end."""
        return frozenset(self._open)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()
        self._reset_all()

    @contextmanager
    def down(self) -> Iterator[None]:
        """Connections are reset, those that are open and those that come, within the block."""
        self._down = True
        self._reset_all()
        yield
        self._down = False

    @contextmanager
    def scripted(self, script: Script) -> Iterator[None]:
        """Commands that the script has an answer for are answered so within the block."""
        self._script = script
        yield
        self._script = None

    def denying(self) -> AbstractContextManager[None]:
        """Every command is answered with NOPERM within the block."""
        return self.scripted(lambda _: b"-NOPERM this user has no permissions\r\n")

    def losing_answers(self) -> AbstractContextManager[None]:
        """Commands that change something take effect, and their answers never arrive, within the block."""
        return self.scripted(lambda command: LOST if command[0] in _CHANGING else None)

    def refusing(self, body: bytes) -> AbstractContextManager[None]:
        """Commands that carry this body are answered with OOM within the block."""
        answer = b"-OOM command not allowed when used memory > 'maxmemory'.\r\n"
        return self.scripted(lambda command: answer if body in command else None)

    def _reset_all(self) -> None:
        for one in list(self._open):
            _reset(one)

    def _handler(self) -> type[socketserver.BaseRequestHandler]:
        front = self

        class Handler(socketserver.BaseRequestHandler):
            def handle(self) -> None:
                if front._down:
                    front.requests += 1
                    _reset(self.request)
                    return
                front._open.add(self.request)
                with suppress(OSError, EOFError), socket.create_connection(("127.0.0.1", front._target)) as server:
                    front._serve(self.request, server)
                front._open.discard(self.request)

        return Handler

    def _serve(self, client: socket.socket, server: socket.socket) -> None:
        with client.makefile("rb") as asked, server.makefile("rb") as answered:
            while True:
                raw = _read(asked)
                command = _parsed(raw)
                self.requests += 1
                self.commands.append(command)
                self.wire.append(raw)
                own = self._script(command) if self._script else None
                if own == RESET and own is not None:
                    _reset(client)
                    return
                if own is not None and own != LOST:
                    client.sendall(own)
                    continue
                server.sendall(raw)
                answer = _read(answered)
                if own == LOST:
                    _reset(client)
                    return
                client.sendall(answer)


def _read(stream: BinaryIO) -> bytes:
    """One value as it went over the wire."""
    line = stream.readline()
    if not line.endswith(b"\r\n"):
        raise EOFError
    count = int(line[1:]) if line[:1] in b"$*%~>" else -1
    if line[:1] == b"$" and count >= 0:
        return line + stream.read(count + 2)
    if line[:1] in b"*%~>":
        return line + b"".join(_read(stream) for _ in range(2 * count if line[:1] == b"%" else count))
    return line


def _parsed(raw: bytes) -> Command:
    parts, rest = [], raw.partition(b"\r\n")[2]
    while rest:
        length, _, rest = rest.partition(b"\r\n")
        parts.append(rest[: int(length[1:])])
        rest = rest[int(length[1:]) + 2 :]
    return tuple(parts)


def _reset(connection: socket.socket) -> None:
    with suppress(OSError):
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        connection.shutdown(socket.SHUT_RDWR)
        connection.close()
