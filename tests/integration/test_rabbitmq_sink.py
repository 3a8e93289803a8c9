"""Publishing: what the broker did not take is said, and what it took it has."""

import json
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import anyio
import pika.exceptions
import pytest
from support.amqp_front import AmqpFront
from support.certificates import certificate
from support.missing import missing
from support.rabbit import Contents, channel, failure, make, new_queue
from support.records import record

from scribe_connectors.rabbitmq.sink import RabbitMqSink, RabbitMqSinkOptions
from scribe_export.errors import Misconfigured, PartialFailure, Rejected, SinkError, Throttled, Transient
from scribe_export.model import Record
from scribe_export.testing.records import scan_body
from scribe_export.testing.sealing import opened, seal_one, send
from scribe_local import servers
from scribe_local.process import ServerMissing, free_port
from scribe_local.servers import RabbitMq


@pytest.fixture
def front(rabbitmq: RabbitMq) -> Iterator[AmqpFront]:
    with AmqpFront(rabbitmq.port) as front:
        yield front


@pytest.fixture(scope="module")
def own(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RabbitMq]:
    """A broker of this module's own: it may be short of memory, has TLS, and takes only small messages."""
    folder = tmp_path_factory.mktemp("own")
    made = certificate(folder)
    port = free_port()
    settings = {
        "max_message_size": "100000",
        "listeners.ssl.default": f"127.0.0.1:{port}",
        "ssl_options.certfile": str(made.chain),
        "ssl_options.keyfile": str(made.key),
        "ssl_options.verify": "verify_none",
    }
    try:
        server = servers.rabbitmq(settings=settings, folder=folder / "broker")
    except ServerMissing as error:
        missing(error)
    with server:
        server.tls_url = f"amqps://127.0.0.1:{port}"  # type: ignore[attr-defined]  # for this module
        server.ca_file = str(made.chain)  # type: ignore[attr-defined]
        yield server


def run(sink: RabbitMqSink, sent: Sequence[Record], before: Callable[[], None] = lambda: None) -> Exception:
    """What opening, or a write after `before`, raises."""

    async def check() -> Exception:
        try:
            async with opened(sink):
                before()
                return await failure(sink, sent)
        except SinkError as error:
            return error

    return anyio.run(check)


RECORDS = [record(n) for n in range(1, 4)]


def test_a_message_is_persistent_says_what_it_is_and_is_the_one_foretold(rabbitmq: RabbitMq, front: AmqpFront) -> None:
    queue = new_queue(rabbitmq.port)
    sink = make(front.url, queue=queue, attributes={"scan_id": "{scan_id}", "material": "{material}"})

    async def check() -> Sequence[Any]:
        async with opened(sink):
            await send(sink, seal_one(sink, RECORDS))
        return await make(front.url, queue=queue, attributes=sink.options.attributes).preview(
            sink.encode(seal_one(sink, RECORDS))
        )

    foretold = anyio.run(check)
    messages = Contents(rabbitmq.port, queue).look()
    assert [body for _, _, body in messages] == [one.body for one in RECORDS]
    _, properties, _ = messages[0]
    assert (properties.delivery_mode, properties.content_type) == (2, "application/json")
    assert properties.headers == {"scan_id": "1", "material": "oak"}
    assert properties.message_id == f"1/{RECORDS[0].sha256}"

    assert len(front.published) == len(foretold) == 3
    for index, ((publish, header, body), request) in enumerate(zip(front.published, foretold, strict=True)):
        assert publish.mandatory
        assert request.target == f"{front.url}?exchange={publish.exchange}&routing_key={publish.routing_key}"
        assert request.headers["message_id"] == header.properties.message_id
        assert json.loads(request.headers["headers"]) == header.properties.headers
        assert (request.method, request.body, request.records) == ("Basic.Publish", body, (index,))


def test_an_event_has_the_guides_form(rabbitmq: RabbitMq) -> None:
    queue = new_queue(rabbitmq.port)
    sink = make(rabbitmq.amqp_url, queue=queue, event_type="scan_completed")

    async def check() -> None:
        async with opened(sink):
            await send(sink, seal_one(sink, RECORDS[:1]))

    anyio.run(check)
    [(_, _, body)] = Contents(rabbitmq.port, queue).look()
    event = json.loads(body)
    assert sorted(event) == ["data", "event_type", "timestamp"]
    assert event["event_type"] == "scan_completed"
    assert event["data"] == json.loads(RECORDS[0].body)
    assert event["timestamp"] == 1_772_366_400.0


def test_an_unroutable_message_is_held_or_dead_as_asked_and_never_acked(rabbitmq: RabbitMq) -> None:
    queue = new_queue(rabbitmq.port)

    def gone() -> None:
        with channel(rabbitmq.port) as open_channel:
            open_channel.queue_delete(queue)

    error = run(make(rabbitmq.amqp_url, queue=queue), RECORDS, before=gone)
    assert isinstance(error, Misconfigured)
    assert "NO_ROUTE" in str(error)

    exchange, bound = f"{queue}-topics", new_queue(rabbitmq.port)
    with channel(rabbitmq.port) as open_channel:
        open_channel.exchange_declare(exchange, "topic", durable=True)
        open_channel.queue_bind(bound, exchange, "scans.1")
    sink = make(rabbitmq.amqp_url, exchange=exchange, routing_key="scans.{scan_id}", unroutable="dead_letter")
    error = run(sink, RECORDS)
    assert isinstance(error, PartialFailure)
    assert error.acked == {0}
    assert {index: one.kind for index, one in error.errors.items()} == {1: "unroutable", 2: "unroutable"}
    assert all(isinstance(one, Rejected) for one in error.errors.values())
    assert [scan_id for scan_id, _ in Contents(rabbitmq.port, bound).held()] == ["1"]


def test_a_full_queue_nacks_what_it_does_not_take(rabbitmq: RabbitMq) -> None:
    queue = new_queue(rabbitmq.port, **{"x-max-length": 1, "x-overflow": "reject-publish"})
    error = run(make(rabbitmq.amqp_url, queue=queue), RECORDS)
    assert isinstance(error, PartialFailure)
    assert error.acked == {0}
    assert {index: type(one) for index, one in error.errors.items()} == {1: Transient, 2: Transient}
    assert Contents(rabbitmq.port, queue).effects() == {"1": 1}


def test_what_the_operator_has_to_mend_is_misconfigured(rabbitmq: RabbitMq) -> None:
    queue = new_queue(rabbitmq.port)
    url = rabbitmq.amqp_url
    wrong = {
        "ACCESS_REFUSED": make(url, queue=queue, password="s3cret-canary"),
        "NOT_FOUND": make(url, queue="no-such-queue"),
        "NOT_FOUND: ": make(url, exchange="no-such-exchange"),
        "no-such-host": make(f"{url}/no-such-host", queue=queue),
        "PRECONDITION_FAILED": make(url, queue=queue, declare="quorum"),
    }
    for code, sink in wrong.items():
        error = run(sink, RECORDS)
        assert isinstance(error, Misconfigured), error
        assert code in str(error)
        assert "s3cret" not in str(error)


def test_a_user_without_the_right_to_write_is_misconfigured_and_goes_on_when_granted(rabbitmq: RabbitMq) -> None:
    queue = new_queue(rabbitmq.port)
    user = f"writer-{queue[-6:]}"
    rabbitmq.control("add_user", user, "word")
    rabbitmq.control("set_permissions", user, "^$", "^$", "^$")
    sink = make(rabbitmq.amqp_url, queue=queue, username=user, password="word")
    error = run(sink, RECORDS)  # opening needs no right
    assert isinstance(error, Misconfigured)
    assert "ACCESS_REFUSED" in str(error)

    rabbitmq.control("set_permissions", user, "^$", "^amq\\.default$", "^$")

    async def again() -> None:
        async with opened(sink):
            await send(sink, seal_one(sink, RECORDS, attempt=2))

    anyio.run(again)
    assert Contents(rabbitmq.port, queue).effects() == {"1": 1, "2": 1, "3": 1}
    rabbitmq.control("delete_user", user)


def test_nobody_there_or_somebody_else(simulator: servers.Simulator) -> None:
    error = run(make(f"amqp://127.0.0.1:{free_port()}", queue="q"), RECORDS)
    assert isinstance(error, Transient)
    assert error.applied == "no"
    assert isinstance(run(make(f"amqp://127.0.0.1:{simulator.port}", queue="q", timeout=1.0), RECORDS), SinkError)


def test_a_message_too_large_for_the_broker_is_found_among_the_others(own: RabbitMq) -> None:
    queue = new_queue(own.port)
    large = record(9, scan_body("9", size=200_000), scan_id="9")
    sink = make(own.amqp_url, queue=queue)
    error = run(sink, [RECORDS[0], large])
    assert isinstance(error, Rejected | PartialFailure)  # the lane divides, or sends the rest again
    alone = run(make(own.amqp_url, queue=queue), [large])
    assert isinstance(alone, PartialFailure)
    assert [one.kind for one in alone.errors.values()] == ["too_large"]


def test_a_broker_out_of_memory_takes_nothing_and_is_not_pressed(own: RabbitMq) -> None:
    queue = new_queue(own.port)
    sink = make(own.amqp_url, queue=queue, timeout=2.0)

    async def check() -> None:
        async with opened(sink):
            own.control("set_vm_memory_high_watermark", "absolute", "1")
            try:
                first = await failure(sink, RECORDS)
                assert isinstance(first, Transient)
                assert first.applied == "unknown"
                for sent, applied in ((RECORDS, "unknown"), ([record(4)], "no")):
                    error = await failure(sink, sent)
                    assert isinstance(error, Throttled)
                    assert error.applied == applied
            finally:
                own.control("set_vm_memory_high_watermark", "absolute", "512MB")
            with anyio.fail_after(30):
                while True:
                    try:
                        await send(sink, seal_one(sink, RECORDS, attempt=3))
                        break
                    except Throttled:
                        continue

    anyio.run(check)
    assert Contents(own.port, queue).effects() == {"1": 1, "2": 1, "3": 1}


def test_tls_is_checked_against_the_authority_of_your_own(own: RabbitMq) -> None:
    queue, url = new_queue(own.port), own.tls_url  # type: ignore[attr-defined]
    error = run(make(url, queue=queue), RECORDS)
    assert isinstance(error, Misconfigured)
    assert "ca_file" in str(error)

    async def check() -> None:
        trusting = make(url, queue=queue, folder=Path(own.ca_file).parent, tls={"ca_file": "ca.pem"})  # type: ignore[attr-defined]
        async with opened(trusting) as sink:
            await send(sink, seal_one(sink, RECORDS))

    anyio.run(check)
    assert Contents(own.port, queue).effects() == {"1": 1, "2": 1, "3": 1}


def test_the_connection_outlives_silence_that_is_longer_than_its_heartbeats(front: AmqpFront) -> None:
    queue = new_queue(front.port)
    front.connections = 0
    sink = make(front.url, queue=queue, heartbeat=1.0)

    async def check() -> None:
        async with opened(sink):
            await send(sink, seal_one(sink, RECORDS[:1]))
            await anyio.sleep(5)
            await send(sink, seal_one(sink, RECORDS[1:]))

    anyio.run(check)
    assert front.connections == 1


def test_a_queue_and_an_exchange_are_declared_as_asked(rabbitmq: RabbitMq) -> None:
    name = f"own-{free_port()}"
    more: dict[str, Any] = {"dead_letter_exchange": f"{name}-dead", "arguments": {"x-max-length": 10}}

    async def check() -> None:
        async with opened(make(rabbitmq.amqp_url, queue=name, declare="quorum", **more)):
            pass
        async with opened(make(rabbitmq.amqp_url, exchange=f"{name}-x", declare="topic")):
            pass

    anyio.run(check)
    arguments = {"x-queue-type": "quorum", "x-dead-letter-exchange": f"{name}-dead", "x-max-length": 10}
    with channel(rabbitmq.port) as open_channel:
        open_channel.queue_declare(name, durable=True, arguments=arguments)
        open_channel.exchange_declare(f"{name}-x", "topic", durable=True)
        with pytest.raises(pika.exceptions.ChannelClosedByBroker, match="PRECONDITION_FAILED"):
            open_channel.queue_declare(name, durable=True)


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({}, "either queue or exchange"),
        ({"queue": "a", "exchange": "b"}, "either queue or exchange"),
        ({"queue": "a", "routing_key": "b"}, "no routing_key"),
        ({"queue": "a", "declare": "fanout"}, "for an exchange"),
        ({"exchange": "a", "declare": "quorum"}, "for a queue"),
        ({"queue": "a", "arguments": {"x-max-length": 1}}, "need declare"),
        ({"queue": "scribe.scan.results", "declare": "quorum"}, "the guide's programs declare"),
        (
            {"queue": "scribe.scan.requests", "declare": "classic", "dead_letter_exchange": "dead"},
            "the guide's programs declare",
        ),
        ({"exchange": "scribe.events", "declare": "topic"}, "as fanout"),
        ({"queue": "a", "url": "http://localhost"}, "amqp://"),
        ({"queue": "a", "url": "amqp://me:word@localhost"}, "user or password"),
        ({"queue": "a", "url": "amqp://localhost?heartbeat=0"}, "virtual host"),
        ({"queue": "a", "url": "amqp://169.254.169.254"}, "metadata"),
    ],
)
def test_options_that_do_not_fit_are_refused(options: dict[str, Any], says: str) -> None:
    with pytest.raises(ValueError, match=says):
        RabbitMqSinkOptions.model_validate({"url": "amqp://localhost", **options})


def test_what_does_not_fit_a_message_is_refused_before_it_is_sent() -> None:
    sink = make("amqp://localhost", exchange="e", routing_key="{scan_id}", attributes={"a": "{scan_id}"})
    long = [record(1, scan_id="x" * 256), record(2)]
    assert {index: error.kind for index, error in sink.encode(seal_one(sink, long)).refused.items()} == {0: "rejected"}
    short = make("amqp://localhost", queue="q", max_message_bytes=1024)
    large = [record(1, scan_body("1", size=2000), scan_id="1"), record(2)]
    assert [error.kind for error in short.encode(seal_one(short, large)).refused.values()] == ["too_large"]
