"""Queues of RabbitMQ, by pika: another client than the connectors'."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from uuid import uuid4

import pika
from pika.adapters.blocking_connection import BlockingChannel

from scribe_connectors.rabbitmq.sink import RabbitMqSink, RabbitMqSinkOptions
from scribe_export.errors import SinkError
from scribe_export.interface import Context
from scribe_export.model import Record
from scribe_export.scan import read_fields
from scribe_export.testing.sealing import seal_one
from scribe_export.testing.sealing import send as send_batch
from scribe_export.testing.sink_contract import Destination


@contextmanager
def channel(port: int) -> Iterator[BlockingChannel]:
    """A channel that confirms; closed in the end."""
    connection = pika.BlockingConnection(pika.ConnectionParameters("127.0.0.1", port, heartbeat=0))
    try:
        found = connection.channel()
        found.confirm_delivery()
        yield found
    finally:
        if connection.is_open:
            connection.close()


def new_queue(port: int, **arguments: Any) -> str:
    """A new durable queue's name."""
    name = f"test-{uuid4()}"
    with channel(port) as open_channel:
        open_channel.queue_declare(name, durable=True, arguments=arguments)
    return name


def send(port: int, queue: str, *bodies: bytes, **properties: Any) -> None:
    """Put persistent messages there."""
    with channel(port) as open_channel:
        for body in bodies:
            open_channel.basic_publish(
                "", queue, body, pika.BasicProperties(delivery_mode=2, **properties), mandatory=True
            )


class Contents(Destination):
    """What a queue holds; looking takes it away, so it is kept here."""

    def __init__(self, port: int, queue: str) -> None:
        self._port, self._queue = port, queue
        self.messages: list[tuple[Any, Any, bytes]] = []

    def look(self) -> Sequence[tuple[Any, Any, bytes]]:
        """Method, properties and body of all messages so far, in the order received."""
        with channel(self._port) as open_channel:
            while (found := open_channel.basic_get(self._queue, auto_ack=True))[0] is not None:
                self.messages.append(found)
        return self.messages

    def held(self) -> list[tuple[str, bytes]]:
        return [(read_fields(body).scan_id, body) for _, _, body in self.look()]


def waiting(port: int, queue: str) -> int:
    """Messages that lie there ready."""
    with channel(port) as open_channel:
        return int(open_channel.queue_declare(queue, passive=True).method.message_count)


def make(url: str, folder: Path = Path(), **options: Any) -> RabbitMqSink:
    """A sink, not yet opened."""
    checked = RabbitMqSinkOptions.model_validate({"url": url, "timeout": 10.0, **options})
    return RabbitMqSink(checked, Context("announce", folder=folder))


async def failure(sink: RabbitMqSink, sent: Sequence[Record]) -> Exception:
    """What a write raises."""
    try:
        await send_batch(sink, seal_one(sink, sent))
    except SinkError as error:
        return error
    raise AssertionError("the write was confirmed")
