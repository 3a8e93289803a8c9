"""What a request may hold: https://cloud.google.com/pubsub/quotas#resource_limits (seen 2026-11-24)."""

import re
from typing import Any

from scribe_local.pubsub.refusal import invalid

MAX_REQUEST_BYTES = 10_000_000
MAX_MESSAGES = 1000
MAX_ATTRIBUTES = 100
MAX_ATTRIBUTE_KEY = 256
MAX_ATTRIBUTE_VALUE = 1024
MAX_ORDERING_KEY = 1024
MAX_ACK_REQUEST_BYTES = 524_288
ACK_DEADLINES = range(10, 601)
ACK_EXTENSIONS = range(601)
DELIVERY_ATTEMPTS = range(5, 101)

# https://cloud.google.com/pubsub/docs/pubsub-basics#resource_names
_NAME = re.compile(r"projects/[^/]+/(topics|subscriptions)/(?!goog)[A-Za-z][A-Za-z0-9._~+%-]{2,254}")


def check_name(name: str, kind: str) -> None:
    """The name of a new topic or subscription; raises `Refusal`."""
    found = _NAME.fullmatch(name)
    if not found or found[1] != kind:
        raise invalid(f"Invalid resource name given (name={name}).")


def check_publish(request: Any) -> None:
    """All messages of a PublishRequest; raises `Refusal`."""
    size, messages = request.ByteSize(), request.messages
    if size > MAX_REQUEST_BYTES:
        raise _too_large("request_size", size, MAX_REQUEST_BYTES)
    if len(messages) > MAX_MESSAGES:
        raise _too_large("message_count", len(messages), MAX_MESSAGES)
    if not messages:
        raise invalid("The request must hold at least one message.")
    key = messages[0].ordering_key
    if key and len(key.encode()) > MAX_ORDERING_KEY:
        raise _too_large("ordering_key", len(key.encode()), MAX_ORDERING_KEY)
    for message in messages:
        if message.ordering_key != key:
            raise invalid(
                "In a single publish request, all messages must have no ordering key or they must all have "
                "the same ordering key."
            )
        if message.attributes:
            _check_attributes(message.attributes)
        elif not message.data:
            raise invalid("Some messages in the request are invalid: empty data and no attributes.")


def check_acks(request: Any) -> None:
    """An AcknowledgeRequest or ModifyAckDeadlineRequest; raises `Refusal`."""
    if not request.ack_ids:
        raise invalid("No ack ids specified.")
    if request.ByteSize() > MAX_ACK_REQUEST_BYTES:
        raise invalid(f"Request payload size exceeds the limit: {MAX_ACK_REQUEST_BYTES} bytes.")


def _check_attributes(attributes: Any) -> None:
    if len(attributes) > MAX_ATTRIBUTES:
        raise _too_large("attribute_count", len(attributes), MAX_ATTRIBUTES)
    for key, value in attributes.items():
        if not key or key.startswith("goog"):
            raise invalid(f"The attribute key {key!r} is empty or reserved.")
        if len(key.encode()) > MAX_ATTRIBUTE_KEY:
            raise _too_large("attribute_key", len(key.encode()), MAX_ATTRIBUTE_KEY)
        if len(value.encode()) > MAX_ATTRIBUTE_VALUE:
            raise _too_large("attribute_value", len(value.encode()), MAX_ATTRIBUTE_VALUE)


def _too_large(what: str, found: int, most: int) -> Exception:
    return invalid(
        f"The value for {what} is too large. You passed {found} in the request, but the maximum value is {most}."
    )
