"""`buffer: none` on queues with dead-letter queues of their own: what no destination can take arrives there, alone."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import aclosing
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import anyio
import pytest
from support.eventually import eventually
from support.pipeline import Pipeline, until
from support.queues import QueueContents, new_queue
from support.rabbit import Contents, send, waiting
from support.rabbit import new_queue as new_rabbit_queue
from support.records import Journalled, body
from support.s3 import aws_client

from scribe_connectors.aws.sqs_source import SqsSource, SqsSourceOptions
from scribe_connectors.rabbitmq.source import RabbitMqSource, RabbitMqSourceOptions
from scribe_export.errors import Misconfigured
from scribe_export.exporter import Exporter
from scribe_export.interface import Context
from scribe_export.model import Answer, Delivery
from scribe_export.testing.sealing import opened
from scribe_local import servers
from scribe_local.servers import LocalServer

if TYPE_CHECKING:
    from mypy_boto3_sqs import SQSClient

GOOD = 25
POISON = b"no scan at all"
AUTH = {"access_key_id": servers.ACCESS_KEY, "secret_access_key": servers.SECRET_KEY}


@pytest.fixture
def sqs(ministack: LocalServer) -> Iterator[SQSClient]:
    client: SQSClient = aws_client(ministack.url, "sqs")
    yield client
    client.close()


def delivered(folder: Path, source: Mapping[str, Any], dead: Callable[[], list[bytes]]) -> list[bytes]:
    """What the dead-letter queue holds once every good scan is in the archive."""
    archive = {"type": "file", "directory": "archive", "key": "scans/{scan_id}.json"}
    made = Pipeline(folder / "it", {"archive": archive}, sources={"queue": source}, buffer="none")

    def done() -> bool:
        return bool(dead()) and len(list((made.folder / "archive" / "scans").glob("*.json"))) == GOOD

    async def run() -> None:
        async with Exporter(made.load()):
            await eventually(done, within=30)

    anyio.run(run)
    return dead()


def with_poison() -> list[bytes]:
    bodies = [body(n) for n in range(GOOD)]
    bodies.insert(GOOD // 2, POISON)
    return bodies


def test_sqs_takes_a_refused_message_to_its_dead_letter_queue(
    tmp_path: Path, ministack: LocalServer, sqs: SQSClient
) -> None:
    letters = new_queue(sqs)
    url = new_queue(sqs, RedrivePolicy=json.dumps({"deadLetterTargetArn": arn(sqs, letters), "maxReceiveCount": "2"}))
    for one in with_poison():
        sqs.send_message(QueueUrl=url, MessageBody=one.decode())
    looked = QueueContents(sqs, letters)
    place = {"queue_url": url, "endpoint_url": ministack.url, "region": servers.REGION, "auth": AUTH}
    source = {"type": "aws_sqs", **place, "wait_time": 1, "dead_letter_queue": True}
    found = delivered(tmp_path, source, lambda: [one["Body"].encode() for one in looked.take()])
    assert found == [POISON]
    assert QueueContents(sqs, url)._count() == 0


def arn(sqs: SQSClient, url: str) -> str:
    return sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]


def test_a_queue_without_a_redrive_policy_is_not_read_as_if_it_had_one(ministack: LocalServer, sqs: SQSClient) -> None:
    place = {"queue_url": new_queue(sqs), "endpoint_url": ministack.url, "region": servers.REGION, "auth": AUTH}
    options = SqsSourceOptions.model_validate({**place, "dead_letter_queue": True})

    async def open_it() -> None:
        subject = SqsSource(options, Context("queue"))
        with pytest.raises(Misconfigured, match="no RedrivePolicy"):
            await subject.open()
        await subject.close()

    anyio.run(open_it)


def test_a_stop_does_not_wait_for_a_long_poll(tmp_path: Path, ministack: LocalServer, sqs: SQSClient) -> None:
    url = new_queue(sqs)
    place = {"queue_url": url, "endpoint_url": ministack.url, "region": servers.REGION, "auth": AUTH}
    archive = {"type": "file", "directory": "archive", "key": "scans/{scan_id}.json"}
    source = {"type": "aws_sqs", **place, "wait_time": 20}
    with Pipeline(tmp_path / "it", {"archive": archive}, sources={"queue": source}) as pipeline:
        run = pipeline.start()
        run.ready()
        sqs.send_message(QueueUrl=url, MessageBody=body(1).decode())
        until(lambda: pipeline.status()["archive"].delivered == 1, what="delivering")
        run.terminate()
        assert run.ended(within=10) == 0


def test_rabbitmq_takes_a_refused_message_to_its_dead_letter_exchange(
    tmp_path: Path, rabbitmq: servers.RabbitMq
) -> None:
    letters = new_rabbit_queue(rabbitmq.port)
    name = new_rabbit_queue(rabbitmq.port, **{"x-dead-letter-exchange": "", "x-dead-letter-routing-key": letters})
    send(rabbitmq.port, name, *with_poison())
    looked = Contents(rabbitmq.port, letters)
    source = {"type": "rabbitmq", "url": rabbitmq.amqp_url, "queue": name, "dead_letter_queue": True}
    assert delivered(tmp_path, source, lambda: [one for _, _, one in looked.look()]) == [POISON]
    assert Contents(rabbitmq.port, name).look() == []


@pytest.mark.parametrize("said", ["nack", "refuse"])
def test_an_acknowledgement_takes_along_none_that_is_being_given_back(rabbitmq: servers.RabbitMq, said: Answer) -> None:
    letters = new_rabbit_queue(rabbitmq.port)
    name = new_rabbit_queue(rabbitmq.port, **{"x-dead-letter-exchange": "", "x-dead-letter-routing-key": letters})
    send(rabbitmq.port, name, *(body(n) for n in range(101)))
    options = {"url": rabbitmq.amqp_url, "queue": name, "max_records": 100, "max_unacked": 200}

    async def answered(delivery: Delivery, places: Sequence[int], what: Answer) -> None:
        assert delivery.answer
        await delivery.answer(places, what)

    async def check() -> None:
        source = RabbitMqSource(RabbitMqSourceOptions.model_validate(options), Context("inbox"))
        async with opened(source), aclosing(cast("Any", source.deliveries(Journalled()))) as deliveries:
            taken: list[Delivery] = []
            while sum(len(one.incoming) for one in taken) < 101:
                taken.append(await anext(deliveries))
            last = taken[-1]
            async with anyio.create_task_group() as tasks:
                for one in taken:
                    tasks.start_soon(answered, one, range(len(one.incoming) - (one is last)), said)
                tasks.start_soon(answered, last, [len(last.incoming) - 1], "ack")

    anyio.run(check)
    until(lambda: waiting(rabbitmq.port, name) + waiting(rabbitmq.port, letters) == 100, what="all but one being there")
