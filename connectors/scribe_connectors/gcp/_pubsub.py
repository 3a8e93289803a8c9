"""The calls of Pub/Sub that both ends make, over google-cloud-pubsub's own messages."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

from google.api_core.gapic_v1.routing_header import to_grpc_metadata
from google.protobuf import empty_pb2
from google.pubsub_v1 import types
from pydantic import StringConstraints

from scribe_connectors.gcp._client import GcpOptions
from scribe_connectors.gcp._rpc import Rpc, RpcClient

HOST = "pubsub.googleapis.com"

GetTopicRequest = types.GetTopicRequest.pb()
PublishRequest = types.PublishRequest.pb()
PublishResponse = types.PublishResponse.pb()
PullRequest = types.PullRequest.pb()
StreamingPullRequest = types.StreamingPullRequest.pb()
AcknowledgeRequest = types.AcknowledgeRequest.pb()
ModifyAckDeadlineRequest = types.ModifyAckDeadlineRequest.pb()

# https://cloud.google.com/pubsub/docs/pubsub-basics#resource_names
_NAME = "[A-Za-z][A-Za-z0-9._~+%-]{2,254}"
TopicName = Annotated[str, StringConstraints(pattern=f"^(projects/[^/]+/topics/)?{_NAME}$")]
SubscriptionName = Annotated[str, StringConstraints(pattern=f"^(projects/[^/]+/subscriptions/)?{_NAME}$")]


@dataclass(frozen=True, slots=True)
class Pubsub:
    """Stubs of one channel; `name` is the whole name of the topic or subscription, `routing` goes with each call.

    Messages are those of protobuf itself, as google-cloud-pubsub's publisher uses them: its wrappers and futures cost
    several times what the rest of a call does.
    """

    name: str
    routing: tuple[tuple[str, str], ...]
    look: Callable[..., Any]
    publish: Callable[..., Any]
    pull: Callable[..., Any]
    streaming_pull: Callable[..., Any]
    acknowledge: Callable[..., Any]
    modify: Callable[..., Any]


def pubsub_client(options: GcpOptions, kind: str, name: str, *, folder: Path) -> RpcClient[Pubsub]:
    """`kind` is topic or subscription; a `name` that is short is one of the project's."""

    def make(rpc: Rpc) -> Pubsub:
        whole = name if "/" in name else f"projects/{rpc.need_project()}/{kind}s/{name}"

        def method(path: str, request: Any, answer: Any) -> Any:
            found = rpc.channel.stream_stream if path.endswith("/StreamingPull") else rpc.channel.unary_unary
            return found(
                f"/google.pubsub.v1.{path}",
                request_serializer=request.SerializeToString,
                response_deserializer=answer.FromString,
            )

        return Pubsub(
            name=whole,
            routing=(to_grpc_metadata(((kind, whole),)),),
            look=method("Publisher/GetTopic", GetTopicRequest, types.Topic.pb()),
            publish=method("Publisher/Publish", PublishRequest, PublishResponse),
            pull=method("Subscriber/Pull", PullRequest, types.PullResponse.pb()),
            streaming_pull=method("Subscriber/StreamingPull", StreamingPullRequest, types.StreamingPullResponse.pb()),
            acknowledge=method("Subscriber/Acknowledge", AcknowledgeRequest, empty_pb2.Empty),
            modify=method("Subscriber/ModifyAckDeadline", ModifyAckDeadlineRequest, empty_pb2.Empty),
        )

    return RpcClient(HOST, options, make, folder=folder)
