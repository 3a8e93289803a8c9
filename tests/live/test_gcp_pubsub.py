"""Pub/Sub itself keeps the contracts of sinks and sources, in topics that are made and deleted."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from functools import partial
from itertools import count
from typing import Any, ClassVar

import google.auth
import google.auth.transport.grpc
import google.auth.transport.requests
import grpc
import msgspec
import pytest
from google.pubsub_v1 import PublisherClient, SubscriberClient, types
from google.pubsub_v1.services.publisher.transports import PublisherGrpcTransport
from google.pubsub_v1.services.subscriber.transports import SubscriberGrpcTransport
from support import live

from scribe_connectors.gcp.pubsub import PubsubSink, PubsubSinkOptions
from scribe_connectors.gcp.pubsub_source import PubsubSource, PubsubSourceOptions
from scribe_export.interface import Context
from scribe_export.model import Record
from scribe_export.scan import read_fields
from scribe_export.testing.records import make_record, scan_body, scan_document
from scribe_export.testing.sink_contract import Destination, Faults, MakeRecords, MakeSink, SinkContract
from scribe_export.testing.source_contract import MakeSource, Put, SourceContract

QUIET = 2.0
"""Pub/Sub may answer a pull with nothing while it still has messages."""


class Topic(Destination):
    """A topic and a subscription of it. Messages are acknowledged as they are read, and kept here."""

    def __init__(self, project: str, *, exactly_once: bool = False) -> None:
        endpoint = live.optional("PUBSUB_ENDPOINT")
        self._channels = [_channel(endpoint) for _ in range(2)]
        here, there = self._channels
        self.publisher: Any = PublisherClient(transport=PublisherGrpcTransport(channel=here))
        self._subscriber: Any = SubscriberClient(transport=SubscriberGrpcTransport(channel=there))
        name = live.fresh()
        self.name, self.subscription = f"projects/{project}/topics/{name}", f"projects/{project}/subscriptions/{name}"
        self.publisher.create_topic(name=self.name)
        wanted = {"name": self.subscription, "topic": self.name, "enable_exactly_once_delivery": exactly_once}
        self._subscriber.create_subscription(request=wanted)
        self._seen: list[tuple[str, bytes]] = []
        self._settled = live.Settled(self._look, QUIET)

    def held(self) -> list[tuple[str, bytes]]:
        return self._settled.held()

    def _look(self) -> list[tuple[str, bytes]]:
        request = {"subscription": self.subscription, "max_messages": 1000, "return_immediately": True}
        found = list(self._subscriber.transport.pull(types.PullRequest(request), timeout=20).received_messages)
        if found:
            ids = [one.ack_id for one in found]
            self._subscriber.acknowledge(subscription=self.subscription, ack_ids=ids)
        self._seen += [(read_fields(one.message.data).scan_id, one.message.data) for one in found]
        return self._seen

    def remove(self) -> None:
        self._subscriber.delete_subscription(subscription=self.subscription)
        self.publisher.delete_topic(topic=self.name)

    def close(self) -> None:
        for channel in self._channels:
            channel.close()


def _channel(endpoint: str) -> Any:
    options = [("grpc.max_receive_message_length", -1)]
    if endpoint:
        return grpc.insecure_channel(endpoint.removeprefix("http://"), options)
    credentials, _ = google.auth.default(scopes=["https://www.googleapis.com/auth/pubsub"])
    return google.auth.transport.grpc.secure_authorized_channel(
        credentials, google.auth.transport.requests.Request(), "pubsub.googleapis.com:443", options=options
    )


def _topic(*, exactly_once: bool = False) -> Iterator[Topic]:
    live.given("PUBSUB")
    [project] = live.given("GCP_PROJECT")
    found = Topic(project, exactly_once=exactly_once)
    with ExitStack() as stack:
        stack.callback(found.close)
        stack.callback(found.remove)
        yield found


class PubsubFixtures(SinkContract):
    cannot_partially_fail = "a request is taken whole or not at all"
    settings: ClassVar[Mapping[str, object]] = {}
    changed: ClassVar[Mapping[str, object]] = {"attributes": {"material": "{material}"}}

    @pytest.fixture
    def topic(self) -> Iterator[Topic]:
        yield from _topic()

    def options(self, topic: Topic, more: Mapping[str, object]) -> PubsubSinkOptions:
        return PubsubSinkOptions.model_validate(
            live.gcp_options("PUBSUB") | {"topic": topic.name, **self.settings, **more}
        )

    @pytest.fixture
    def sink(self, topic: Topic) -> MakeSink:
        return lambda: PubsubSink(self.options(topic, {}), Context("pubsub"))

    @pytest.fixture
    def reshaped(self, topic: Topic) -> MakeSink:
        return lambda: PubsubSink(self.options(topic, self.changed), Context("pubsub"))

    @pytest.fixture
    def destination(self, topic: Topic) -> Destination:
        return topic

    @pytest.fixture
    def unacceptable(self) -> Record:
        return make_record("too-large", seq=900, body=scan_body("too-large", size=10_000_000))

    @pytest.fixture
    def faults(self) -> Faults:
        return live.NO_FAULTS


class TestWithoutOrder(PubsubFixtures):
    pass


class TestInOrder(PubsubFixtures):
    settings: ClassVar[Mapping[str, object]] = {"ordering_key": "{material}"}
    changed: ClassVar[Mapping[str, object]] = {"ordering_key": "{signal_type}-{material}"}

    @pytest.fixture
    def records(self) -> MakeRecords:
        return _of_oak


class TestMessagesReadBack(SourceContract):
    exactly_once: ClassVar[bool] = False

    @pytest.fixture
    def topic(self) -> Iterator[Topic]:
        yield from _topic(exactly_once=self.exactly_once)

    @pytest.fixture
    def source(self, topic: Topic) -> MakeSource:
        given = {"subscription": topic.subscription, "idle_timeout": QUIET, "max_records": 5, "lease": 10}
        options = PubsubSourceOptions.model_validate(live.gcp_options("PUBSUB") | given)
        return lambda *, once: PubsubSource(options, Context("pubsub", once=once))

    @pytest.fixture
    def put(self, topic: Topic) -> Put:
        return partial(_put, topic, count(1))

    @pytest.fixture
    def faults(self) -> Faults:
        return live.NO_FAULTS


class TestExactlyOnceReadBack(TestMessagesReadBack):
    exactly_once = True


def _of_oak(amount: int) -> Sequence[Record]:
    def body(number: int) -> bytes:
        document = scan_document(number)
        document["interpretation"]["pattern_matches"]["materials"][0]["material"] = "oak"
        return msgspec.json.encode(document)

    return [make_record(n, seq=n, body=body(n)) for n in range(1, amount + 1)]


def _put(topic: Topic, numbers: Iterator[int], amount: int) -> Mapping[str, bytes]:
    added = {str(n): scan_body(n) for n, _ in zip(numbers, range(amount), strict=False)}
    topic.publisher.publish(topic=topic.name, messages=[{"data": body} for body in added.values()])
    return added
