"""REST requests as Google's libraries prepare them, kept instead of sent."""

import io
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from requests import PreparedRequest, Response
from requests.adapters import BaseAdapter
from requests.structures import CaseInsensitiveDict

from scribe_export.model import Request

# What differs from one sending of the same request to the next, or says something of the connection alone.
_PASSING = frozenset(
    {
        "accept",
        "accept-encoding",
        "authorization",
        "connection",
        "date",
        "host",
        "user-agent",
        "x-allowed-locations",
        "x-goog-api-client",
    }
)


@dataclass(frozen=True, slots=True)
class Answer:
    """What a service would say."""

    body: bytes = b"{}"
    headers: Mapping[str, str] = field(default_factory=dict)
    status: int = 200


class Rehearsal(BaseAdapter):
    """Takes the place of the network under a session; `answer` says what a request would be answered."""

    def __init__(self, answer: Callable[[Request], Answer]) -> None:
        super().__init__()
        self.requests: list[Request] = []
        self._answer = answer
        self._lock = threading.Lock()

    def send(self, request: PreparedRequest, *_: Any, **__: Any) -> Response:
        """Keep the request."""
        taken = Request(request.method or "", request.url or "", lasting(request.headers), _bytes(request.body))
        with self._lock:
            self.requests.append(taken)
        answer = self._answer(taken)
        response = Response()
        response.status_code = answer.status
        response.headers = CaseInsensitiveDict(answer.headers)
        response.raw = io.BytesIO(answer.body)
        response.url, response.request = taken.target, request
        return response

    def close(self) -> None:
        """There is nothing to close."""


def lasting(headers: Mapping[str, Any]) -> dict[str, str]:
    """The headers that say something of the delivery, by their names in lower case, in order."""
    named = {
        name.lower(): value.decode() if isinstance(value, bytes) else str(value) for name, value in headers.items()
    }
    return {name: named[name] for name in sorted(named) if name not in _PASSING}


def _bytes(body: Any) -> bytes:
    if body is None:
        return b""
    if isinstance(body, str):
        return body.encode()
    if isinstance(body, bytes | bytearray):
        return bytes(body)
    data: bytes = body.read()
    return data
