"""The integration guide's own RabbitMQ class, unchanged, at the other end of our queues."""

import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pika
import pika.connection
import pika.exceptions
import pytest
from support.filed import FILES, all_filed
from support.guide import load
from support.guide_program import example
from support.guide_verdicts import expected_failure, promised
from support.pipeline import Pipeline, until
from support.rabbit import channel, waiting

from scribe_connectors.rabbitmq._options import GUIDE_EXCHANGE, GUIDE_QUEUES
from scribe_local.servers import RabbitMq, Simulator

TITLE = "RabbitMQ Integration"
REQUESTS, RESULTS = "scribe.scan.requests", "scribe.scan.results"


@pytest.fixture
def broker(rabbitmq: RabbitMq, event_loop: None) -> Iterator[RabbitMq]:
    """Without the guide's names before and after."""
    _forget(rabbitmq.port)
    yield rabbitmq
    _forget(rabbitmq.port)


def _forget(port: int) -> None:
    with channel(port) as open_channel:
        for queue in GUIDE_QUEUES:
            open_channel.queue_delete(queue)
        open_channel.exchange_delete(GUIDE_EXCHANGE)


@pytest.fixture
def guide(broker: RabbitMq, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """Its section; only the port is patched. Connections that it leaves open are closed."""
    monkeypatch.setattr(pika.connection.Parameters, "DEFAULT_PORT", broker.port)
    made: list[Any] = []
    connect = pika.BlockingConnection

    def kept(parameters: Any) -> Any:
        made.append(connect(parameters))
        return made[-1]

    monkeypatch.setattr(pika, "BlockingConnection", kept)
    yield load(TITLE)
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
    tmp_path: Path, broker: RabbitMq, guide: Any, simulator: Simulator, *, guide_first: bool
) -> None:
    scanner = {"type": "scribe_api", "url": simulator.url}
    pipeline = Pipeline(tmp_path / "it", {"events": _events(broker)}, sources={"asks": _asks(broker)}, scanner=scanner)
    with pipeline:
        integration = guide.ScribeRabbitMQIntegration("127.0.0.1") if guide_first else None
        run = pipeline.start()
        run.ready()
        if integration is None:
            until(lambda: _there(broker.port), what="declaring")
            integration = guide.ScribeRabbitMQIntegration("127.0.0.1")
        listening = integration.channel.queue_declare("", exclusive=True).method.queue
        integration.channel.queue_bind(listening, GUIDE_EXCHANGE)
        for n in (1, 2, 3):
            integration.publish_scan_request(guide.ScanConfig(frequency=400.0 + n), f"req-{n}")

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


def test_results_of_the_guides_class_are_taken_as_scans(tmp_path: Path, broker: RabbitMq, guide: Any) -> None:
    """The guide's program performs the requests, its results go through the guide's queue into files."""
    integration = guide.ScribeRabbitMQIntegration("127.0.0.1")
    source = {"type": "rabbitmq", "url": broker.amqp_url, "queue": RESULTS, "scan_field": "result"}
    with Pipeline(tmp_path / "it", FILES, sources={"results": source}) as pipeline:
        integration.publish_scan_request(guide.ScanConfig(), "req-1")
        integration.publish_scan_request(guide.ScanConfig(frequency=220.0), "req-2")

        def perform(message: dict[str, Any]) -> None:
            scan = {"scan_id": message["request_id"], "config": message["config"], "confidence": 0.85}
            integration.publish_scan_result(message["request_id"], scan)
            if message["request_id"] == "req-2":
                integration.channel.stop_consuming()

        integration.consume_scan_requests(perform)
        integration.close()
        ended = pipeline.until_idle()
        assert ended.returncode == 0, ended.stderr[-2000:]
        scans = {name: scan["config"]["frequency"] for name, scan in all_filed(pipeline.folder).items()}
        assert scans == {"req-1": 440.0, "req-2": 220.0}


@pytest.mark.parametrize("arguments", [{"x-queue-type": "quorum"}, {"x-dead-letter-exchange": "dead"}])
def test_another_declaration_of_the_guides_queues_would_make_its_class_fail(
    broker: RabbitMq, guide: Any, arguments: dict[str, str]
) -> None:
    """Why the options refuse it."""
    with channel(broker.port) as open_channel:
        open_channel.queue_declare(REQUESTS, durable=True, arguments=arguments)
    with pytest.raises(pika.exceptions.ChannelClosedByBroker) as caught:
        guide.ScribeRabbitMQIntegration("127.0.0.1")
    assert caught.value.reply_code == 406


def test_a_durable_exchange_of_the_guides_name_would_make_its_class_fail(broker: RabbitMq, guide: Any) -> None:
    with channel(broker.port) as open_channel:
        open_channel.exchange_declare(GUIDE_EXCHANGE, "fanout", durable=True)
    with pytest.raises(pika.exceptions.ChannelClosedByBroker) as caught:
        guide.ScribeRabbitMQIntegration("127.0.0.1")
    assert caught.value.reply_code == 406


def _there(port: int) -> bool:
    try:
        with channel(port) as open_channel:
            open_channel.queue_declare(RESULTS, passive=True)
            open_channel.exchange_declare(GUIDE_EXCHANGE, passive=True)
    except pika.exceptions.ChannelClosedByBroker:
        return False
    return True


def test_its_main_asks_and_tells_and_the_exporter_answers(
    tmp_path: Path, broker: RabbitMq, simulator: Simulator
) -> None:
    scanner = {"type": "scribe_api", "url": simulator.url}
    with (
        Pipeline(tmp_path / "it", FILES, sources={"asks": _asks(broker)}, scanner=scanner) as pipeline,
        channel(broker.port) as listener,
    ):
        listener.exchange_declare(GUIDE_EXCHANGE, "fanout")
        listening = listener.queue_declare("", exclusive=True).method.queue
        listener.queue_bind(listening, GUIDE_EXCHANGE)
        pipeline.start().ready()
        ended = example(TITLE, rabbitmq=broker.port)
        assert (ended.returncode, ended.stdout) == (0, ""), ended.stderr
        until(lambda: waiting(broker.port, RESULTS) == 1, what="answering")
        [(_, _, answer)] = _all_of(listener, RESULTS)
        [(_, _, event)] = _all_of(listener, listening)
    result = json.loads(answer)
    assert result["request_id"] == "req-001"
    assert 0 <= result["result"]["interpretation"]["confidence_scores"]["overall"] <= 1
    assert (json.loads(event)["event_type"], json.loads(event)["data"]) == ("system_started", {"version": "1.0.0"})


def test_its_own_consumer_answers_with_a_mock_and_tells_an_event(broker: RabbitMq, guide: Any) -> None:
    guide.integration = integration = guide.ScribeRabbitMQIntegration("127.0.0.1")
    listening = integration.channel.queue_declare("", exclusive=True).method.queue
    integration.channel.queue_bind(listening, GUIDE_EXCHANGE)
    integration.publish_scan_request(guide.ScanConfig(), "req-1")

    def once(message: dict[str, Any]) -> None:
        guide.handle_scan_request(message)
        integration.publish_system_event("scan_taken", {"request_id": message["request_id"]})
        integration.channel.stop_consuming()

    integration.consume_scan_requests(once)
    [(_, _, answer)] = _all_of(integration.channel, RESULTS)
    assert json.loads(answer)["result"]["interpretation"]["insights"] == ["Mock scan completed"]
    [(_, _, event)] = _all_of(integration.channel, listening)
    assert json.loads(event)["data"] == {"request_id": "req-1"}
    integration.close()
    assert waiting(broker.port, REQUESTS) == 0


def test_a_request_to_a_queue_that_is_missing_is_lost_without_a_word(broker: RabbitMq, guide: Any) -> None:
    """F-32, the contrast; tests/faults/test_rabbitmq_heartbeats.py has ours."""
    integration = guide.ScribeRabbitMQIntegration("127.0.0.1")
    with channel(broker.port) as open_channel:
        open_channel.queue_delete(REQUESTS)
        with expected_failure("ScribeRabbitMQIntegration.publish_scan_request: the queue is missing"):
            integration.publish_scan_request(guide.ScanConfig(), "req-1")
            open_channel.queue_declare(REQUESTS, durable=True)
            promised(_all_of(open_channel, REQUESTS), instead="nothing was said, and no queue holds it")


def test_a_request_from_another_thread_fails(guide: Any) -> None:
    integration = guide.ScribeRabbitMQIntegration("127.0.0.1")
    with (
        ThreadPoolExecutor(1) as pool,
        expected_failure("ScribeRabbitMQIntegration.publish_scan_request: in a thread of its own"),
    ):
        pool.submit(integration.publish_scan_request, guide.ScanConfig(), "req-1").result(30)
