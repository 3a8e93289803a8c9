"""Confirms that come late, when nobody waits for them, or never, and connections that break before they come."""

from collections.abc import Iterator, Sequence
from contextlib import suppress

import anyio
import anyio.lowlevel
import pytest
from support.amqp_front import AmqpFront
from support.eventually import eventually
from support.rabbit import Contents, failure, make, new_queue
from support.records import record

from scribe_connectors.rabbitmq import _publishing
from scribe_connectors.rabbitmq.sink import RabbitMqSink
from scribe_export.errors import PartialFailure, Transient
from scribe_export.model import Record
from scribe_export.testing.sealing import encode, opened, seal_one, send
from scribe_local.servers import RabbitMq

RECORDS = [record(n) for n in range(1, 4)]


@pytest.fixture
def front(rabbitmq: RabbitMq) -> Iterator[AmqpFront]:
    with AmqpFront(rabbitmq.port) as front:
        yield front


async def sent_in_the_end(sink: RabbitMqSink, sent: Sequence[Record]) -> None:
    """Send it again as long as it is late."""
    with anyio.fail_after(30):
        while True:
            try:
                await send(sink, seal_one(sink, sent))
                return
            except Transient:
                continue


def test_a_connection_that_breaks_is_noticed_at_once(front: AmqpFront, rabbitmq: RabbitMq) -> None:
    queue, many = new_queue(rabbitmq.port), [record(n) for n in range(1, 41)]
    sink = make(front.url, queue=queue)

    async def check() -> None:
        async with opened(sink):
            encoded = await encode(sink, seal_one(sink, many))
            with anyio.fail_after(9):
                for turns in range(3, 12):
                    await sent_in_the_end(sink, many[:1])
                    front.cut()
                    for _ in range(turns):  # the client takes the loss in, step by step
                        await anyio.lowlevel.checkpoint()
                    with suppress(Transient, PartialFailure):
                        await sink.write(encoded)

    anyio.run(check)


def test_what_a_broker_confirms_late_is_awaited_and_not_sent_again(rabbitmq: RabbitMq) -> None:
    queue = new_queue(rabbitmq.port)
    sink = make(rabbitmq.amqp_url, queue=queue, timeout=0.5)

    async def check() -> None:
        async with opened(sink):
            rabbitmq.pause()
            for sent, applied in ((RECORDS[:2], "unknown"), (RECORDS[2:], "no"), (RECORDS, "unknown")):
                error = await failure(sink, sent)
                assert isinstance(error, Transient)
                assert error.applied == applied
            rabbitmq.resume()
            await sent_in_the_end(sink, RECORDS)
            assert Contents(rabbitmq.port, queue).effects() == {"1": 1, "2": 1, "3": 1}
            await sent_in_the_end(sink, RECORDS)  # as a replay would

    try:
        anyio.run(check)
    finally:
        rabbitmq.resume()
    assert Contents(rabbitmq.port, queue).effects() == {"1": 1, "2": 1, "3": 1}


def test_a_confirm_that_came_when_nobody_waited_is_known(rabbitmq: RabbitMq) -> None:
    queue = new_queue(rabbitmq.port)
    sink = make(rabbitmq.amqp_url, queue=queue, timeout=0.5)

    async def check() -> None:
        async with opened(sink):
            rabbitmq.pause()
            await failure(sink, RECORDS)
            rabbitmq.resume()
            contents = Contents(rabbitmq.port, queue)
            await eventually(lambda: len(contents.look()) == 3)
            await sent_in_the_end(sink, RECORDS)

    try:
        anyio.run(check)
    finally:
        rabbitmq.resume()
    assert Contents(rabbitmq.port, queue).effects() == {}


def test_a_confirm_that_never_comes_is_not_awaited_for_ever(
    front: AmqpFront, rabbitmq: RabbitMq, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_publishing, "LOST", 2.0)
    queue = new_queue(rabbitmq.port)
    sink = make(front.url, queue=queue, timeout=0.5)

    async def check() -> None:
        async with opened(sink):
            with front.unconfirmed():
                assert isinstance(await failure(sink, RECORDS), Transient)
            connections = front.connections
            await sent_in_the_end(sink, RECORDS)
            assert front.connections == connections + 1

    anyio.run(check)
    assert Contents(rabbitmq.port, queue).effects() == {"1": 2, "2": 2, "3": 2}
