"""As much of HTTP/1.1 as it takes to answer one GET or HEAD a connection (https://www.rfc-editor.org/rfc/rfc9112)."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Protocol
from urllib.parse import urlsplit

MAX_HEAD = 8192
"""Bytes of a request's line and headers."""
_LINE = re.compile(rb"([A-Z]{1,16}) ([!-~]{1,2048}) HTTP/1\.[01]")
_END = re.compile(rb"\r?\n\r?\n")


@dataclass(frozen=True, slots=True)
class Request:
    """`path` is without its query; header names are in lower case."""

    method: str
    path: str
    headers: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Answer:
    """Text and how it is to be read."""

    text: str
    status: HTTPStatus = HTTPStatus.OK
    content_type: str = "text/plain; charset=utf-8"
    headers: Mapping[str, str] = field(default_factory=dict)


class Refused(Exception):
    """A request that is not answered with a page, but with this status."""

    def __init__(self, status: HTTPStatus) -> None:
        self.status = status
        super().__init__(status.phrase)

    @property
    def answer(self) -> Answer:
        """What its sender gets."""
        headers = {"Allow": "GET, HEAD"} if self.status is HTTPStatus.METHOD_NOT_ALLOWED else {}
        return Answer(f"{self.status.phrase}\n", self.status, headers=headers)


class Receiving(Protocol):
    """A connection's incoming half."""

    async def receive(self, max_bytes: int = 65536) -> bytes:
        """At least one byte; raises `anyio.EndOfStream` at its end."""


async def read_request(stream: Receiving) -> Request:
    """The request that a connection begins with; its body, if it has one, is left unread.

    Raises `Refused`, and what `stream` raises. What cannot become a request is refused at its first line.
    """
    head = b""
    while not (end := _END.search(head)):
        head += await stream.receive(4096)
        line, newline, _ = head.partition(b"\n")
        if newline or not head[:1].isalpha():
            _method_and_target(line.removesuffix(b"\r"))
        if len(head) > MAX_HEAD:
            raise Refused(HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE)
    first, *fields = head[: end.start()].splitlines()
    method, target = _method_and_target(first)
    pairs = [text.decode("latin-1").partition(":") for text in fields]
    return Request(method, _path(target), {name.strip().lower(): value.strip() for name, _, value in pairs})


def _method_and_target(line: bytes) -> tuple[str, str]:
    found = _LINE.fullmatch(line)
    if found is None:
        raise Refused(HTTPStatus.BAD_REQUEST)
    method, target = found[1].decode(), found[2].decode()
    if method not in {"GET", "HEAD"}:
        raise Refused(HTTPStatus.METHOD_NOT_ALLOWED)
    return method, target


def _path(target: str) -> str:
    """A server takes the absolute form too: https://www.rfc-editor.org/rfc/rfc9112#section-3.2.2."""
    try:
        return urlsplit(target).path if not target.startswith("/") else target.partition("?")[0]
    except ValueError:
        raise Refused(HTTPStatus.BAD_REQUEST) from None


def encoded(answer: Answer, *, head_only: bool = False) -> bytes:
    """The answer's bytes; with `head_only` those that HEAD gets."""
    body = answer.text.encode()
    headers = {
        "Content-Type": answer.content_type,
        "Content-Length": str(len(body)),
        "Cache-Control": "no-store",
        "X-Content-Type-Options": "nosniff",
        "Connection": "close",
        **answer.headers,
    }
    lines = [f"HTTP/1.1 {answer.status.value} {answer.status.phrase}", *(f"{k}: {v}" for k, v in headers.items())]
    return "\r\n".join([*lines, "", ""]).encode("ascii") + (b"" if head_only else body)
