"""The gRPC server: which method is answered by what."""

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import grpc
from google.protobuf import any_pb2, empty_pb2
from google.pubsub_v1 import types
from google.rpc import error_details_pb2, status_pb2
from grpc_status import rpc_status

from scribe_local.pubsub.publisher import publisher
from scribe_local.pubsub.refusal import Refusal
from scribe_local.pubsub.subscriber import subscriber
from scribe_local.pubsub.topics import Topics

STREAMS_AND_CALLS = 64
"""Threads: each stream and each waiting call holds one."""

Method = Callable[[Any, grpc.ServicerContext], Any]


def serve(port: int) -> grpc.Server:
    """A started server on 127.0.0.1."""
    topics = Topics()
    server = grpc.server(
        ThreadPoolExecutor(STREAMS_AND_CALLS, thread_name_prefix="pubsub"),
        # Requests above the service's limit are to be refused by it, and not by gRPC.
        options=[("grpc.max_receive_message_length", 64 * 2**20), ("grpc.so_reuseport", 0)],
    )
    server.add_generic_rpc_handlers(
        (
            _service("google.pubsub.v1.Publisher", publisher(topics)),
            _service("google.pubsub.v1.Subscriber", subscriber(topics)),
        )
    )
    server.add_insecure_port(f"127.0.0.1:{port}")
    server.start()
    return server


def _service(name: str, methods: dict[str, Method]) -> Any:
    handlers = {method: _handler(method, answer) for method, answer in methods.items()}
    return grpc.method_handlers_generic_handler(name, handlers)


def _handler(method: str, answer: Method) -> Any:
    # google-cloud-pubsub ships no servicers; the messages of its methods follow one rule.
    named = {"CreateTopic": "Topic", "CreateSubscription": "Subscription"}.get(method, f"{method}Request")
    read = getattr(types, named).pb().FromString
    if method == "StreamingPull":
        return grpc.stream_stream_rpc_method_handler(_streaming(answer), read, _written)
    return grpc.unary_unary_rpc_method_handler(_unary(answer), read, _written)


def _unary(answer: Method) -> Method:
    def call(request: Any, context: grpc.ServicerContext) -> Any:
        try:
            return answer(request, context) or empty_pb2.Empty()
        except Refusal as refusal:
            return context.abort_with_status(_status(refusal))

    return call


def _streaming(answer: Method) -> Callable[[Iterator[Any], grpc.ServicerContext], Iterable[Any]]:
    def call(requests: Iterator[Any], context: grpc.ServicerContext) -> Iterator[Any]:
        try:
            yield from answer(requests, context)
        except Refusal as refusal:
            context.abort_with_status(_status(refusal))

    return call


def _status(refusal: Refusal) -> Any:
    status = status_pb2.Status(code=refusal.code.value[0], message=refusal.message)
    if refusal.failures:
        info = error_details_pb2.ErrorInfo(
            reason="EXACTLY_ONCE_ACKID_FAILURE", domain="pubsub.googleapis.com", metadata=refusal.failures
        )
        detail = any_pb2.Any()
        detail.Pack(info)
        status.details.append(detail)
    return rpc_status.to_status(status)


def _written(message: Any) -> bytes:
    found: bytes = message.SerializeToString()
    return found
