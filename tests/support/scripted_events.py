"""A small real WebSocket server that says what a test tells it to, and can be away for a while."""

import asyncio
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http import HTTPStatus
from pathlib import Path
from ssl import PROTOCOL_TLS_SERVER, SSLContext
from types import TracebackType
from typing import Any, Self

from websockets.asyncio.server import ServerConnection, broadcast, serve
from websockets.datastructures import Headers
from websockets.exceptions import ConnectionClosed
from websockets.http11 import Request, Response


class ScriptedEvents:
    """Serves ``/ws`` of 127.0.0.1 from a thread.

    `received` has what clients sent; `refuse` is the status that new ones get instead, `greeting` what they hear first.
    """

    def __init__(self, *, certificate: tuple[Path, Path] | None = None) -> None:
        self.received: list[Any] = []
        self.headers: list[Headers] = []
        self.refuse: int | None = None
        self.greeting: str | None = None
        self.port = 0
        self.subscribers: set[ServerConnection] = set()
        self._tls: SSLContext | None = None
        if certificate:
            self._tls = SSLContext(PROTOCOL_TLS_SERVER)
            self._tls.load_cert_chain(*certificate)
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=lambda: self._loop.run_until_complete(self._serve()), daemon=True)
        self._started, self._stop = threading.Event(), asyncio.Event()

    @property
    def url(self) -> str:
        return f"{'wss' if self._tls else 'ws'}://127.0.0.1:{self.port}/ws"

    def completed(self, *scan_ids: int | str, **more: Any) -> None:
        """Say that scans are complete, as the guide's server does."""
        for scan_id in scan_ids:
            self.say({"type": "scan_completed", "scan_id": scan_id, "confidence": 0.9, "material": "oak", **more})

    def say(self, message: Any) -> None:
        """Send one message to every subscriber; text as it is, everything else as JSON."""
        text = message if isinstance(message, str) else json.dumps(message)
        self._loop.call_soon_threadsafe(lambda: broadcast(self.subscribers, text))

    def drop(self, *, refuse: int | None = None) -> None:
        """Cut every connection as a broken network does, and answer new ones with the status `refuse`."""
        self.refuse = refuse
        gone = threading.Event()

        def cut() -> None:
            for connection in self.subscribers:
                connection.transport.abort()
            self.subscribers.clear()
            gone.set()

        self._loop.call_soon_threadsafe(cut)
        assert gone.wait(10)

    @contextmanager
    def frozen(self) -> Iterator[None]:
        """Answer nothing meanwhile, not even pings; connections stay."""
        thaw = threading.Event()
        self._loop.call_soon_threadsafe(thaw.wait)
        try:
            yield
        finally:
            thaw.set()

    def __enter__(self) -> Self:
        self._thread.start()
        assert self._started.wait(10)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join(10)
        self._loop.close()

    async def _serve(self) -> None:
        async with serve(
            self._talk, "127.0.0.1", self.port, ssl=self._tls, process_request=self._admit, close_timeout=0.5
        ) as server:
            self.port = next(iter(server.sockets)).getsockname()[1]
            self._started.set()
            await self._stop.wait()

    def _admit(self, connection: ServerConnection, request: Request) -> Response | None:
        self.headers.append(request.headers)
        return connection.respond(HTTPStatus(self.refuse), "no") if self.refuse else None

    async def _talk(self, connection: ServerConnection) -> None:
        try:
            async for message in connection:
                self.received.append(json.loads(message))
                self.subscribers.add(connection)
                if self.greeting is not None:
                    await connection.send(self.greeting)
        except ConnectionClosed:
            pass
        finally:
            self.subscribers.discard(connection)
