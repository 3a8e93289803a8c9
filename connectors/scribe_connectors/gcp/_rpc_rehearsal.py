"""gRPC messages as a client serialises them, kept instead of sent."""

import threading
from collections.abc import Callable, Iterator
from typing import Any, Self

import grpc
from google.protobuf.json_format import MessageToJson

from scribe_export.model import Request

_PASSING = frozenset({"authorization", "user-agent", "x-goog-api-client"})


class RpcRehearsal(grpc.Channel):
    """Takes the place of a channel; `answer(method, message)` gives the reply to a message, of the method's own type.

    Messages are those of protobuf itself: a reply of a `google-cloud-*` wrapper is given as ``Type.pb(reply)``.
    """

    def __init__(self, target: str, answer: Callable[[str, Any], Any]) -> None:
        self.requests: list[Request] = []
        self._target, self._answer = target, answer
        self._lock = threading.Lock()

    def unary_unary(self, method: str, *_: Any, **__: Any) -> Any:
        """Keep the message of each call."""
        return _Unary(lambda message, metadata: self._take(method, message, metadata))

    def stream_stream(self, method: str, *_: Any, **__: Any) -> Any:
        """Keep every message of the stream, and answer each with one."""

        def call(messages: Iterator[Any], *_: Any, metadata: Any = None, **__: Any) -> Iterator[Any]:
            return (self._take(method, message, metadata) for message in messages)

        return call

    def unary_stream(self, method: str, *_: Any, **__: Any) -> Any:
        """No write of ours is one."""
        raise NotImplementedError(method)

    def stream_unary(self, method: str, *_: Any, **__: Any) -> Any:
        """No write of ours is one."""
        raise NotImplementedError(method)

    def subscribe(self, callback: Any, try_to_connect: bool | None = None) -> None:  # noqa: FBT001 - grpc's signature
        """There is no connection to hear of."""

    def unsubscribe(self, callback: Any) -> None:
        """There is no connection to hear of."""

    def close(self) -> None:
        """There is nothing to close."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        return None

    def _take(self, method: str, message: Any, metadata: Any) -> Any:
        body = as_json(message)
        taken = Request(method.removeprefix("/"), self._target, lasting(metadata), body)
        with self._lock:
            self.requests.append(taken)
        return self._answer(taken.method, message)


class _Unary:
    def __init__(self, take: Callable[[Any, Any], Any]) -> None:
        self._take = take

    def __call__(self, message: Any, *_: Any, metadata: Any = None, **__: Any) -> Any:
        return self._take(message, metadata)

    def with_call(self, message: Any, *_: Any, metadata: Any = None, **__: Any) -> Any:
        """With a call object, which nobody looks at."""
        return self._take(message, metadata), None


def as_json(message: Any) -> bytes:
    """A message as `Request.body` holds it, fields in their order and by their names."""
    pb = type(message).pb(message) if hasattr(type(message), "pb") else message
    text: str = MessageToJson(pb, preserving_proto_field_name=True, indent=None)
    return text.encode()


def lasting(metadata: Any) -> dict[str, str]:
    """The metadata that say something of the delivery, by name, in order."""
    named = {
        str(name).lower(): value.decode() if isinstance(value, bytes) else str(value) for name, value in metadata or ()
    }
    return {name: named[name] for name in sorted(named) if name not in _PASSING}
