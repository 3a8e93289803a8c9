"""Topics of the local Pub/Sub server, by the genuine clients."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any
from uuid import uuid4

import grpc
from google.api_core.exceptions import from_grpc_error
from google.cloud.pubsub_v1 import SubscriberClient
from google.pubsub_v1 import PublisherClient, types
from google.pubsub_v1.services.publisher.transports import PublisherGrpcTransport
from google.pubsub_v1.services.subscriber.transports import SubscriberGrpcTransport

from scribe_export.scan import read_fields
from scribe_export.testing.sink_contract import Destination

PROJECT = "acoustics"


class Clients:
    """Calls are made once and wait 20 s at most; `streaming` is the client that has callbacks."""

    def __init__(self, address: str) -> None:
        self._channels = [grpc.insecure_channel(address, [("grpc.max_receive_message_length", -1)]) for _ in range(2)]
        here, there = self._channels
        self.publisher: Any = PublisherClient(transport=PublisherGrpcTransport(channel=here))
        self.streaming: Any = SubscriberClient(transport=SubscriberGrpcTransport(channel=there))

    def topic(self) -> str:
        """A new topic's name."""
        name = f"projects/{PROJECT}/topics/t-{uuid4()}"
        self.publisher.create_topic(name=name)
        return name

    def subscription(self, topic: str, **settings: Any) -> str:
        """A new subscription's name."""
        name = f"projects/{PROJECT}/subscriptions/s-{uuid4()}"
        self.streaming.create_subscription(request={"name": name, "topic": topic, **settings})
        return name

    def send(self, topic: str, *messages: bytes | dict[str, Any]) -> Sequence[str]:
        """Publish in one request."""
        sent = [one if isinstance(one, dict) else {"data": one} for one in messages]
        answer = self.publisher.publish(request={"topic": topic, "messages": sent}, retry=None, timeout=20)
        return list(answer.message_ids)

    def pull(self, subscription: str, most: int = 1000, *, wait: bool = True) -> list[Any]:
        """What one Pull finds."""
        request = types.PullRequest(subscription=subscription, max_messages=most, return_immediately=not wait)
        try:
            return list(self.streaming.transport.pull(request, timeout=20).received_messages)
        except grpc.RpcError as error:
            raise from_grpc_error(error) from None

    def ack(self, subscription: str, *received: Any) -> None:
        ids = [one.ack_id for one in received]
        self.streaming.acknowledge(subscription=subscription, ack_ids=ids, retry=None, timeout=20)

    def modify(self, subscription: str, seconds: int, *received: Any) -> None:
        self.streaming.modify_ack_deadline(
            subscription=subscription,
            ack_ids=[one.ack_id for one in received],
            ack_deadline_seconds=seconds,
            retry=None,
            timeout=20,
        )

    def drained(self, subscription: str) -> list[Any]:
        """All messages that wait, acknowledged."""
        found: list[Any] = []
        while some := self.pull(subscription, wait=False):
            found += [one.message for one in some]
            self.ack(subscription, *some)
        return found

    def close(self) -> None:
        for channel in self._channels:
            channel.close()


@contextmanager
def clients(address: str) -> Iterator[Clients]:
    """Closed in the end."""
    found = Clients(address)
    try:
        yield found
    finally:
        found.close()


class SubscriptionContents(Destination):
    """What a subscription of the topic has received; looking does not take anything away."""

    def __init__(self, clients: Clients, subscription: str) -> None:
        self._clients, self._subscription = clients, subscription
        self.messages: list[Any] = []

    def look(self) -> list[Any]:
        """All messages so far, in the order received."""
        self.messages += self._clients.drained(self._subscription)
        return self.messages

    def held(self) -> list[tuple[str, bytes]]:
        return [(read_fields(one.data).scan_id, one.data) for one in self.look()]
