"""The Publisher service: https://cloud.google.com/pubsub/docs/reference/rpc/google.pubsub.v1#publisher"""

from collections.abc import Callable
from typing import Any

import grpc
from google.pubsub_v1 import types

from scribe_local.pubsub.limits import check_publish
from scribe_local.pubsub.topics import Topics

_PublishResponse = types.PublishResponse.pb()
_ListTopics = types.ListTopicsResponse.pb()
_ListTopicSubscriptions = types.ListTopicSubscriptionsResponse.pb()


def publisher(topics: Topics) -> dict[str, Callable[[Any, grpc.ServicerContext], Any]]:
    """Its methods by name."""

    def create(request: Any, _: grpc.ServicerContext) -> Any:
        topics.create(request)
        return request

    def get(request: Any, _: grpc.ServicerContext) -> Any:
        return topics.get(request.topic).definition

    def delete(request: Any, _: grpc.ServicerContext) -> None:
        topics.delete(request.topic)

    def list_topics(request: Any, _: grpc.ServicerContext) -> Any:
        return _ListTopics(topics=topics.of_project(request.project))

    def list_subscriptions(request: Any, _: grpc.ServicerContext) -> Any:
        found = topics.get(request.topic).subscriptions
        return _ListTopicSubscriptions(subscriptions=[one.definition.name for one in found])

    def publish(request: Any, _: grpc.ServicerContext) -> Any:
        topics.get(request.topic)
        check_publish(request)
        return _PublishResponse(message_ids=topics.publish(request.topic, request.messages))

    return {
        "CreateTopic": create,
        "GetTopic": get,
        "DeleteTopic": delete,
        "ListTopics": list_topics,
        "ListTopicSubscriptions": list_subscriptions,
        "Publish": publish,
    }
