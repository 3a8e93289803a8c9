"""SQS itself keeps the contracts of sinks and sources, in queues that are made and deleted."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from contextlib import closing
from functools import partial
from itertools import count
from typing import Any

import pytest
from support import live

from scribe_connectors.aws.sqs import SqsSink, SqsSinkOptions
from scribe_connectors.aws.sqs_source import SqsSource, SqsSourceOptions
from scribe_export.interface import Context
from scribe_export.scan import read_fields
from scribe_export.testing.records import scan_body
from scribe_export.testing.sink_contract import Destination, Faults, MakeSink, SinkContract
from scribe_export.testing.source_contract import MakeSource, Put, SourceContract

QUIET = 2.0
"""A short poll may find nothing in a queue that holds something."""


class Queue(Destination):
    """What a queue holds. Messages are deleted as they are read, since those of a FIFO group hide each other."""

    def __init__(self, sqs: Any, name: str, **attributes: str) -> None:
        fifo = {"FifoQueue": "true"} if name.endswith(".fifo") else {}
        self.sqs = sqs
        self.url: str = sqs.create_queue(QueueName=name, Attributes=attributes | fifo)["QueueUrl"]
        self._seen: list[tuple[str, bytes]] = []

    def held(self) -> list[tuple[str, bytes]]:
        until = time.monotonic() + QUIET
        while time.monotonic() < until:
            answer = self.sqs.receive_message(QueueUrl=self.url, MaxNumberOfMessages=10, WaitTimeSeconds=1)
            for one in answer.get("Messages", []):
                body = one["Body"].encode()
                self._seen.append((read_fields(body).scan_id, body))
                self.sqs.delete_message(QueueUrl=self.url, ReceiptHandle=one["ReceiptHandle"])
                until = time.monotonic() + QUIET
        return self._seen


@pytest.fixture
def sqs() -> Iterator[Any]:
    live.given("SQS")
    with closing(live.aws_client("sqs")) as client:
        yield client


class SqsFixtures(SinkContract):
    fifo = False

    @pytest.fixture
    def queue(self, sqs: Any) -> Iterator[Queue]:
        found = Queue(sqs, live.fresh() + (".fifo" if self.fifo else ""))
        yield found
        sqs.delete_queue(QueueUrl=found.url)

    @pytest.fixture
    def sink(self, queue: Queue) -> MakeSink:
        options = SqsSinkOptions.model_validate(live.aws_options() | {"queue_url": queue.url})
        return lambda: SqsSink(options, Context("sqs"))

    @pytest.fixture
    def reshaped(self, queue: Queue) -> MakeSink:
        given = {"queue_url": queue.url, "attributes": {"material": "{material}"}}
        options = SqsSinkOptions.model_validate(live.aws_options() | given)
        return lambda: SqsSink(options, Context("sqs"))

    @pytest.fixture
    def destination(self, queue: Queue) -> Destination:
        return queue

    @pytest.fixture
    def faults(self) -> Faults:
        return live.NO_FAULTS


class TestStandardQueue(SqsFixtures):
    pass


class TestFifoQueue(SqsFixtures):
    fifo = True


class TestMessagesReadBack(SourceContract):
    @pytest.fixture
    def queue(self, sqs: Any) -> Iterator[Queue]:
        found = Queue(sqs, live.fresh())
        yield found
        sqs.delete_queue(QueueUrl=found.url)

    @pytest.fixture
    def source(self, queue: Queue) -> MakeSource:
        given = {"queue_url": queue.url, "wait_time": 1, "visibility_timeout": 3.0}
        options = SqsSourceOptions.model_validate(live.aws_options() | given)
        return lambda *, once: SqsSource(options, Context("sqs", once=once))

    @pytest.fixture
    def put(self, queue: Queue) -> Put:
        return partial(_put, queue, count(1))

    @pytest.fixture
    def faults(self) -> Faults:
        return live.NO_FAULTS


def _put(queue: Queue, numbers: Iterator[int], amount: int) -> Mapping[str, bytes]:
    added = {str(n): scan_body(n) for n, _ in zip(numbers, range(amount), strict=False)}
    for body in added.values():
        queue.sqs.send_message(QueueUrl=queue.url, MessageBody=body.decode())
    return added
