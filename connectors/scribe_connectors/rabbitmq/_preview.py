"""What a message looks like on its way, without a connection."""

from collections.abc import Mapping

import msgspec

from scribe_connectors.rabbitmq._publishing import Message
from scribe_export.model import Request


def request_of(url: str, message: Message, index: int) -> Request:
    """A message as its Basic.Publish carries it; its properties are the headers, those of the message as JSON."""
    properties = {name: value for name, value in message.properties if value is not None}
    said: Mapping[str, str] = {
        name: value if isinstance(value, str) else msgspec.json.encode(value).decode()
        for name, value in properties.items()
    }
    target = f"{url}?exchange={message.exchange}&routing_key={message.routing_key}"
    return Request("Basic.Publish", target, {**said, "mandatory": "true"}, message.body, (index,))
