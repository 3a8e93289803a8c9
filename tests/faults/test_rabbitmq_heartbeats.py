"""F-32: work that takes longer than RabbitMQ waits for a sign of life, and a queue that is missing."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pika
import pika.connection
import pika.exceptions
import pytest
from support.amqp_front import AmqpFront
from support.filed import FILES
from support.front import Answer, Front, Received
from support.guide import load
from support.guide_verdicts import expected_failure, promised
from support.missing import missing
from support.pipeline import Pipeline, until
from support.rabbit import Contents, channel, new_queue, send, waiting
from support.records import body
from support.scripted_scribe import Answer as Scripted
from support.scripted_scribe import ScriptedScribe
from support.stored import versions

from scribe_local import servers
from scribe_local.process import ServerMissing
from scribe_local.servers import ACCESS_KEY, REGION, SECRET_KEY, LocalServer, RabbitMq

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

REQUESTS = "scribe.scan.requests"
LONG = 4
"""Heartbeats of a second each, of which RabbitMQ waits for two: https://www.rabbitmq.com/docs/heartbeats"""


@pytest.fixture(scope="module")
def broker() -> Iterator[RabbitMq]:
    """One that wants a heartbeat every second."""
    try:
        server = servers.rabbitmq(settings={"heartbeat": "1"})
    except ServerMissing as error:
        missing(error)
    with server:
        yield server


@pytest.fixture
def front(broker: RabbitMq) -> Iterator[AmqpFront]:
    with AmqpFront(broker.port) as amqp:
        yield amqp


class Held:
    """Holds up whoever asks first until so many more heartbeats have come."""

    def __init__(self, front: AmqpFront) -> None:
        self._front = front
        self._until: int | None = None

    @property
    def begun(self) -> bool:
        """Whether somebody has asked."""
        return self._until is not None

    def over(self) -> bool:
        """Whether they have come; asking begins the count."""
        if self._until is None:
            self._until = self._front.heartbeats + LONG
        return self._front.heartbeats >= self._until


@pytest.mark.slow
@pytest.mark.fault("F-32")
def test_f32_the_connection_outlives_a_sink_that_is_slow(
    tmp_path: Path, broker: RabbitMq, front: AmqpFront, ministack: LocalServer, s3: S3Client, bucket: str
) -> None:
    """F-32: S3 takes four heartbeats for its first object, and the queue's connection is the same before and after."""
    queue, held = new_queue(broker.port), Held(front)
    send(broker.port, queue, *(body(n) for n in range(1, 11)))

    def slowly(came: Received) -> None:
        if came.method == "PUT" and not held.begun:
            until(held.over, within=30, what="heartbeats")

    unused = Answer(503)
    with Front(ministack.port, unavailable=unused, denied=unused) as slow, slow.scripted(slowly):
        auth = {"access_key_id": ACCESS_KEY, "secret_access_key": SECRET_KEY}
        archive: dict[str, Any] = {
            "type": "aws_s3",
            "region": REGION,
            "endpoint_url": slow.url,
            "auth": auth,
            "bucket": bucket,
        }
        archive |= {"key": "scans/{scan_id}.json", "max_in_flight": 1, "concurrency": 1}
        source = {"type": "rabbitmq", "url": front.url, "queue": queue, "heartbeat": "1s"}
        with Pipeline(tmp_path / "it", {"archive": archive}, sources={"scans": source}) as pipeline:
            run = pipeline.start()
            until(lambda: held.begun, what="the first write")
            connections = front.connections
            assert pipeline.status()["archive"].delivered == 0
            until(lambda: pipeline.status()["archive"].delivered == 10, within=60, what="delivering all")
            send(broker.port, queue, body(11))
            until(lambda: pipeline.status()["archive"].delivered == 11, what="delivering what came later")
            run.terminate()
            assert run.ended() == 0
    assert held.over()
    assert front.connections == connections
    assert not run.said("source held")
    assert waiting(broker.port, queue) == 0
    assert versions(s3, bucket, "scans/") == {f"scans/{n}.json": 1 for n in range(1, 12)}


@pytest.mark.fault("F-32")
def test_f32_the_connection_outlives_a_scan_that_takes_long(tmp_path: Path, broker: RabbitMq, front: AmqpFront) -> None:
    """F-32: a request whose scan takes four heartbeats is performed once, and answered."""
    asks, answers, held = new_queue(broker.port), new_queue(broker.port), Held(front)
    send(broker.port, asks, json.dumps({"request_id": "long", "config": {"frequency": 440.0}}).encode())
    source = {"type": "rabbitmq", "url": front.url, "queue": asks, "delivers": "requests", "heartbeat": "1s"}
    with ScriptedScribe() as api:
        api.script = lambda _, path: Scripted(body=b'{"scan_id":7}', when=held.over) if path == "/scan" else None
        sources = {"asks": source | {"reply": {"queue": answers}}}
        scanner = {"type": "scribe_api", "url": api.url}
        with Pipeline(tmp_path / "it", FILES, sources=sources, scanner=scanner) as pipeline:
            run = pipeline.start()
            until(lambda: held.begun, what="the scan")
            connections = front.connections
            until(lambda: waiting(broker.port, answers) == 1, within=60, what="answering")
            run.terminate()
            assert run.ended() == 0
        assert len(api.paths("/scan")) == 1
    [(_, _, answer)] = Contents(broker.port, answers).look()
    assert json.loads(answer)["result"] == {"scan_id": 7}
    assert front.connections == connections + 1  # replies have one of their own
    assert waiting(broker.port, asks) == 0


@pytest.mark.usefixtures("event_loop")
@pytest.mark.fault("F-32")
def test_f32_contrast_the_guides_consumer_loses_its_connection(
    broker: RabbitMq, monkeypatch: pytest.MonkeyPatch
) -> None:
    """F-32, the contrast: while it performs a scan it says nothing, and RabbitMQ gives its request to the next."""
    monkeypatch.setattr(pika.connection.Parameters, "DEFAULT_PORT", broker.port)
    guide = load("RabbitMQ Integration")
    performed: list[str] = []

    def perform(message: Any) -> None:
        performed.append(message["request_id"])
        if len(performed) == 1:
            until(lambda: waiting(broker.port, REQUESTS) == 1, within=30, what="giving the request back")
        else:
            second.channel.stop_consuming()

    first = guide.ScribeRabbitMQIntegration("127.0.0.1")
    first.publish_scan_request(guide.ScanConfig(), "long")
    with pytest.raises(pika.exceptions.AMQPConnectionError):
        first.consume_scan_requests(perform)
    second = guide.ScribeRabbitMQIntegration("127.0.0.1")
    second.consume_scan_requests(perform)
    second.close()
    with expected_failure("ScribeRabbitMQIntegration.consume_scan_requests: a scan takes longer than two heartbeats"):
        promised(len(performed) == 1, instead=f"the request was performed {len(performed)} times")


@pytest.mark.parametrize("unroutable", ["hold", "dead_letter"])
@pytest.mark.fault("F-32")
def test_f32_a_missing_queue_is_a_failure_and_nothing_is_lost(
    tmp_path: Path, broker: RabbitMq, unroutable: str
) -> None:
    """F-32: what no queue takes is not delivered: it waits, or is a dead letter, until there is one again."""
    queue = new_queue(broker.port)
    out: dict[str, Any] = {"type": "rabbitmq", "url": broker.amqp_url, "queue": queue, "unroutable": unroutable}
    out |= {"breaker": {"timeout": "200ms"}}
    came = tmp_path / "it" / "came"
    source = {"type": "file", "path": "came/*.json", "poll_interval": "50ms"}
    with Pipeline(tmp_path / "it", {"out": out}, sources={"scans": source}) as pipeline:
        came.mkdir()
        (came / "1.json").write_bytes(body(1))
        run = pipeline.start()
        run.ready()
        until(lambda: pipeline.status()["out"].delivered == 1, what="delivering the first")
        with channel(broker.port) as open_channel:
            open_channel.queue_delete(queue)
        for n in range(2, 5):
            (came / f"{n}.json").write_bytes(body(n))
        if unroutable == "hold":
            assert "NO_ROUTE" in run.wait_for("destination held", destination="out")["reason"]
        else:
            until(lambda: pipeline.status()["out"].dead == 3, what="giving up")
        assert pipeline.status()["out"].delivered == 1
        with channel(broker.port) as open_channel:
            open_channel.queue_declare(queue, durable=True)
        if unroutable == "dead_letter":
            assert pipeline.call("dlq replay").returncode == 0
        until(lambda: pipeline.status()["out"].delivered == 4, what="delivering the others")
        run.terminate()
        assert run.ended() == 0
    assert Contents(broker.port, queue).effects() == {"2": 1, "3": 1, "4": 1}  # the first went with the old queue
