"""gRPC clients of Google Cloud: their errors over a real connection, and messages shown without one."""

import json
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from threading import Event
from typing import Any

import grpc
import pytest
from google.api_core import exceptions as api
from google.protobuf.any_pb2 import Any as Packed
from google.protobuf.duration_pb2 import Duration
from google.pubsub_v1 import types
from google.pubsub_v1.services.publisher import PublisherClient
from google.pubsub_v1.services.publisher.transports import PublisherGrpcTransport
from google.rpc.code_pb2 import Code
from google.rpc.error_details_pb2 import ErrorInfo, RetryInfo
from google.rpc.status_pb2 import Status
from grpc_status import rpc_status

from scribe_connectors.gcp._client import GcpOptions
from scribe_connectors.gcp._rpc import RpcClient
from scribe_connectors.gcp._rpc_errors import classify, code_of
from scribe_export.errors import Misconfigured, Rejected, SinkError, Throttled, Transient

PUBLISH = "google.pubsub.v1.Publisher/Publish"
Say = Callable[[Any, grpc.ServicerContext], Any]


@contextmanager
def server(say: Say) -> Iterator[str]:
    """A publisher that says what it is told to; its URL."""
    serving = grpc.server(ThreadPoolExecutor(2))
    handler = grpc.unary_unary_rpc_method_handler(
        say,
        request_deserializer=types.PublishRequest.pb().FromString,
        response_serializer=types.PublishResponse.pb().SerializeToString,
    )
    service, method = PUBLISH.split("/")
    serving.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(service, {method: handler}),))
    port = serving.add_insecure_port("127.0.0.1:0")
    serving.start()
    try:
        yield f"http://127.0.0.1:{port}"
    finally:
        serving.stop(None)


def client(url: str) -> RpcClient[PublisherClient]:
    return RpcClient(
        "pubsub.googleapis.com",
        GcpOptions(project="lab", endpoint_url=url),
        lambda rpc: PublisherClient(transport=PublisherGrpcTransport(channel=rpc.channel)),
        folder=Path(),
    )


def publish(publisher: PublisherClient, timeout: float = 10.0) -> Any:
    message = types.PubsubMessage(data=b"scan", attributes={"scan_id": "1"})
    return publisher.publish(topic="projects/lab/topics/scans", messages=[message], retry=None, timeout=timeout)


def fails(code: grpc.StatusCode, *details: Any) -> Say:
    def say(_: Any, context: grpc.ServicerContext) -> Any:
        packed = []
        for detail in details:
            one = Packed()
            one.Pack(detail)
            packed.append(one)
        status = Status(code=getattr(Code, code.name), message="as scripted", details=packed)
        context.abort_with_status(rpc_status.to_status(status))

    return say


@pytest.mark.parametrize(
    ("code", "kind", "applied"),
    [
        (grpc.StatusCode.RESOURCE_EXHAUSTED, Throttled, "no"),
        (grpc.StatusCode.UNAUTHENTICATED, Misconfigured, "no"),
        (grpc.StatusCode.PERMISSION_DENIED, Misconfigured, "no"),
        (grpc.StatusCode.NOT_FOUND, Misconfigured, "no"),
        (grpc.StatusCode.FAILED_PRECONDITION, Misconfigured, "no"),
        (grpc.StatusCode.INVALID_ARGUMENT, Transient, "no"),
        (grpc.StatusCode.ALREADY_EXISTS, Transient, "no"),
        (grpc.StatusCode.UNAVAILABLE, Transient, "unknown"),
        (grpc.StatusCode.ABORTED, Transient, "unknown"),
        (grpc.StatusCode.INTERNAL, Transient, "unknown"),
        (grpc.StatusCode.UNKNOWN, Transient, "unknown"),
        (grpc.StatusCode.DEADLINE_EXCEEDED, Transient, "unknown"),
    ],
    ids=lambda value: value.name if isinstance(value, grpc.StatusCode) else None,
)
def test_what_each_code_means(code: grpc.StatusCode, kind: type[SinkError], applied: str) -> None:
    with server(fails(code, RetryInfo(retry_delay=Duration(seconds=7)), ErrorInfo(reason="SOME_REASON"))) as url:
        publisher = client(url)
        with pytest.raises(api.GoogleAPICallError) as caught:
            publish(publisher.get())
        bare = grpc.insecure_channel(url.removeprefix("http://"))
        with bare, pytest.raises(grpc.RpcError) as raw:
            bare.unary_unary(f"/{PUBLISH}", bytes, bytes)(b"", timeout=10.0)
        publisher.close()
    for error in (caught.value, raw.value):
        known = classify(error)
        assert type(known) is kind
        assert (known.applied, code_of(error)) == (applied, code)
        assert "SOME_REASON" in str(known)
        assert getattr(known, "retry_after", 7.0) == 7.0


def test_a_call_that_takes_too_long_is_unknown() -> None:
    given_up = Event()

    def hang(_: Any, context: grpc.ServicerContext) -> Any:
        context.add_callback(given_up.set)
        given_up.wait(60)

    with server(hang) as url:
        publisher = client(url)
        with pytest.raises(api.DeadlineExceeded) as caught:
            publish(publisher.get(), timeout=0.3)
        publisher.close()
    known = classify(caught.value)
    assert isinstance(known, Transient)
    assert known.applied == "unknown"


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (api.Forbidden("x", errors=[{"reason": "quotaExceeded"}]), Throttled),
        (api.Forbidden("x", errors=[{"reason": "accessDenied"}]), Misconfigured),
        (api.Unauthorized("x"), Misconfigured),
        (api.NotFound("x"), Misconfigured),
        (api.TooManyRequests("x"), Throttled),
        (
            api.RequestEntityTooLarge("x") if hasattr(api, "RequestEntityTooLarge") else api.from_http_status(413, "x"),
            Rejected,
        ),
        (api.BadRequest("x", errors=[{"reason": "invalid"}]), Transient),
        (api.ServiceUnavailable("x"), Transient),
        (api.RetryError("x", cause=api.TooManyRequests("y")), Throttled),
        (api.RetryError("x", cause=None), Transient),
    ],
    ids=repr,
)
def test_errors_of_a_rest_client_go_by_status_and_reason(error: Exception, kind: type[SinkError]) -> None:
    assert type(classify(error)) is kind


def test_what_is_no_error_of_google_is_nobodys() -> None:
    assert classify(KeyError("x")) is None


def test_credentials_that_are_refused_make_the_client_anew() -> None:
    with server(fails(grpc.StatusCode.UNAUTHENTICATED)) as url:
        publisher = client(url)
        first = publisher.get()
        with pytest.raises(api.Unauthenticated) as caught:
            publish(first)
        publisher.failed(api.ServiceUnavailable("x"))
        assert publisher.get() is first
        publisher.failed(caught.value)
        assert publisher.get() is not first
        publisher.close()
        publisher.close()


def test_messages_are_shown_as_they_are_sent() -> None:
    received: list[Any] = []
    reply = types.PublishResponse.pb()(message_ids=["7"])

    def say(message: Any, context: grpc.ServicerContext) -> Any:
        received.append((message, dict(context.invocation_metadata())))
        return reply

    offline = client("http://127.0.0.1:1")
    rehearsal = offline.rehearse(lambda method, _: {PUBLISH: reply}[method])
    assert publish(offline.get()).message_ids == ["7"]
    with server(say) as url:
        publisher = client(url)
        assert publish(publisher.get()).message_ids == ["7"]
        publisher.close()
    [(message, metadata)] = received
    [shown] = rehearsal.requests
    assert (shown.method, shown.target) == (PUBLISH, "127.0.0.1:1")
    assert json.loads(shown.body) == {
        "topic": message.topic,
        "messages": [{"data": "c2Nhbg==", "attributes": {"scan_id": "1"}}],
    }
    assert shown.headers == {"x-goog-request-params": metadata["x-goog-request-params"]}
