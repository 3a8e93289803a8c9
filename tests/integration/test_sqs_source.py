"""Scans received from SQS."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Iterator
from typing import TYPE_CHECKING, Any

import anyio
import pytest
from support.front import Answer, Front
from support.loop import in_loop
from support.queues import QueueContents, new_queue
from support.records import Journalled, body
from support.s3 import aws_client

from scribe_connectors.aws.sqs_source import SqsSource, SqsSourceOptions
from scribe_export.errors import Misconfigured, Throttled
from scribe_export.interface import Context
from scribe_export.model import Delivery
from scribe_local.servers import REGION, LocalServer

if TYPE_CHECKING:
    from mypy_boto3_sqs import SQSClient

JSON = "application/x-amz-json-1.0"
THROTTLED = Answer(400, b'{"__type":"com.amazonaws.sqs#RequestThrottled","message":"slower"}', JSON)
EXPIRED = Answer(403, b'{"__type":"com.amazonaws.sqs#ExpiredTokenException","message":"no"}', JSON)


@pytest.fixture
def sqs(aws: LocalServer) -> Iterator[SQSClient]:
    client: SQSClient = aws_client(aws.url, "sqs")
    yield client
    client.close()


@pytest.fixture
def front(aws: LocalServer) -> Iterator[Front]:
    with Front(aws.port, unavailable=THROTTLED, denied=EXPIRED) as front:
        yield front


def source(url: str, endpoint: str, *, once: bool = True, **more: Any) -> SqsSource:
    auth = {"access_key_id": "test", "secret_access_key": "test"}
    given = {"queue_url": url, "endpoint_url": endpoint, "region": REGION, "auth": auth, "wait_time": 1, **more}
    return SqsSource(SqsSourceOptions.model_validate(given), Context("queue", once=once))


def fill(sqs: SQSClient, url: str, count: int) -> None:
    for n in range(1, count + 1):
        sqs.send_message(QueueUrl=url, MessageBody=body(n).decode())


def targets(front: Front, name: str) -> list[Any]:
    found = [came for came in front.received if came.headers.get("x-amz-target", "").endswith("." + name)]
    return [json.loads(came.body) for came in found]


async def first(found: AsyncIterator[Delivery]) -> Delivery:
    return await anext(found)


@in_loop
async def test_what_is_not_journalled_stays_hidden_longer_than_the_timeout_asked_for(
    sqs: SQSClient, front: Front
) -> None:
    url = new_queue(sqs)
    fill(sqs, url, 1)
    subject = source(url, front.url, once=False, visibility_timeout=3.0)
    await subject.open()
    found = subject.deliveries(Journalled())
    delivery = await first(found)
    with anyio.fail_after(30):
        while len(targets(front, "ChangeMessageVisibilityBatch")) < 3:  # noqa: ASYNC110 - the queue rings no bell
            await anyio.sleep(0.05)
    assert QueueContents(sqs, url).take() == [], "hidden for 3 s once, and extended twice"
    await delivery.ack()
    await subject.close()
    assert QueueContents(sqs, url)._count() == 0


@in_loop
async def test_messages_are_received_and_deleted_ten_at_a_time(sqs: SQSClient, front: Front) -> None:
    url = new_queue(sqs)
    fill(sqs, url, 60)
    subject = source(url, front.url)
    await subject.open()
    journal = Journalled()
    await journal.take_all(subject)
    await subject.close()
    assert sorted(map(int, journal.ids())) == list(range(1, 61))
    assert len(targets(front, "DeleteMessageBatch")) <= 12
    assert {one["WaitTimeSeconds"] for one in targets(front, "ReceiveMessage")} == {0, 1}
    assert QueueContents(sqs, url)._count() == 0


@in_loop
async def test_one_request_of_several_that_fails_strands_no_message(sqs: SQSClient, front: Front) -> None:
    url = new_queue(sqs)
    fill(sqs, url, 60)
    subject = source(url, front.url)
    await subject.open()
    journal = Journalled()
    # The requests that follow a full answer, beside which others are under way.
    with front.scripted(lambda came: THROTTLED if b'"WaitTimeSeconds": 0' in came.body else None):
        await journal.take_all(subject)
    await subject.close()
    assert sorted(map(int, journal.ids())) == list(range(1, 61))
    assert len([one for one in targets(front, "ReceiveMessage") if one["WaitTimeSeconds"] == 0]) >= 4


@pytest.mark.parametrize(("answer", "error"), [(THROTTLED, Throttled), (EXPIRED, Misconfigured)])
@in_loop
async def test_a_source_that_cannot_read_says_why_and_goes_on_when_asked_again(
    sqs: SQSClient, front: Front, answer: Answer, error: type[Exception]
) -> None:
    url = new_queue(sqs)
    fill(sqs, url, 3)
    subject = source(url, front.url)
    await subject.open()
    journal = Journalled()
    with front.scripted(lambda _: answer), pytest.raises(error):
        await journal.take_all(subject)
    assert len(await journal.take_all(subject)) == 3
    await subject.close()


@in_loop
async def test_a_delete_that_failed_is_made_up_for_at_the_end(sqs: SQSClient, front: Front) -> None:
    url = new_queue(sqs)
    fill(sqs, url, 3)
    subject = source(url, front.url)
    await subject.open()
    journal = Journalled()
    deletes = lambda came: THROTTLED if b"DeleteMessageBatch" in came.headers["x-amz-target"].encode() else None  # noqa: E731
    with front.scripted(deletes):
        await journal.take_all(subject)
    assert QueueContents(sqs, url)._count() == 3
    await subject.close()
    assert QueueContents(sqs, url)._count() == 0
