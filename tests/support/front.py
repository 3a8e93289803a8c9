"""An HTTP server before another one: it passes requests on, counts them, and fails on command."""

import http.client
import ssl
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, Self


@dataclass(frozen=True, slots=True)
class Answer:
    """What the front answers by itself."""

    status: int
    body: bytes = b"{}"
    content_type: str = "application/json"
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Received:
    """One request as it came; header names in lower case."""

    method: str
    path: str
    headers: Mapping[str, str]
    body: bytes


LOST = Answer(0)
"""In a script: the request is passed on, and its connection breaks before the answer."""
Script = Callable[[Received], Answer | None]
"""What to answer in the server's place; None passes the request on."""
Meddling = tuple[Callable[[Received], bytes], Callable[[Received, bytes], bytes]]
"""What becomes of a request's body on its way there, and of the answer's on its way back."""


class _Server(ThreadingHTTPServer):
    request_queue_size = 128  # a sink opens dozens of connections at once


class Front:
    """Listens on a free port of 127.0.0.1; a context manager.


    `requests` counts all that came, `received` keeps them, `forwarded` those that were passed on, before their answer
    came, and `passed` those that the server behind has answered, with the status, whether or not that was handed on.
    """

    def __init__(
        self, target_port: int, *, unavailable: Answer, denied: Answer, tls: ssl.SSLContext | None = None
    ) -> None:
        self.requests = 0
        self.received: list[Received] = []
        self.forwarded: list[Received] = []
        self.passed: list[tuple[Received, int]] = []
        self._script: Script | None = None
        self._meddling: Meddling | None = None
        self._target = target_port
        self._unavailable, self._denied = unavailable, denied
        self._answer: Answer | None = None
        self._losing: Callable[[Received], bool] = _none
        self._shortened: Callable[[Received, bytes], bytes] = _whole
        self._refused = ""
        self._server = _Server(("127.0.0.1", 0), self._handler())
        self._server.daemon_threads = True
        self._scheme = "https" if tls else "http"
        if tls:
            self._server.socket = tls.wrap_socket(self._server.socket, server_side=True, do_handshake_on_connect=False)
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,), name="front")

    @property
    def url(self) -> str:
        return f"{self._scheme}://127.0.0.1:{self._server.server_address[1]}"

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    @contextmanager
    def unavailable(self) -> Iterator[None]:
        """Every request is answered so within the block, and not passed on."""
        self._answer = self._unavailable
        yield
        self._answer = None

    @contextmanager
    def denying(self) -> Iterator[None]:
        """Every request is answered so within the block, and not passed on."""
        self._answer = self._denied
        yield
        self._answer = None

    @contextmanager
    def losing_answers(self, which: Callable[[Received], bool] | None = None) -> Iterator[None]:
        """Requests that change something, or `which`, are passed on, and their connections break before the answer."""
        self._losing = which or _changing
        yield
        self._losing = _none

    @contextmanager
    def refusing(self, part: str) -> Iterator[None]:
        """Requests whose path holds `part` are answered as unavailable and not passed on."""
        self._refused = part
        yield
        self._refused = ""

    @contextmanager
    def scripted(self, script: Script) -> Iterator[None]:
        """Requests that the script has an answer for are answered so within the block, and not passed on."""
        self._script = script
        yield
        self._script = None

    @contextmanager
    def meddling(
        self, request: Callable[[Received], bytes], answer: Callable[[Received, bytes], bytes]
    ) -> Iterator[None]:
        """Bodies are changed on their way there and back within the block."""
        self._meddling = (request, answer)
        yield
        self._meddling = None

    @contextmanager
    def shortened(self, answer: Callable[[Received, bytes], bytes]) -> Iterator[None]:
        """Connections break within the answer's body where `answer` gives less of it, within the block."""
        self._shortened = answer
        yield
        self._shortened = _whole

    def pass_on(self, came: Received) -> Answer:
        """What the other server answers, for a script that looks at it first."""
        there = http.client.HTTPConnection("127.0.0.1", self._target, timeout=30)
        try:
            there.request(came.method, came.path, came.body, dict(came.headers))
            answer = there.getresponse()
            found = answer.read()
        finally:
            there.close()
        self.forwarded.append(came)
        kept = {name: value for name, value in answer.getheaders() if name.lower().startswith("x-amz")}
        return Answer(answer.status, found, answer.getheader("Content-Type") or "", kept)

    def _own_answer(self, came: Received) -> Answer | None:
        if self._refused and self._refused in came.path:
            return self._unavailable
        return self._answer or (self._script(came) if self._script else None)

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        front = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def __getattr__(self, name: str) -> Any:
                if name.startswith("do_"):
                    return self.pass_on
                raise AttributeError(name)

            def pass_on(self) -> None:
                front.requests += 1
                if self.headers.get("Transfer-Encoding") == "chunked":
                    raise NotImplementedError("the front does not read chunked requests")
                body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
                headers = {name.lower(): value for name, value in self.headers.items()}
                came = Received(self.command, self.path, headers, body)
                front.received.append(came)
                own = front._own_answer(came)
                if own and own is not LOST:
                    self._send(own.status, [("Content-Type", own.content_type), *own.headers.items()], own.body)
                    return
                front.forwarded.append(came)
                meddling = front._meddling
                body = meddling[0](came) if meddling else body
                there = http.client.HTTPConnection("127.0.0.1", front._target, timeout=30)
                try:
                    passed = {name: value for name, value in self.headers.items() if name.lower() != "content-length"}
                    there.request(self.command, self.path, body, passed | {"Content-Length": str(len(body))})
                    answer = there.getresponse()
                    found = answer.read()
                    found = meddling[1](came, found) if meddling else found
                finally:
                    there.close()
                front.passed.append((came, answer.status))
                if own is LOST or front._losing(came):
                    self.close_connection = True
                    return
                hop = {"connection", "transfer-encoding", "content-length", "date", "server", "keep-alive"}
                kept = [(name, value) for name, value in answer.getheaders() if name.lower() not in hop]
                # Where to go on from there leads through the front again.
                inner = f"http://127.0.0.1:{front._target}"
                kept = [
                    (name, value.replace(inner, front.url) if name.lower() == "location" else value)
                    for name, value in kept
                ]
                length = answer.getheader("Content-Length") if self.command == "HEAD" else None
                part = front._shortened(came, found)
                if len(part) < len(found):
                    self.close_connection = True
                    length = str(len(found))
                self._send(answer.status, kept, part, length)

            def _send(
                self, status: int, headers: list[tuple[str, str]], body: bytes, length: str | None = None
            ) -> None:
                self.send_response(status)
                for name, value in headers:
                    self.send_header(name, value)
                self.send_header("Content-Length", length or str(len(body)))
                self.end_headers()
                if self.command != "HEAD":
                    self.wfile.write(body)

            def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the overridden method's name
                """Nothing: requests are counted instead."""

        return Handler


def _none(_: Received) -> bool:
    return False


def _changing(came: Received) -> bool:
    return came.method not in {"GET", "HEAD"}


def _whole(_: Received, answer: bytes) -> bytes:
    return answer
