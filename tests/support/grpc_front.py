"""A gRPC server before another one: it passes calls on as bytes, records them, and fails on command."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import chain
from typing import Any, Self

import grpc

_THREADS = 32  # each stream holds one
_OWN = ("grpc-", "user-agent", "content-type", "te")


@dataclass(frozen=True, slots=True)
class Status:
    """What the front answers by itself."""

    code: grpc.StatusCode
    message: str = "said by the front"


@dataclass(frozen=True, slots=True)
class Call:
    """A call as it came: the method as ``/package.Service/Method``, its first message, its metadata."""

    method: str
    body: bytes
    metadata: Mapping[str, str] = field(default_factory=dict)


Script = Callable[[Call], Status | None]
"""What to answer in the server's place; None passes the call on."""

UNAVAILABLE = Status(grpc.StatusCode.UNAVAILABLE)
DENIED = Status(grpc.StatusCode.PERMISSION_DENIED)


class GrpcFront:
    """Listens on a free port of 127.0.0.1; a context manager. `received` keeps all calls that came, in order."""

    def __init__(self, target: str) -> None:
        self.received: list[Call] = []
        self.streamed: list[Call] = []
        """Every message of every call."""
        self._target = target
        self._script: Script | None = None
        self._losing = False
        self._lock = threading.Lock()
        self._streams: set[Any] = set()

    def __enter__(self) -> Self:
        options = [("grpc.max_receive_message_length", -1), ("grpc.max_send_message_length", -1)]
        self._channel = grpc.insecure_channel(self._target, options)
        self._server = grpc.server(ThreadPoolExecutor(_THREADS, thread_name_prefix="grpc-front"), options=options)
        self._server.add_generic_rpc_handlers((_Everything(self._pass_on),))
        self.port = self._server.add_insecure_port("127.0.0.1:0")
        self._server.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.stop(0).wait()
        self._channel.close()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def requests(self) -> int:
        """Calls that came."""
        return len(self.received)

    def bodies(self, method: str) -> list[bytes]:
        """The first messages of the calls of a method, by its short name."""
        return [call.body for call in self.received if call.method.endswith(f"/{method}")]

    @contextmanager
    def scripted(self, script: Script) -> Iterator[None]:
        """Calls that the script has an answer for are answered so within the block, and not passed on."""
        self._script = script
        try:
            yield
        finally:
            self._script = None

    @contextmanager
    def answering(self, status: Status) -> Iterator[None]:
        """Every call is answered so within the block, those that are under way too."""
        with self.scripted(lambda _: status):
            self.break_streams()
            yield

    def unavailable(self) -> Any:
        """Every call within the block fails, and is not passed on."""
        return self.answering(UNAVAILABLE)

    def denying(self) -> Any:
        """Every call within the block fails, and is not passed on."""
        return self.answering(DENIED)

    @contextmanager
    def losing_answers(self) -> Iterator[None]:
        """Calls are passed on, and end as a broken connection ends them before the answer."""
        self._losing = True
        try:
            yield
        finally:
            self._losing = False

    def break_streams(self) -> None:
        """End what is under way, as a broken connection does."""
        with self._lock:
            streams = list(self._streams)
        for call in streams:
            call.cancel()

    def _pass_on(self, method: str, messages: Iterator[bytes], context: grpc.ServicerContext) -> Iterator[bytes]:
        metadata = {key: str(value) for key, value in context.invocation_metadata()}
        first = next(messages, b"")
        came = Call(method, first, metadata)
        self.received.append(came)
        own = self._script(came) if self._script else None
        if own:
            context.abort(own.code, own.message)
        passed = tuple((key, value) for key, value in metadata.items() if not key.startswith(_OWN))
        there: Any = self._channel.stream_stream(method, None, None)
        call: Any = there(
            self._noted(came, chain([first], messages)), metadata=passed, timeout=context.time_remaining()
        )
        with self._lock:
            self._streams.add(call)
        context.add_callback(call.cancel)
        try:
            for answer in call:
                if self._losing:
                    context.abort(UNAVAILABLE.code, "the connection broke")
                yield answer
        except grpc.RpcError:
            if call.code() is grpc.StatusCode.CANCELLED:
                context.abort(UNAVAILABLE.code, "the connection broke")
            context.set_trailing_metadata(call.trailing_metadata())
            context.abort(call.code(), call.details())
        finally:
            with self._lock:
                self._streams.discard(call)

    def _noted(self, came: Call, messages: Iterator[bytes]) -> Iterator[bytes]:
        for message in messages:
            self.streamed.append(Call(came.method, message, came.metadata))
            yield message


class _Everything(grpc.GenericRpcHandler):  # type: ignore[type-arg]  # it is generic in its stubs alone
    """One handler for all methods: a unary call is a stream of one."""

    def __init__(self, pass_on: Callable[[str, Iterator[bytes], grpc.ServicerContext], Iterator[bytes]]) -> None:
        self._pass_on = pass_on

    def service(self, handler_call_details: grpc.HandlerCallDetails) -> grpc.RpcMethodHandler[bytes, bytes]:
        method = handler_call_details.method

        def call(messages: Iterator[bytes], context: grpc.ServicerContext) -> Iterator[bytes]:
            return self._pass_on(method, messages, context)

        return grpc.stream_stream_rpc_method_handler(call)
