"""Requests as botocore prepares them, kept instead of sent."""

import io
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from botocore.awsrequest import AWSPreparedRequest, AWSResponse
from botocore.compat import HTTPHeaders
from botocore.session import Session

from scribe_export.model import Request

# What differs from one sending of the same request to the next.
_PASSING = frozenset(
    {
        "amz-sdk-invocation-id",
        "amz-sdk-request",
        "authorization",
        "date",
        "user-agent",
        "x-amz-date",
        "x-amz-security-token",
    }
)


@dataclass(frozen=True, slots=True)
class Answer:
    """What a service would say."""

    body: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict)
    status: int = 200


class Rehearsal:
    """Takes the place of the network under a boto3 client; `answer` says what a request would be answered."""

    def __init__(self, answer: Callable[[Request], Answer]) -> None:
        self.requests: list[Request] = []
        self._answer = answer
        self._lock = threading.Lock()

    def prepare(self, session: Session) -> None:
        """Requests are signed by nobody in particular, so that no credentials are needed or looked for."""
        session.set_credentials("offline", "offline")

    def attach(self, client: Any) -> None:
        """From here on the client sends nothing."""
        client.meta.events.register_first("before-send", self._take)

    def _take(self, request: AWSPreparedRequest, **_: Any) -> AWSResponse:
        taken = Request(request.method, request.url, lasting(dict(request.headers.items())), _bytes(request.body))
        with self._lock:
            self.requests.append(taken)
        answer = self._answer(taken)
        headers = HTTPHeaders()
        for name, value in answer.headers.items():
            headers[name] = value
        return AWSResponse(request.url, answer.status, headers, _Raw(answer.body))


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


class _Raw(io.BytesIO):
    """As botocore reads an answer of urllib3."""

    def stream(self, amt: int = 65536, **_: Any) -> Any:
        """The body in pieces."""
        while piece := self.read(amt):
            yield piece
