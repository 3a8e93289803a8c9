"""A small real HTTP server with the guide's paths, whose every answer a test can script."""

import asyncio
import socket
import ssl
import struct
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Self
from urllib.parse import parse_qs, unquote, urlsplit

import msgspec


@dataclass
class Answer:
    """What to do with one request instead of answering it truly; `when` says from when on."""

    status: int = 200
    body: bytes = b"{}"
    headers: dict[str, str] = field(default_factory=dict)
    hang: bool = False
    reset: bool = False
    cut: bool = False
    drip_headers: bool = False
    drip_body: bool = False
    when: Callable[[], bool] | None = None


@dataclass
class Seen:
    method: str
    target: str
    headers: dict[str, str]
    body: bytes


def no_script(_: str, __: str) -> Answer | None:
    return None


class ScriptedScribe:
    """Serves `scans` (documents by id, oldest first) on 127.0.0.1, from a thread; `script` may answer otherwise.

    `listed_at_most` cuts longer lists without a word, `limit_at_most` refuses higher limits with a 422.
    """

    def __init__(self, port: int = 0, *, certificate: tuple[Path, Path] | None = None) -> None:
        """`certificate` and its key make it speak TLS."""
        self.scans: dict[int | str, bytes] = {}
        self.script: Callable[[str, str], Answer | None] = no_script
        self.requests: list[Seen] = []
        self.connections = 0
        self.listed_at_most = 10**9
        self.limit_at_most = 10**9
        self.port = port
        self._tls: ssl.SSLContext | None = None
        if certificate:
            self._tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            self._tls.load_cert_chain(*certificate)
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._started = threading.Event()
        self._stop = asyncio.Event()

    @property
    def url(self) -> str:
        return f"{'https' if self._tls else 'http'}://127.0.0.1:{self.port}"

    def put(self, *scan_ids: int | str, material: str = "oak") -> dict[str, bytes]:
        """Complete some scans, the last one newest; their documents by id as text."""
        put = {}
        for scan_id in scan_ids:
            # Blanks and the order of keys make sure that bytes are passed on, not documents.
            stamp = f"2026-05-06T19:00:{len(self.scans) % 60:02}Z"
            id_text = msgspec.json.encode(scan_id).decode()
            body = f'{{ "timestamp":"{stamp}",  "scan_id": {id_text}, "material": "{material}"}}'.encode()
            self.scans[scan_id] = body
            put[str(scan_id)] = body
        return put

    def paths(self, prefix: str = "/") -> list[str]:
        return [seen.target for seen in self.requests if seen.target.startswith(prefix)]

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

    def _run(self) -> None:
        self._loop.run_until_complete(self._serve())

    async def _serve(self) -> None:
        server = await asyncio.start_server(self._connected, "127.0.0.1", self.port, ssl=self._tls)
        self.port = server.sockets[0].getsockname()[1]
        self._started.set()
        await self._stop.wait()
        server.close()
        tasks = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        try:
            while await self._one(reader, writer):
                pass
        except (asyncio.IncompleteReadError, OSError, asyncio.CancelledError):
            pass
        finally:
            writer.close()

    async def _one(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
        first, *lines = head.strip().split("\r\n")
        method, target, _ = first.split(" ")
        headers = {name.lower(): value for name, value in (line.split(": ", 1) for line in lines)}
        body = await reader.readexactly(int(headers.get("content-length", "0")))
        self.requests.append(Seen(method, target, headers, body))
        answer = self.script(method, target) or self._truly(method, target, body)
        if answer.hang:
            await self._stop.wait()
        while answer.when and not answer.when():  # noqa: ASYNC110 - other threads set no event of this loop
            await asyncio.sleep(0.005)
        if answer.reset:
            linger = struct.pack("ii", 1, 0)
            writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
            writer.transport.abort()
            return False
        named = {"Content-Type": "application/json", "Content-Length": str(len(answer.body)), **answer.headers}
        head = f"HTTP/1.1 {answer.status} X\r\n" + "".join(f"{k}: {v}\r\n" for k, v in named.items()) + "\r\n"
        await self._write(writer, head.encode(), drip=answer.drip_headers)
        if answer.cut:
            writer.write(answer.body[: len(answer.body) // 2])
            return False
        await self._write(writer, answer.body, drip=answer.drip_body)
        return True

    async def _write(self, writer: asyncio.StreamWriter, data: bytes, *, drip: bool) -> None:
        if not drip:
            writer.write(data)
            await writer.drain()
            return
        for index in range(len(data)):
            writer.write(data[index : index + 1])
            await writer.drain()
            await asyncio.sleep(0.02)

    def _truly(self, method: str, target: str, body: bytes) -> Answer:
        parts = urlsplit(target)
        match (method, parts.path.split("/")[1:]):
            case ("GET", ["health"]):
                return Answer(body=b'{"status":"healthy"}')
            case ("GET", ["scans"]):
                limit = int(parse_qs(parts.query)["limit"][0])
                if limit > self.limit_at_most:
                    return Answer(422, b'{"detail":"limit is too high"}')
                newest = list(reversed(self.scans.values()))[: min(limit, self.listed_at_most)]
                return Answer(body=b'{"scans": [' + b", ".join(newest) + b"]}")
            case ("GET", ["scans", scan_id]):
                found = {str(key): value for key, value in self.scans.items()}.get(unquote(scan_id))
                return Answer(body=found) if found else Answer(404, b'{"detail":"no such scan"}')
            case ("POST", ["scan"]):
                if msgspec.json.decode(body)["frequency"] <= 0:
                    return Answer(422, b'{"detail":"frequency must be above 0"}')
                number = len(self.scans) + 1
                return Answer(body=self.put(number)[str(number)])
            case ("POST", ["feedback" | "compare"]):
                return Answer(body=b'{"taken":' + body + b"}")
        return Answer(404, b'{"detail":"Not Found"}')
