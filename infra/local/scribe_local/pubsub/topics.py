"""All topics and subscriptions of the server."""

import itertools
import threading
import time
from collections.abc import Iterator
from typing import Any

from google.protobuf.timestamp_pb2 import Timestamp

from scribe_local.pubsub.limits import (
    ACK_DEADLINES,
    DELIVERY_ATTEMPTS,
    check_name,
)
from scribe_local.pubsub.refusal import already_exists, invalid, not_found
from scribe_local.pubsub.subscription import Subscription

DELETED_TOPIC = "_deleted-topic_"


class Topic:
    """A topic and who is subscribed to it; messages without a subscription go nowhere, as the service's do."""

    def __init__(self, definition: Any) -> None:
        self.definition = definition
        self.subscriptions: tuple[Subscription, ...] = ()


class Topics:
    """For all threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._topics: dict[str, Topic] = {}
        self._subscriptions: dict[str, Subscription] = {}
        self._ids = itertools.count(1)

    def create(self, definition: Any) -> None:
        """A topic, by its Topic message; raises `Refusal`."""
        check_name(definition.name, "topics")
        with self._lock:
            if definition.name in self._topics:
                raise already_exists(definition.name)
            self._topics[definition.name] = Topic(definition)

    def get(self, name: str) -> Topic:
        """Raises `Refusal`."""
        topic = self._topics.get(name)
        if topic is None:
            raise not_found(name)
        return topic

    def delete(self, name: str) -> None:
        """Its subscriptions stay, with what they hold; raises `Refusal`."""
        with self._lock:
            for subscription in self.get(name).subscriptions:
                subscription.definition.topic = DELETED_TOPIC
            del self._topics[name]

    def of_project(self, project: str) -> Iterator[Any]:
        """Definitions of topics."""
        return (one.definition for name, one in sorted(self._topics.items()) if name.startswith(project + "/"))

    def subscribe(self, definition: Any) -> None:
        """A subscription, by its Subscription message; raises `Refusal`."""
        check_name(definition.name, "subscriptions")
        definition.ack_deadline_seconds = definition.ack_deadline_seconds or ACK_DEADLINES[0]
        if definition.ack_deadline_seconds not in ACK_DEADLINES:
            raise invalid(f"Invalid ack deadline given (ack_deadline_secs={definition.ack_deadline_seconds}).")
        if definition.HasField("dead_letter_policy"):
            policy = definition.dead_letter_policy
            policy.max_delivery_attempts = policy.max_delivery_attempts or DELIVERY_ATTEMPTS[0]
            if policy.max_delivery_attempts not in DELIVERY_ATTEMPTS:
                raise invalid("max_delivery_attempts must be from 5 to 100.")
        subscription = Subscription(definition, self._bury)
        with self._lock:
            topic = self.get(definition.topic)
            if definition.name in self._subscriptions:
                raise already_exists(definition.name)
            self._subscriptions[definition.name] = subscription
            topic.subscriptions += (subscription,)

    def subscription(self, name: str) -> Subscription:
        """Raises `Refusal`."""
        found = self._subscriptions.get(name)
        if found is None:
            raise not_found(name)
        return found

    def unsubscribe(self, name: str) -> None:
        """Delete a subscription and what it holds; raises `Refusal`."""
        with self._lock:
            found = self.subscription(name)
            del self._subscriptions[name]
            topic = self._topics.get(found.definition.topic)
            if topic:
                topic.subscriptions = tuple(one for one in topic.subscriptions if one is not found)
            found.deleted = True
        found.wake()

    def subscriptions_of_project(self, project: str) -> Iterator[Any]:
        """Definitions of subscriptions."""
        return (one.definition for name, one in sorted(self._subscriptions.items()) if name.startswith(project + "/"))

    def publish(self, name: str, messages: Any) -> list[str]:
        """Give them ids and hand them to every subscription, in order; raises `Refusal`."""
        topic = self.get(name)
        now = Timestamp()
        now.FromNanoseconds(time.time_ns())
        with self._lock:
            ids = [str(number) for number, _ in zip(self._ids, messages, strict=False)]
            for message, message_id in zip(messages, ids, strict=True):
                message.message_id = message_id
                message.publish_time.CopyFrom(now)
            for subscription in topic.subscriptions:
                subscription.offer(messages)
        return ids

    def _bury(self, topic: str, letter: Any) -> None:
        if topic in self._topics:
            self.publish(topic, [letter])
