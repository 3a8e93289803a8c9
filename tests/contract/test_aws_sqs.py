"""SQS keeps the contracts of sinks and sources, on both servers."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import partial
from itertools import count
from typing import TYPE_CHECKING

import pytest
from support.front import Answer, Front
from support.queues import QueueContents, failing_entry, new_queue
from support.s3 import aws_client

from scribe_connectors.aws.sqs import SqsSink, SqsSinkOptions
from scribe_connectors.aws.sqs_source import SqsSource, SqsSourceOptions
from scribe_export.interface import Context
from scribe_export.testing.records import scan_body
from scribe_export.testing.sink_contract import Destination, Faults, MakeSink, SinkContract
from scribe_export.testing.source_contract import MakeSource, Put, SourceContract
from scribe_local import servers

if TYPE_CHECKING:
    from mypy_boto3_sqs import SQSClient

JSON = "application/x-amz-json-1.0"
UNAVAILABLE = Answer(503, b'{"__type":"ServiceUnavailable","message":"try later"}', JSON)
DENIED = Answer(403, b'{"__type":"AccessDeniedException","message":"no"}', JSON)
VISIBILITY = 3.0


@pytest.fixture
def front(aws: servers.LocalServer) -> Iterator[Front]:
    with Front(aws.port, unavailable=UNAVAILABLE, denied=DENIED) as front:
        yield front


@pytest.fixture
def sqs(aws: servers.LocalServer) -> Iterator[SQSClient]:
    client: SQSClient = aws_client(aws.url, "sqs")
    yield client
    client.close()


class SqsFixtures(SinkContract):
    fifo = False

    @pytest.fixture
    def url(self, sqs: SQSClient) -> str:
        return new_queue(sqs, fifo=self.fifo)

    @pytest.fixture
    def connection(self, front: Front, url: str) -> Mapping[str, object]:
        auth = {"access_key_id": servers.ACCESS_KEY, "secret_access_key": servers.SECRET_KEY}
        return {"queue_url": url, "region": servers.REGION, "endpoint_url": front.url, "auth": auth}

    @pytest.fixture
    def sink(self, connection: Mapping[str, object]) -> MakeSink:
        options = SqsSinkOptions.model_validate(connection)
        return lambda: SqsSink(options, Context("sqs"))

    @pytest.fixture
    def reshaped(self, connection: Mapping[str, object]) -> MakeSink:
        options = SqsSinkOptions.model_validate({**connection, "attributes": {"material": "{material}"}})
        return lambda: SqsSink(options, Context("sqs"))

    @pytest.fixture
    def destination(self, sqs: SQSClient, url: str) -> Destination:
        return QueueContents(sqs, url)

    @pytest.fixture
    def faults(self, front: Front) -> Faults:
        return Faults(
            down=front.unavailable,
            deny=front.denying,
            lose_answers=front.losing_answers,
            refuse=partial(failing_entry, front),
            requests=lambda: front.requests,
        )


class TestStandardQueue(SqsFixtures):
    pass


class TestFifoQueue(SqsFixtures):
    fifo = True


class TestMessagesReadBack(SourceContract):
    lease = VISIBILITY

    @pytest.fixture
    def url(self, sqs: SQSClient) -> str:
        return new_queue(sqs, VisibilityTimeout="1")

    @pytest.fixture
    def source(self, front: Front, url: str) -> MakeSource:
        options = SqsSourceOptions.model_validate(
            {
                "queue_url": url,
                "region": servers.REGION,
                "endpoint_url": front.url,
                "auth": {"access_key_id": servers.ACCESS_KEY, "secret_access_key": servers.SECRET_KEY},
                "wait_time": 1,
                "visibility_timeout": VISIBILITY,
            }
        )
        return lambda *, once: SqsSource(options, Context("sqs", once=once))

    @pytest.fixture
    def put(self, sqs: SQSClient, url: str) -> Put:
        return partial(_put, sqs, url, count(1))

    @pytest.fixture
    def faults(self, front: Front) -> Faults:
        return Faults(down=front.unavailable)


def _put(sqs: SQSClient, url: str, numbers: Iterator[int], amount: int) -> Mapping[str, bytes]:
    added = {str(n): scan_body(n) for n, _ in zip(numbers, range(amount), strict=False)}
    for body in added.values():
        sqs.send_message(QueueUrl=url, MessageBody=body.decode())
    return added
