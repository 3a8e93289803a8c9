"""What both clients know of a connection: where, as whom, how long and how much."""

import ssl
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, TypeVar
from urllib.parse import urlsplit

import httpx
import msgspec

from scribe_connectors.scribe import _errors
from scribe_connectors.scribe._endpoints import Call
from scribe_export.errors import Misconfigured
from scribe_export.options import Secret, check_url

T = TypeVar("T")
MAX_RESPONSE = 64 * 2**20
_LONGEST_CONNECT = 10.0
_IDLE = 2.0
"""Seconds a connection may lie idle: less than the 5 s after which uvicorn closes one (https://uvicorn.dev/settings/),
so that a scan is not sent into a connection that is just being closed, which would leave its outcome unknown."""


@dataclass(frozen=True, slots=True)
class Transport:
    """A checked connection. Raises ValueError for an option that cannot be, `Misconfigured` for a bad CA file."""

    base_url: str
    api_key: Secret | None
    timeout: float
    max_response: int
    ca_file: Path | None
    trust_env: bool

    def __post_init__(self) -> None:
        check_base_url(self.base_url)
        if not self.timeout > 0 or self.max_response < 1:
            raise ValueError("timeout and max_response must be above 0")
        if self.api_key:
            check_api_key(self.api_key)

    def settings(self) -> dict[str, Any]:
        """The keyword arguments of httpx's clients."""
        # Without compression an answer cannot be larger than what crosses the wire.
        headers = {"Accept": "application/json", "Accept-Encoding": "identity", "User-Agent": "scribe-export"}
        if self.api_key:
            headers["X-API-Key"] = self.api_key.reveal()
        return {
            "headers": headers,
            "timeout": httpx.Timeout(self.timeout, connect=min(self.timeout, _LONGEST_CONNECT)),
            "limits": httpx.Limits(max_connections=64, max_keepalive_connections=16, keepalive_expiry=_IDLE),
            "verify": self._verify(),
            "trust_env": self.trust_env,
            "follow_redirects": False,
        }

    def request(self, call: Call[Any]) -> dict[str, Any]:
        """The keyword arguments of httpx's `stream`."""
        sent: dict[str, Any] = {"method": call.method, "url": self.base_url + call.path}
        if call.timeout is not None:
            sent["timeout"] = min(call.timeout, self.timeout)
        if call.params:
            sent["params"] = dict(call.params)
        if call.body is not None:
            sent |= {"content": call.body, "headers": {"Content-Type": "application/json"}}
        return sent

    def _verify(self) -> ssl.SSLContext | bool:
        if not self.base_url.startswith("https:"):
            # It trusts nobody and is never asked; loading the public authorities would cost every client 20 ms and more.
            return ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        return True if self.ca_file is None else trusting(self.ca_file)


class Answer(Generic[T]):
    """The body of one answer, taken piece by piece up to the transport's limit and deadline."""

    def __init__(self, transport: Transport, call: Call[T]) -> None:
        self._transport = transport
        self._call = call
        self.timeout = min(call.timeout or transport.timeout, transport.timeout)
        self._pieces: list[bytes] = []
        self._size = 0
        self._deadline = time.monotonic() + self.timeout

    def add(self, piece: bytes) -> None:
        """Take a piece; raise what stands for an answer too large or too late."""
        self._size += len(piece)
        if self._size > self._transport.max_response:
            raise _errors.too_large(self._call, self._transport.base_url, self._transport.max_response)
        if time.monotonic() > self._deadline:
            raise _errors.too_late(self._call, self._transport.base_url, self.timeout)
        self._pieces.append(piece)

    def read(self, response: httpx.Response) -> T:
        """The decoded answer; raise what its status or its form stands for."""
        body, base_url = b"".join(self._pieces), self._transport.base_url
        if not response.is_success:
            raise _errors.refused(self._call, base_url, response.status_code, response.headers, body)
        try:
            return self._call.decode(body)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            raise _errors.unreadable(self._call, base_url, error) from None


def trusting(ca_file: Path) -> ssl.SSLContext:
    """Trust those authorities only. Raises `Misconfigured`."""
    try:
        return ssl.create_default_context(cafile=str(ca_file))
    except OSError as error:
        raise Misconfigured(f"tls.ca_file {ca_file}: {error.strerror or error}") from None


def check_base_url(value: str) -> str:
    """The URL below which the endpoints lie; raise ValueError for one that cannot be."""
    value = check_url(value)
    parts = urlsplit(value)
    if parts.query or parts.fragment:
        raise ValueError("must not hold a query or a fragment: the endpoints' paths are put behind it")
    return value


def check_api_key(key: Secret) -> Secret:
    """The key itself; raise ValueError, without showing it, for one that cannot stand in a header."""
    text = key.reveal()
    if not text or not text.isascii() or not text.isprintable() or text != text.strip():
        raise ValueError("must be printable ASCII without a line end or spaces around it")
    return key
