"""StreamingPull: https://cloud.google.com/pubsub/docs/pull#streamingpull_api"""

import threading
from collections import deque
from collections.abc import Iterator
from typing import Any

import grpc
from google.pubsub_v1 import types

from scribe_local.pubsub.leases import Outstanding
from scribe_local.pubsub.limits import ACK_DEADLINES, ACK_EXTENSIONS
from scribe_local.pubsub.refusal import Refusal, invalid, not_found
from scribe_local.pubsub.subscription import Subscription
from scribe_local.pubsub.topics import Topics

CHUNK_MESSAGES = 500
CHUNK_BYTES = 2_000_000
_LOOK_AGAIN = 5.0

_Response = types.StreamingPullResponse.pb()


def streaming_pull(topics: Topics, requests: Iterator[Any], context: grpc.ServicerContext) -> Iterator[Any]:
    """Answer until the client goes away; raises `Refusal`."""
    first = next(requests, None)
    if first is None:
        return
    stream = _Stream(topics.subscription(first.subscription), first)
    if not context.add_callback(stream.close):
        return
    threading.Thread(target=stream.read, args=(requests,), name="pubsub-stream", daemon=True).start()
    yield from stream.responses()


class _Stream:
    def __init__(self, subscription: Subscription, first: Any) -> None:
        if first.stream_ack_deadline_seconds not in ACK_DEADLINES:
            raise invalid("stream_ack_deadline_seconds must be from 10 to 600.")
        self._subscription = subscription
        self._seconds = first.stream_ack_deadline_seconds
        # https://docs.cloud.google.com/pubsub/docs/reference/rpc/google.pubsub.v1#streamingpullrequest: 0 is no limit
        self._most = first.max_outstanding_messages if first.max_outstanding_messages > 0 else 2**62
        self._most_bytes = first.max_outstanding_bytes if first.max_outstanding_bytes > 0 else 2**62
        self._outstanding = Outstanding()
        self._confirmations: deque[Any] = deque()
        self._closed = False
        self._refusal: Refusal | None = None
        self._apply(first)

    def close(self) -> None:
        self._closed = True
        self._subscription.wake()

    def read(self, requests: Iterator[Any]) -> None:
        """In a thread of its own: what the client says after its first request."""
        try:
            for request in requests:
                self._apply(request)
        except Refusal as refusal:
            self._refusal = refusal
        except grpc.RpcError:
            pass  # the client is gone
        finally:
            self.close()

    def responses(self) -> Iterator[Any]:
        while not self._closed:
            if self._subscription.deleted:
                raise not_found(self._subscription.definition.name)
            while self._confirmations:
                yield self._confirmations.popleft()
            room = min(self._most - self._outstanding.messages, CHUNK_MESSAGES)
            room_bytes = min(self._most_bytes - self._outstanding.bytes, CHUNK_BYTES)
            messages = []
            if room > 0 and room_bytes > 0:
                messages = self._subscription.take(room, room_bytes, self._seconds, self._outstanding)
            if messages:
                response = self._response()
                response.received_messages.extend(messages)
                yield response
            else:
                self._subscription.wait(_LOOK_AGAIN, full=room <= 0 or room_bytes <= 0)
        if self._refusal:
            raise self._refusal

    def _apply(self, request: Any) -> None:
        if len(request.modify_deadline_ack_ids) != len(request.modify_deadline_seconds):
            raise invalid("modify_deadline_seconds and modify_deadline_ack_ids must be of the same size.")
        if any(seconds not in ACK_EXTENSIONS for seconds in request.modify_deadline_seconds):
            raise invalid("modify_deadline_seconds must be from 0 to 600.")
        if request.ack_ids:
            failures = self._subscription.acknowledge(request.ack_ids)
            self._confirm("acknowledge_confirmation", request.ack_ids, failures)
        if request.modify_deadline_ack_ids:
            pairs = zip(request.modify_deadline_ack_ids, request.modify_deadline_seconds, strict=True)
            failures = self._subscription.modify(pairs)
            self._confirm("modify_ack_deadline_confirmation", request.modify_deadline_ack_ids, failures)

    def _confirm(self, field: str, ack_ids: Any, failures: dict[str, str]) -> None:
        if not self._subscription.exactly_once:
            return
        response = self._response()
        confirmation = getattr(response, field)
        confirmation.ack_ids.extend(one for one in ack_ids if one not in failures)
        confirmation.invalid_ack_ids.extend(failures)
        self._confirmations.append(response)
        self._subscription.wake()

    def _response(self) -> Any:
        definition = self._subscription.definition
        return _Response(
            subscription_properties={
                "exactly_once_delivery_enabled": definition.enable_exactly_once_delivery,
                "message_ordering_enabled": definition.enable_message_ordering,
            }
        )
