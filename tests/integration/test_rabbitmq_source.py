"""Receiving: nothing is acknowledged that is not journalled, and what is not comes again."""

from collections.abc import Iterator
from typing import Any

import anyio
import pytest
from support.amqp_front import AmqpFront
from support.pipeline import until
from support.rabbit import Contents, channel, new_queue, send, waiting
from support.records import body
from support.source_run import Notebook, run_source

from scribe_connectors.rabbitmq.source import RabbitMqSource, RabbitMqSourceOptions
from scribe_export.errors import Transient
from scribe_export.interface import Context
from scribe_export.model import Delivery
from scribe_export.testing.sealing import opened
from scribe_local.servers import RabbitMq


@pytest.fixture
def front(rabbitmq: RabbitMq) -> Iterator[AmqpFront]:
    with AmqpFront(rabbitmq.port) as front:
        yield front


def make(url: str, queue: str, *, once: bool = False, **options: Any) -> RabbitMqSource:
    checked = RabbitMqSourceOptions.model_validate({"url": url, "queue": queue, "timeout": 10.0, **options})
    return RabbitMqSource(checked, Context("inbox", once=once))


async def first(source: RabbitMqSource, count: int) -> tuple[Any, list[Delivery]]:
    """The generator, and its first deliveries, none of them settled."""
    deliveries = source.deliveries(Notebook())
    with anyio.fail_after(20):
        return deliveries, [await anext(deliveries) for _ in range(count)]


def test_one_acknowledgement_covers_all_before_it_and_none_that_is_not_journalled(
    rabbitmq: RabbitMq, front: AmqpFront
) -> None:
    queue = new_queue(rabbitmq.port)
    send(rabbitmq.port, queue, *(body(n) for n in range(1, 6)))

    async def check() -> None:
        async with opened(make(front.url, queue, max_records=1)) as source:
            deliveries, (one, two, three, four, five) = await first(source, 5)
            await one.ack()
            await three.ack()  # two is not journalled
            await four.ack()
            await two.ack()  # nothing before it is open
            await five.ack()
            await deliveries.aclose()

    anyio.run(check)
    said = [(ack.delivery_tag, ack.multiple) for ack in front.acks]
    assert said == [(1, True), (3, False), (4, False), (2, True), (5, True)]
    assert waiting(rabbitmq.port, queue) == 0


def test_what_was_not_acknowledged_when_the_connection_broke_comes_again(rabbitmq: RabbitMq, front: AmqpFront) -> None:
    queue = new_queue(rabbitmq.port)
    send(rabbitmq.port, queue, body(1), body(2))

    async def check() -> list[bytes]:
        async with opened(make(front.url, queue, max_records=1)) as source:
            deliveries, (one, two) = await first(source, 2)
            await one.ack()
            await anyio.to_thread.run_sync(lambda: until(lambda: bool(front.acks)))
            front.cut()
            with pytest.raises(Transient):
                await anext(deliveries)
            await two.ack()  # nobody hears it any more, and it says nothing
            await source.open()
            again, [three] = await first(source, 1)
            await three.ack()
            await again.aclose()
            return [one.body for one in three.incoming]

    assert anyio.run(check) == [body(2)]
    assert waiting(rabbitmq.port, queue) == 0


@pytest.mark.parametrize("kind", ["classic", "quorum"])
def test_a_queue_that_is_deleted_cancels_the_consumer_and_is_transient(rabbitmq: RabbitMq, kind: str) -> None:
    queue = new_queue(rabbitmq.port, **{"x-queue-type": kind})

    def delete() -> None:
        with channel(rabbitmq.port) as open_channel:
            open_channel.queue_delete(queue)

    async def check() -> None:
        async with opened(make(rabbitmq.amqp_url, queue)) as source, anyio.create_task_group() as tasks:
            tasks.start_soon(anyio.to_thread.run_sync, delete)
            with pytest.raises(Transient), anyio.fail_after(20):
                await anext(source.deliveries(Notebook()))

    anyio.run(check)


def test_no_more_is_taken_than_may_be_unacknowledged(rabbitmq: RabbitMq) -> None:
    queue = new_queue(rabbitmq.port)
    send(rabbitmq.port, queue, *(body(n) for n in range(1, 31)))

    async def check() -> None:
        async with opened(make(rabbitmq.amqp_url, queue, max_unacked=10)) as source:
            deliveries = source.deliveries(Notebook())
            taken: list[Delivery] = []
            with anyio.move_on_after(2):
                while True:
                    taken.append(await anext(deliveries))
            assert sum(len(one.incoming) for one in taken) == 10

    anyio.run(check)


def test_the_connection_outlives_deliveries_that_a_full_journal_keeps(rabbitmq: RabbitMq, front: AmqpFront) -> None:
    queue = new_queue(rabbitmq.port)
    send(rabbitmq.port, queue, body(1))

    async def check() -> None:
        async with opened(make(front.url, queue, heartbeat=1.0)) as source:
            deliveries, [held] = await first(source, 1)
            await anyio.sleep(5)
            await held.ack()
            await deliveries.aclose()

    anyio.run(check)
    assert front.connections == 1
    assert waiting(rabbitmq.port, queue) == 0


def test_all_that_is_there_is_read_once_however_little_may_be_unacknowledged(rabbitmq: RabbitMq) -> None:
    queue = new_queue(rabbitmq.port)
    send(rabbitmq.port, queue, *(body(n) for n in range(1, 101)))
    notebook = Notebook()

    async def check() -> None:
        async with opened(make(rabbitmq.amqp_url, queue, once=True, max_unacked=7, max_records=3)) as source:
            await run_source(source, notebook)

    anyio.run(check)
    assert sorted(map(int, notebook.ids)) == list(range(1, 101))
    assert waiting(rabbitmq.port, queue) == 0


def test_ids_are_the_senders_and_two_equal_messages_are_two(rabbitmq: RabbitMq) -> None:
    queue = new_queue(rabbitmq.port)
    send(rabbitmq.port, queue, b"{}", b"{}")
    send(rabbitmq.port, queue, b"{}", message_id="m", correlation_id="c")
    send(rabbitmq.port, queue, b"{}", correlation_id="c")

    async def check() -> list[str]:
        async with opened(make(rabbitmq.amqp_url, queue, max_records=1)) as source:
            deliveries, found = await first(source, 4)
            await deliveries.aclose()
            return [one.incoming[0].id for one in found]

    ids = anyio.run(check)
    assert ids[2:] == ["m", "c"]
    assert len(set(ids)) == 4
    assert all(ids)


def test_the_scan_in_the_guides_results_is_taken_byte_for_byte(rabbitmq: RabbitMq) -> None:
    queue = new_queue(rabbitmq.port)
    scan = b'{"scan_id":  7, "confidence": 0.10000000000000000001}'
    send(rabbitmq.port, queue, b'{"request_id": "r", "result": ' + scan + b', "timestamp": 1.5}', b"[1]")

    async def check() -> list[bytes]:
        async with opened(make(rabbitmq.amqp_url, queue, scan_field="result")) as source:
            deliveries: Any = source.deliveries(Notebook())
            bodies: list[bytes] = []
            with anyio.fail_after(20):
                while len(bodies) < 2:
                    bodies += [one.body for one in (await anext(deliveries)).incoming]
            await deliveries.aclose()
            return bodies

    assert anyio.run(check) == [scan, b"[1]"]


def test_a_quorum_queue_of_the_users_own_dead_letters_what_is_given_up(rabbitmq: RabbitMq) -> None:
    queue, grave = f"{new_queue(rabbitmq.port)}-own", new_queue(rabbitmq.port)
    with channel(rabbitmq.port) as open_channel:
        open_channel.exchange_declare(f"{grave}-x", "fanout", durable=True)
        open_channel.queue_bind(grave, f"{grave}-x")

    async def check() -> None:
        more: dict[str, Any] = {"dead_letter_exchange": f"{grave}-x", "arguments": {"x-delivery-limit": 1}}
        async with opened(make(rabbitmq.amqp_url, queue, declare="quorum", **more)) as source:
            send(rabbitmq.port, queue, body(1))
            for _ in range(2):  # delivered, and not taken
                deliveries, [one] = await first(source, 1)
                await one.nack()
                with pytest.raises(Transient):
                    await anext(deliveries)

    anyio.run(check)
    until(lambda: waiting(rabbitmq.port, grave) == 1, what="dead-lettering")
    assert Contents(rabbitmq.port, grave).effects() == {"1": 1}


def test_options_that_do_not_fit_are_refused() -> None:
    for options, says in (
        ({"reply": {"queue": "r"}}, "delivers: requests"),
        ({"delivers": "requests", "reply": {}}, "either queue or to"),
        ({"delivers": "requests", "reply": {"queue": "r", "to": "sender"}}, "either queue or to"),
        ({"delivers": "requests", "reply": {"to": "sender", "declare": "classic"}}, "the sender's own"),
        ({"delivers": "requests", "scan_field": "result"}, "scan_field"),
        ({"queue": "scribe.scan.requests", "declare": "quorum"}, "the guide's programs"),
        ({"arguments": {"x-max-length": 1}}, "need declare"),
    ):
        with pytest.raises(ValueError, match=says):
            RabbitMqSourceOptions.model_validate({"url": "amqp://localhost", "queue": "q", **options})
