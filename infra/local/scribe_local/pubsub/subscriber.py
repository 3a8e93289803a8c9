"""The Subscriber service: https://cloud.google.com/pubsub/docs/reference/rpc/google.pubsub.v1#subscriber"""

import time
from collections.abc import Callable, Iterator
from typing import Any

import grpc
from google.pubsub_v1 import types

from scribe_local.pubsub.leases import Outstanding
from scribe_local.pubsub.limits import ACK_EXTENSIONS, MAX_MESSAGES, check_acks
from scribe_local.pubsub.refusal import Refusal, invalid
from scribe_local.pubsub.streaming import streaming_pull
from scribe_local.pubsub.topics import Topics

LONGEST_WAIT = 60.0
PULL_BYTES = 9_000_000

_PullResponse = types.PullResponse.pb()
_ListSubscriptions = types.ListSubscriptionsResponse.pb()


def subscriber(topics: Topics) -> dict[str, Callable[[Any, grpc.ServicerContext], Any]]:
    """Its methods by name."""

    def create(request: Any, _: grpc.ServicerContext) -> Any:
        topics.subscribe(request)
        return request

    def get(request: Any, _: grpc.ServicerContext) -> Any:
        return topics.subscription(request.subscription).definition

    def delete(request: Any, _: grpc.ServicerContext) -> None:
        topics.unsubscribe(request.subscription)

    def list_subscriptions(request: Any, _: grpc.ServicerContext) -> Any:
        return _ListSubscriptions(subscriptions=topics.subscriptions_of_project(request.project))

    def pull(request: Any, context: grpc.ServicerContext) -> Any:
        return _pull(topics, request, context)

    def acknowledge(request: Any, _: grpc.ServicerContext) -> None:
        subscription = topics.subscription(request.subscription)
        check_acks(request)
        _answer(subscription.acknowledge(request.ack_ids))

    def modify(request: Any, _: grpc.ServicerContext) -> None:
        subscription = topics.subscription(request.subscription)
        check_acks(request)
        if request.ack_deadline_seconds not in ACK_EXTENSIONS:
            raise invalid("The ack deadline must be from 0 to 600 seconds.")
        _answer(subscription.modify((ack_id, request.ack_deadline_seconds) for ack_id in request.ack_ids))

    def stream(requests: Iterator[Any], context: grpc.ServicerContext) -> Iterator[Any]:
        return streaming_pull(topics, requests, context)

    return {
        "CreateSubscription": create,
        "GetSubscription": get,
        "DeleteSubscription": delete,
        "ListSubscriptions": list_subscriptions,
        "Pull": pull,
        "Acknowledge": acknowledge,
        "ModifyAckDeadline": modify,
        "StreamingPull": stream,
    }


def _pull(topics: Topics, request: Any, context: grpc.ServicerContext) -> Any:
    if request.max_messages <= 0:
        raise invalid("max_messages must be above 0.")
    subscription = topics.subscription(request.subscription)
    seconds = subscription.definition.ack_deadline_seconds
    until = time.monotonic() + LONGEST_WAIT
    most = min(request.max_messages, MAX_MESSAGES)
    while True:
        # What is handed to a client that is gone would not be seen before its deadline.
        messages = subscription.take(most, PULL_BYTES, seconds, Outstanding()) if context.is_active() else []
        left = until - time.monotonic()
        if messages or request.return_immediately or left <= 0 or not context.is_active():
            return _PullResponse(received_messages=messages)
        subscription.wait(min(left, 0.5))


def _answer(failures: dict[str, str]) -> None:
    # https://cloud.google.com/pubsub/docs/exactly-once-delivery
    if failures:
        message = (
            "Some acknowledgement ids in the request were invalid. This could be because the acknowledgement ids have "
            "expired or the acknowledgement ids were malformed."
        )
        raise Refusal(grpc.StatusCode.INVALID_ARGUMENT, message, failures)
