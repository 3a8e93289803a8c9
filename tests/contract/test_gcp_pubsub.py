"""Pub/Sub keeps the contracts of sinks and sources."""

from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from itertools import count
from typing import ClassVar

import msgspec
import pytest
from support.grpc_front import GrpcFront
from support.topics import PROJECT, Clients, SubscriptionContents, clients

from scribe_connectors.gcp.pubsub import PubsubSink, PubsubSinkOptions
from scribe_connectors.gcp.pubsub_source import PubsubSource, PubsubSourceOptions
from scribe_export.interface import Context
from scribe_export.model import Record
from scribe_export.testing.records import make_record, scan_body, scan_document
from scribe_export.testing.sink_contract import Destination, Faults, MakeRecords, MakeSink, SinkContract
from scribe_export.testing.source_contract import MakeSource, Put, SourceContract
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


class PubsubFixtures(SinkContract):
    cannot_partially_fail = "a request is taken whole or not at all"
    settings: ClassVar[Mapping[str, object]] = {}
    changed: ClassVar[Mapping[str, object]] = {"attributes": {"material": "{material}"}}

    @pytest.fixture
    def connection(self, front: GrpcFront, topic: str) -> Mapping[str, object]:
        return {"topic": topic.rpartition("/")[2], "project": PROJECT, "endpoint_url": front.url, **self.settings}

    @pytest.fixture
    def sink(self, connection: Mapping[str, object]) -> MakeSink:
        options = PubsubSinkOptions.model_validate(connection)
        return lambda: PubsubSink(options, Context("pubsub"))

    @pytest.fixture
    def reshaped(self, connection: Mapping[str, object]) -> MakeSink:
        options = PubsubSinkOptions.model_validate({**connection, **self.changed})
        return lambda: PubsubSink(options, Context("pubsub"))

    @pytest.fixture
    def destination(self, cloud: Clients, topic: str) -> Destination:
        return SubscriptionContents(cloud, cloud.subscription(topic))

    @pytest.fixture
    def unacceptable(self) -> Record:
        return make_record("too-large", seq=900, body=scan_body("too-large", size=10_000_000))

    @pytest.fixture
    def faults(self, front: GrpcFront) -> Faults:
        return Faults(
            down=front.unavailable,
            deny=front.denying,
            lose_answers=front.losing_answers,
            requests=lambda: front.requests,
        )


class TestWithoutOrder(PubsubFixtures):
    pass


class TestBareMessages(PubsubFixtures):
    """Nothing is added to a scan, so the largest message is known beforehand."""

    settings: ClassVar[Mapping[str, object]] = {
        "attributes": {},
        "compression": "gzip",
        "max_request_bytes": 1_000_000,
        "max_message_bytes": 900_000,
    }


class TestInOrder(PubsubFixtures):
    settings: ClassVar[Mapping[str, object]] = {"ordering_key": "{material}"}
    changed: ClassVar[Mapping[str, object]] = {"ordering_key": "{signal_type}-{material}"}

    @pytest.fixture
    def records(self) -> MakeRecords:
        return _of_oak


class TestMessagesReadBack(SourceContract):
    exactly_once = False

    @pytest.fixture
    def subscription(self, cloud: Clients, topic: str) -> str:
        return cloud.subscription(topic, enable_exactly_once_delivery=self.exactly_once)

    @pytest.fixture
    def source(self, front: GrpcFront, subscription: str) -> MakeSource:
        options = PubsubSourceOptions.model_validate(
            {
                "subscription": subscription,
                "endpoint_url": front.url,
                "idle_timeout": 0.6,
                "max_records": 5,
            }
        )
        return lambda *, once: PubsubSource(options, Context("pubsub", once=once))

    @pytest.fixture
    def put(self, cloud: Clients, topic: str) -> Put:
        return partial(_put, cloud, topic, count(1))

    @pytest.fixture
    def faults(self, front: GrpcFront) -> Faults:
        return Faults(down=front.unavailable)


class TestExactlyOnceReadBack(TestMessagesReadBack):
    exactly_once = True


def _of_oak(amount: int) -> Sequence[Record]:
    def body(number: int) -> bytes:
        document = scan_document(number)
        document["interpretation"]["pattern_matches"]["materials"][0]["material"] = "oak"
        return msgspec.json.encode(document)

    return [make_record(n, seq=n, body=body(n)) for n in range(1, amount + 1)]


def _put(cloud: Clients, topic: str, numbers: Iterator[int], amount: int) -> Mapping[str, bytes]:
    added = {str(n): scan_body(n) for n, _ in zip(numbers, range(amount), strict=False)}
    cloud.send(topic, *added.values())
    return added
