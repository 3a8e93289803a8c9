"""An HTTP server that answers with any bytes, at any pace."""

import socket
import threading
from collections.abc import Callable
from contextlib import suppress
from types import TracebackType
from typing import Self


class RawServer:
    """Listens on a free port of 127.0.0.1; a context manager. `answer` is called for each request, once its head is read.

    `requests` counts them. A connection lives on while `answer` returns True.
    """

    def __init__(self, answer: Callable[[socket.socket], bool | None]) -> None:
        self.requests = 0
        self._answer = answer
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._open: list[socket.socket] = []
        self._threads = [threading.Thread(target=self._listen, name="raw answers", daemon=True)]

    @property
    def url(self) -> str:
        """Without a slash at its end."""
        return f"http://127.0.0.1:{self._listener.getsockname()[1]}"

    def __enter__(self) -> Self:
        self._threads[0].start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        for connection in self._open:
            with suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join()
        self._listener.close()

    def _listen(self) -> None:
        with suppress(OSError):
            while True:
                connection, _ = self._listener.accept()
                self._open.append(connection)
                self._threads.append(threading.Thread(target=self._serve, args=(connection,), daemon=True))
                self._threads[-1].start()

    def _serve(self, connection: socket.socket) -> None:
        with connection, suppress(OSError):
            while _head(connection):
                self.requests += 1
                if not self._answer(connection):
                    return


def _head(connection: socket.socket) -> bytes:
    """Empty at the connection's end."""
    read = b""
    while b"\r\n\r\n" not in read:
        if not (data := connection.recv(65536)):
            return b""
        read += data
    return read
