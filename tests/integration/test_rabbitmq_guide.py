"""The integration guide's own RabbitMQ class, unchanged, at the other end of our queues."""

import asyncio
import json
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pika
import pika.exceptions
import pytest
from support.guide import guide_classes
from support.pipeline import Pipeline, until
from support.rabbit import channel, waiting

from scribe_connectors.rabbitmq._options import GUIDE_EXCHANGE, GUIDE_QUEUES
from scribe_local.servers import RabbitMq, Simulator

REQUESTS, RESULTS = "scribe.scan.requests", "scribe.scan.results"


@pytest.fixture
def broker(rabbitmq: RabbitMq) -> Iterator[RabbitMq]:
    """Without the guide's names before and after."""
    _forget(rabbitmq.port)
    loop = asyncio.new_event_loop()  # whose time the guide's messages tell
    asyncio.set_event_loop(loop)
    yield rabbitmq
    asyncio.set_event_loop(None)
    loop.close()
    _forget(rabbitmq.port)


def _forget(port: int) -> None:
    with channel(port) as open_channel:
        for queue in GUIDE_QUEUES:
            open_channel.queue_delete(queue)
        open_channel.exchange_delete(GUIDE_EXCHANGE)


@pytest.fixture
def guide(broker: RabbitMq) -> Iterator[dict[str, Any]]:
    """The classes; only the port is patched. Connections that they leave open are closed."""
    made: list[Any] = []

    def connect(parameters: Any) -> Any:
        made.append(pika.BlockingConnection(parameters))
        return made[-1]

    patched = SimpleNamespace(
        BlockingConnection=connect,
        ConnectionParameters=partial(pika.ConnectionParameters, port=broker.port),
        BasicProperties=pika.BasicProperties,
    )
    given: dict[str, Any] = {"pika": patched, "json": json, "asyncio": asyncio, "dataclass": dataclass}
    given |= {"Dict": dict, "Any": Any, "Callable": Any}
    yield guide_classes("ScanConfig", "ScribeRabbitMQIntegration", given=given)
    for connection in made:
        if connection.is_open:
            connection.close()


def _asks(broker: RabbitMq) -> dict[str, Any]:
    reply = {"queue": RESULTS, "declare": "classic"}
    return {
        "type": "rabbitmq",
        "url": broker.amqp_url,
        "delivers": "requests",
        "queue": REQUESTS,
        "declare": "classic",
        "reply": reply,
    }


def _events(broker: RabbitMq) -> dict[str, Any]:
    where = {"exchange": GUIDE_EXCHANGE, "declare": "fanout", "event_type": "scan_completed"}
    return {"type": "rabbitmq", "url": broker.amqp_url, **where}


def _all_of(open_channel: Any, queue: str) -> list[Any]:
    found = []
    while (message := open_channel.basic_get(queue, auto_ack=True))[0] is not None:
        found.append(message)
    return found


@pytest.mark.parametrize("guide_first", [True, False])
def test_requests_of_the_guides_class_are_performed_and_answered_and_their_scans_announced(
    tmp_path: Path, broker: RabbitMq, guide: dict[str, Any], simulator: Simulator, *, guide_first: bool
) -> None:
    scanner = {"type": "scribe_api", "url": simulator.url}
    pipeline = Pipeline(tmp_path / "it", {"events": _events(broker)}, sources={"asks": _asks(broker)}, scanner=scanner)
    with pipeline:
        integration = guide["ScribeRabbitMQIntegration"]("127.0.0.1") if guide_first else None
        run = pipeline.start()
        run.ready()
        if integration is None:
            until(lambda: _there(broker.port), what="declaring")
            integration = guide["ScribeRabbitMQIntegration"]("127.0.0.1")
        listening = integration.channel.queue_declare("", exclusive=True).method.queue
        integration.channel.queue_bind(listening, GUIDE_EXCHANGE)
        for n in (1, 2, 3):
            integration.publish_scan_request(guide["ScanConfig"](frequency=400.0 + n), f"req-{n}")

        until(lambda: waiting(broker.port, RESULTS) == 3, within=60, what="answering")
        answers = _all_of(integration.channel, RESULTS)
        replies = {reply["request_id"]: reply for reply in (json.loads(body) for _, _, body in answers)}
        assert sorted(replies) == ["req-1", "req-2", "req-3"]
        assert {name: reply["result"]["config"]["frequency"] for name, reply in replies.items()} == {
            "req-1": 401.0,
            "req-2": 402.0,
            "req-3": 403.0,
        }
        assert all(properties.delivery_mode == 2 for _, properties, _ in answers)
        assert sorted(properties.correlation_id for _, properties, _ in answers) == ["req-1", "req-2", "req-3"]

        until(lambda: pipeline.status()["events"].delivered == 3, within=60, what="announcing")
        events = [json.loads(body) for _, _, body in _all_of(integration.channel, listening)]
        assert {event["event_type"] for event in events} == {"scan_completed"}
        announced = sorted(event["data"]["scan_id"] for event in events)
        assert announced == sorted(reply["result"]["scan_id"] for reply in replies.values())
        assert waiting(broker.port, REQUESTS) == 0
        integration.close()


def test_results_of_the_guides_class_are_taken_as_scans(
    tmp_path: Path, broker: RabbitMq, guide: dict[str, Any]
) -> None:
    """The guide's program performs the requests, its results go through the guide's queue into files."""
    integration = guide["ScribeRabbitMQIntegration"]("127.0.0.1")
    source = {"type": "rabbitmq", "url": broker.amqp_url, "queue": RESULTS, "scan_field": "result"}
    files = {"files": {"type": "file", "directory": "archive", "key": "scans/{scan_id}.json"}}
    with Pipeline(tmp_path / "it", files, sources={"results": source}) as pipeline:
        integration.publish_scan_request(guide["ScanConfig"](), "req-1")
        integration.publish_scan_request(guide["ScanConfig"](frequency=220.0), "req-2")

        def perform(message: dict[str, Any]) -> None:
            scan = {"scan_id": message["request_id"], "config": message["config"], "confidence": 0.85}
            integration.publish_scan_result(message["request_id"], scan)
            if message["request_id"] == "req-2":
                integration.channel.stop_consuming()

        integration.consume_scan_requests(perform)
        integration.close()
        ended = pipeline.until_idle()
        assert ended.returncode == 0, ended.stderr[-2000:]
        scans = [json.loads(path.read_text()) for path in sorted((pipeline.folder / "archive" / "scans").iterdir())]
        assert [(scan["scan_id"], scan["config"]["frequency"]) for scan in scans] == [
            ("req-1", 440.0),
            ("req-2", 220.0),
        ]


@pytest.mark.parametrize("arguments", [{"x-queue-type": "quorum"}, {"x-dead-letter-exchange": "dead"}])
def test_another_declaration_of_the_guides_queues_would_make_its_class_fail(
    broker: RabbitMq, guide: dict[str, Any], arguments: dict[str, str]
) -> None:
    """Why the options refuse it."""
    with channel(broker.port) as open_channel:
        open_channel.queue_declare(REQUESTS, durable=True, arguments=arguments)
    with pytest.raises(pika.exceptions.ChannelClosedByBroker) as caught:
        guide["ScribeRabbitMQIntegration"]("127.0.0.1")
    assert caught.value.reply_code == 406


def test_a_durable_exchange_of_the_guides_name_would_make_its_class_fail(
    broker: RabbitMq, guide: dict[str, Any]
) -> None:
    with channel(broker.port) as open_channel:
        open_channel.exchange_declare(GUIDE_EXCHANGE, "fanout", durable=True)
    with pytest.raises(pika.exceptions.ChannelClosedByBroker) as caught:
        guide["ScribeRabbitMQIntegration"]("127.0.0.1")
    assert caught.value.reply_code == 406


def _there(port: int) -> bool:
    try:
        with channel(port) as open_channel:
            open_channel.queue_declare(RESULTS, passive=True)
            open_channel.exchange_declare(GUIDE_EXCHANGE, passive=True)
    except pika.exceptions.ChannelClosedByBroker:
        return False
    return True
