"""RabbitMQ keeps the contracts of sinks and sources."""

from collections.abc import Iterator, Mapping
from functools import partial
from itertools import count
from typing import ClassVar

import pytest
from support.amqp_front import AmqpFront
from support.rabbit import Contents, channel, new_queue, send

from scribe_connectors.rabbitmq.sink import RabbitMqSink, RabbitMqSinkOptions
from scribe_connectors.rabbitmq.source import RabbitMqSource, RabbitMqSourceOptions
from scribe_export.interface import Context
from scribe_export.testing.records import scan_body
from scribe_export.testing.sink_contract import Destination, Faults, MakeSink, SinkContract
from scribe_export.testing.source_contract import MakeSource, Put, SourceContract
from scribe_local.servers import RabbitMq


@pytest.fixture
def front(rabbitmq: RabbitMq) -> Iterator[AmqpFront]:
    with AmqpFront(rabbitmq.port) as front:
        yield front


class RabbitMqFixtures(SinkContract):
    @pytest.fixture
    def queue(self, rabbitmq: RabbitMq) -> str:
        return new_queue(rabbitmq.port)

    @pytest.fixture
    def options(self, front: AmqpFront, queue: str) -> Mapping[str, object]:
        return {"url": front.url, "timeout": 10.0, "max_message_bytes": 2**20, "queue": queue}

    @pytest.fixture
    def sink(self, options: Mapping[str, object]) -> MakeSink:
        checked = RabbitMqSinkOptions.model_validate(options)
        return lambda: RabbitMqSink(checked, Context("rabbit"))

    @pytest.fixture
    def reshaped(self, options: Mapping[str, object]) -> MakeSink:
        checked = RabbitMqSinkOptions.model_validate({**options, "attributes": {"material": "{material}"}})
        return lambda: RabbitMqSink(checked, Context("rabbit"))

    @pytest.fixture
    def destination(self, rabbitmq: RabbitMq, queue: str) -> Destination:
        return Contents(rabbitmq.port, queue)

    @pytest.fixture
    def faults(self, front: AmqpFront) -> Faults:
        return Faults(
            down=front.unavailable,
            deny=front.denying,
            lose_answers=front.losing_answers,
            refuse=lambda record: front.unroutable(record.body),
            requests=lambda: front.requests,
        )


class TestQueue(RabbitMqFixtures):
    pass


class TestQuorumQueue(RabbitMqFixtures):
    @pytest.fixture
    def queue(self, rabbitmq: RabbitMq) -> str:
        return new_queue(rabbitmq.port, **{"x-queue-type": "quorum"})


class TestExchange(RabbitMqFixtures):
    @pytest.fixture
    def options(self, rabbitmq: RabbitMq, front: AmqpFront, queue: str) -> Mapping[str, object]:
        exchange = f"{queue}-topics"
        with channel(rabbitmq.port) as open_channel:
            open_channel.exchange_declare(exchange, "topic", durable=True)
            open_channel.queue_bind(queue, exchange, "scans.#")
        where = {"exchange": exchange, "routing_key": "scans.{material}", "unroutable": "dead_letter"}
        return {"url": front.url, "timeout": 10.0, "max_message_bytes": 2**20, **where}


class TestMessagesReadBack(SourceContract):
    arguments: ClassVar[Mapping[str, str]] = {}

    @pytest.fixture
    def queue(self, rabbitmq: RabbitMq) -> str:
        return new_queue(rabbitmq.port, **self.arguments)

    @pytest.fixture
    def source(self, front: AmqpFront, queue: str) -> MakeSource:
        options = RabbitMqSourceOptions.model_validate({"url": front.url, "queue": queue, "max_records": 2})
        return lambda *, once: RabbitMqSource(options, Context("rabbit", once=once))

    @pytest.fixture
    def put(self, rabbitmq: RabbitMq, queue: str) -> Put:
        return partial(_put, rabbitmq.port, queue, count(1))

    @pytest.fixture
    def faults(self, front: AmqpFront) -> Faults:
        return Faults(down=front.unavailable)


class TestQuorumQueueReadBack(TestMessagesReadBack):
    arguments: ClassVar[Mapping[str, str]] = {"x-queue-type": "quorum"}


def _put(port: int, queue: str, numbers: Iterator[int], amount: int) -> Mapping[str, bytes]:
    added = {str(n): scan_body(n) for n, _ in zip(numbers, range(amount), strict=False)}
    send(port, queue, *added.values())
    return added
