"""Pub/Sub: a message a scan."""

import contextlib
from collections.abc import Iterator, Mapping
from typing import Any

import grpc
from google.api_core.exceptions import AlreadyExists
from google.pubsub_v1 import PublisherClient, SubscriberClient
from google.pubsub_v1.services.publisher.transports import PublisherGrpcTransport
from google.pubsub_v1.services.subscriber.transports import SubscriberGrpcTransport

from scribe_local.cloud.gcp import PROJECT
from scribe_local.cloud.service import Service

TOPIC = f"projects/{PROJECT}/topics/scans"
SUBSCRIPTION = f"projects/{PROJECT}/subscriptions/demo"


class Pubsub(Service):
    """A topic, and a subscription that gets all of it."""

    name = "publish"
    connection = "gcp"
    what = "Pub/Sub, a message a scan"
    repeats = "the service takes a repeat as another message"

    def __init__(self, port: int) -> None:
        self._url = f"http://127.0.0.1:{port}"
        self._channel = grpc.insecure_channel(f"127.0.0.1:{port}", options=[("grpc.max_receive_message_length", -1)])
        self._publisher: Any = PublisherClient(transport=PublisherGrpcTransport(channel=self._channel))
        self._subscriber: Any = SubscriberClient(transport=SubscriberGrpcTransport(channel=self._channel))
        self._taken: list[bytes] = []

    def prepare(self) -> None:
        with contextlib.suppress(AlreadyExists):
            self._publisher.create_topic(name=TOPIC)
        with contextlib.suppress(AlreadyExists):
            self._subscriber.create_subscription(name=SUBSCRIPTION, topic=TOPIC)

    def destination(self) -> Mapping[str, Any]:
        return {"type": "gcp_pubsub", "endpoint_url": self._url, "topic": "scans"}

    def copies(self) -> Iterator[bytes]:
        while found := self._pull():
            self._taken += [one.message.data for one in found]
            self._subscriber.acknowledge(subscription=SUBSCRIPTION, ack_ids=[one.ack_id for one in found])
        yield from self._taken

    def close(self) -> None:
        self._channel.close()

    def _pull(self) -> list[Any]:
        request = {"subscription": SUBSCRIPTION, "max_messages": 500, "return_immediately": True}
        return list(self._subscriber.pull(request, timeout=10).received_messages)
