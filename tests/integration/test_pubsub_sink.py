"""What is particular to publishing: requests, limits, order, and what becomes of refusals and lost answers."""

import socket
import threading
from collections.abc import Iterator, Mapping
from contextlib import suppress
from typing import Any, Self

import grpc
import pytest
from google.pubsub_v1 import types
from pydantic import ValidationError
from support.grpc_front import GrpcFront, Status
from support.loop import in_loop
from support.published import of_material, published, refusing, scan_ids
from support.records import body, record, sealed, write
from support.topics import PROJECT, Clients, SubscriptionContents, clients

from scribe_connectors.gcp.pubsub import PubsubSink, PubsubSinkOptions
from scribe_export.errors import Misconfigured, PartialFailure, Rejected, SinkError, Throttled, Transient
from scribe_export.interface import Context
from scribe_export.model import Record
from scribe_local.servers import LocalServer


@pytest.fixture
def front(pubsub: LocalServer) -> Iterator[GrpcFront]:
    with GrpcFront(pubsub.address) as front:
        yield front


@pytest.fixture
def cloud(pubsub: LocalServer) -> Iterator[Clients]:
    with clients(pubsub.address) as found:
        yield found


@pytest.fixture
def topic(cloud: Clients) -> str:
    return cloud.topic()


@pytest.fixture
def contents(cloud: Clients, topic: str) -> SubscriptionContents:
    return SubscriptionContents(cloud, cloud.subscription(topic, enable_message_ordering=True))


def sink(url: str, topic: str, **options: Any) -> PubsubSink:
    given = {"topic": topic, "endpoint_url": url, **options}
    return PubsubSink(PubsubSinkOptions.model_validate(given), Context("announce"))


class TestRequests:
    def test_a_batch_is_one_request_and_needs_no_other_right(
        self, front: GrpcFront, topic: str, contents: SubscriptionContents
    ) -> None:
        @in_loop
        async def check() -> None:
            subject = sink(front.url, topic)
            with front.answering(Status(grpc.StatusCode.PERMISSION_DENIED)):
                await subject.open()  # the look at the topic is denied
            front.received.clear()
            await write(subject, [record(n) for n in range(1, 1001)])
            await subject.close()

        check()
        assert [call.method for call in front.received] == ["/google.pubsub.v1.Publisher/Publish"]
        assert front.received[0].metadata["x-goog-request-params"] == f"topic={topic}"
        assert [one.data for one in contents.look()] == [record(n).body for n in range(1, 1001)]

    def test_a_missing_topic_is_found_when_the_sink_is_opened(self, front: GrpcFront, topic: str) -> None:
        @in_loop
        async def check() -> None:
            with pytest.raises(Misconfigured, match=r"NOT_FOUND|not found"):
                await sink(front.url, topic + "-that-is-not-there").open()

        check()

    def test_attributes_tell_the_scan(self, front: GrpcFront, topic: str, contents: SubscriptionContents) -> None:
        added = {"of": "{material} at {frequency}", "empty": ""}
        given: list[dict[str, Any]] = [{}, {"attributes": added}, {"attributes": {}}]
        for options in given:

            @in_loop
            async def check(options: Mapping[str, Any] = options) -> None:
                subject = sink(front.url, topic, **options)
                await write(subject, [record(1)])
                await subject.close()

            check()
        assert [dict(one.attributes) for one in contents.look()] == [
            {"scan_id": "1", "sha256": record(1).sha256},
            {"of": "oak at 440", "empty": ""},
            {},
        ]

    def test_what_is_too_large_for_one_request_goes_in_several(
        self, front: GrpcFront, topic: str, contents: SubscriptionContents
    ) -> None:
        records = [record(n, body(n, notes="n" * 1_000_000)) for n in range(1, 31)]

        @in_loop
        async def check() -> None:
            subject = sink(front.url, topic)
            await write(subject, records)
            await subject.close()

        check()
        sizes = [len(one) for one in front.bodies("Publish")]
        assert len(sizes) == 4
        assert max(sizes) <= 9_500_000
        assert sorted(map(int, scan_ids(contents.look()))) == list(range(1, 31))

    def test_the_service_takes_the_largest_message_that_the_sink_does(
        self, front: GrpcFront, topic: str, contents: SubscriptionContents
    ) -> None:
        subject = sink(front.url, topic, max_message_bytes=10_000_000, max_request_bytes=10_000_000)
        largest = 10_000_000
        while subject.encode(sealed(subject, [_of_size(largest)])).refused:
            largest -= 50
        assert largest > 9_999_000

        @in_loop
        async def check() -> None:
            await write(subject, [_of_size(largest)])
            await subject.close()

        check()
        assert [len(one.data) for one in contents.look()] == [largest]

    def test_gzip_makes_less_of_it_on_the_way(
        self, pubsub: LocalServer, topic: str, contents: SubscriptionContents
    ) -> None:
        sizes = {}
        for compression in (None, "gzip"):
            with _Counting(pubsub.port) as counting:

                @in_loop
                async def check(compression: str | None = compression, url: str = counting.url) -> None:
                    subject = sink(url, topic, compression=compression)
                    await write(subject, [record(n) for n in range(1, 501)])
                    await subject.close()

                check()
            sizes[compression] = counting.sent
        assert sizes["gzip"] * 3 < sizes[None] > 100_000
        messages = contents.look()
        assert [one.data for one in messages[:500]] == [one.data for one in messages[500:]]

    @pytest.mark.parametrize("options", [{}, {"ordering_key": "{material}"}, {"max_request_bytes": 2048}])
    def test_the_preview_is_what_goes_over_the_wire(
        self, front: GrpcFront, topic: str, options: Mapping[str, Any]
    ) -> None:
        options = {"max_message_bytes": 1024, **options}

        @in_loop
        async def check() -> None:
            subject = sink(front.url, topic.rpartition("/")[2], project=PROJECT, concurrency=1, **options)
            encoded = subject.encode(sealed(subject, [record(n) for n in range(1, 9)]))
            shown = await subject.preview(encoded)
            assert not front.received
            await subject.write(encoded)
            await subject.close()
            assert [f"/{one.method}" for one in shown] == [one.method for one in front.received]
            for request, call in zip(shown, published(front), strict=True):
                parsed = types.PublishRequest.from_json(request.body.decode())
                assert types.PublishRequest.pb(parsed) == call
                carried = [str(index + 1) for index in request.records]
                assert carried == scan_ids(call.messages)
                assert request.target == front.url.removeprefix("http://")
            for request, received in zip(shown, front.received, strict=True):
                assert dict(request.headers).items() <= received.metadata.items()
                assert request.headers

        check()


class TestRefused:
    @pytest.mark.parametrize(
        "content",
        [body(2, notes="n" * 9_500_000), of_material(2, "é" * 513), body(2) + b"x"],
        ids=["too large", "a long attribute", "no scan"],
    )
    def test_a_record_that_the_service_cannot_take_is_named_and_the_others_go(self, topic: str, content: bytes) -> None:
        subject = sink("http://127.0.0.1:1", topic, attributes={"material": "{material}"})
        encoded = subject.encode(sealed(subject, [record(1), record(2, content), record(3)]))
        assert list(encoded.refused) == [1]
        assert [part.members for part in encoded.payload] == [(0, 2)]

    def test_a_record_without_an_ordering_key_that_the_service_takes_is_refused(self, topic: str) -> None:
        subject = sink("http://127.0.0.1:1", topic, ordering_key="{material}", attributes={})
        assert subject.partition(record(1, of_material(1, "é" * 512))) == "é" * 512
        with pytest.raises(Rejected):
            subject.partition(record(2, of_material(2, "é" * 513)))

    @pytest.mark.parametrize(
        "options",
        [
            {"topic": "no"},
            {"topic": "projects/p/subscriptions/scans"},
            {"topic": "scans", "attributes": {"": "x"}},
            {"topic": "scans", "attributes": {"googx": "x"}},
            {"topic": "scans", "attributes": {"k" * 257: "x"}},
            {"topic": "scans", "attributes": {f"k{n}": "x" for n in range(101)}},
            {"topic": "scans", "attributes": {"k": "{nothing}"}},
            {"topic": "scans", "max_request_bytes": 5000, "max_message_bytes": 6000},
            {"topic": "scans", "max_request_bytes": 10_000_001},
            {"topic": "scans", "ordering_key": "{batch_id}"},
        ],
    )
    def test_options_that_cannot_work_are_refused_at_load(self, options: Mapping[str, Any]) -> None:
        with pytest.raises(ValidationError):
            PubsubSinkOptions.model_validate(options)


class TestErrors:
    @pytest.mark.parametrize(
        ("code", "kind", "applied"),
        [
            (grpc.StatusCode.UNAVAILABLE, Transient, "unknown"),
            (grpc.StatusCode.INTERNAL, Transient, "unknown"),
            (grpc.StatusCode.DEADLINE_EXCEEDED, Transient, "unknown"),
            (grpc.StatusCode.RESOURCE_EXHAUSTED, Throttled, "no"),
            (grpc.StatusCode.PERMISSION_DENIED, Misconfigured, "no"),
            (grpc.StatusCode.UNAUTHENTICATED, Misconfigured, "no"),
            (grpc.StatusCode.NOT_FOUND, Misconfigured, "no"),
            (grpc.StatusCode.INVALID_ARGUMENT, Rejected, "no"),
        ],
    )
    def test_a_status_is_judged_by_its_code(
        self, front: GrpcFront, topic: str, code: grpc.StatusCode, kind: type[SinkError], applied: str
    ) -> None:
        @in_loop
        async def check() -> None:
            subject = sink(front.url, topic)
            with front.answering(Status(code)), pytest.raises(kind) as caught:
                await write(subject, [record(1), record(2)])
            assert type(caught.value) is kind
            assert caught.value.applied == applied
            await subject.close()

        check()

    @pytest.mark.parametrize("ordering_key", [None, "{material}"])
    def test_of_several_requests_those_that_passed_are_acked(
        self, front: GrpcFront, topic: str, contents: SubscriptionContents, ordering_key: str | None
    ) -> None:
        @in_loop
        async def check() -> None:
            subject = sink(
                front.url,
                topic,
                ordering_key=ordering_key,
                max_request_bytes=2048,
                max_message_bytes=1500,
                concurrency=1,
            )
            encoded = subject.encode(sealed(subject, [record(n) for n in range(1, 9)]))
            parts = encoded.payload
            assert len(parts) > 2
            bad = parts[1].members[0] + 1
            script = refusing(str(bad), grpc.StatusCode.INVALID_ARGUMENT)
            with front.scripted(script), pytest.raises(PartialFailure) as caught:
                await subject.write(encoded)
            await subject.close()
            gone = set(parts[0].members) if ordering_key else set(range(8)) - set(parts[1].members)
            assert set(caught.value.acked) == gone
            assert scan_ids(contents.look()) == [str(index + 1) for index in sorted(gone)]
            assert caught.value.errors.keys() == set(range(8)) - gone
            # Which of a request's messages was refused is not known, so none is given up.
            judged = Rejected if len(parts[1].members) == 1 else Transient
            assert isinstance(caught.value.errors[bad - 1], judged)
            assert all(error.applied == "no" for error in caught.value.errors.values())

        check()

    def test_a_server_that_does_not_answer_is_given_up_as_unknown(self, topic: str) -> None:
        with socket.create_server(("127.0.0.1", 0)) as silent:

            @in_loop
            async def check() -> None:
                subject = sink(f"http://127.0.0.1:{silent.getsockname()[1]}", topic, timeout=0.3)
                with pytest.raises(Transient) as caught:
                    await write(subject, [record(1)])
                assert caught.value.applied == "unknown"
                await subject.close()

            check()


def _of_size(size: int) -> Record:
    return record(1, body(1, notes="n" * (size - len(body(1, notes="")))))


class _Counting:
    """A TCP proxy for one connection that counts the bytes sent through it."""

    def __init__(self, target_port: int) -> None:
        self.sent = 0
        self._target = target_port
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        self._thread = threading.Thread(target=self._serve, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._thread.join(10)
        self._listener.close()

    def _serve(self) -> None:
        here, _ = self._listener.accept()
        with here, socket.create_connection(("127.0.0.1", self._target)) as there:
            back = threading.Thread(target=_pass_on, args=(there, here), daemon=True)
            back.start()
            self.sent = _pass_on(here, there)
            back.join(10)


def _pass_on(source: socket.socket, target: socket.socket) -> int:
    """Until the source has no more; how many bytes there were."""
    passed = 0
    with suppress(OSError):
        while data := source.recv(65536):
            passed += len(data)
            target.sendall(data)
    for one in (source, target):
        with suppress(OSError):
            one.shutdown(socket.SHUT_RDWR)
    return passed
