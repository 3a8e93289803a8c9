"""Scans sent to SQS."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

import pytest
from support.front import Answer, Front, Received
from support.loop import in_loop
from support.queues import QueueContents, new_queue
from support.records import body, record, sealed, write
from support.s3 import aws_client

from scribe_connectors.aws.sqs import MAX_BYTES, SqsSink, SqsSinkOptions
from scribe_export.errors import Misconfigured, PartialFailure, Throttled
from scribe_export.interface import Context
from scribe_local.servers import REGION, LocalServer

if TYPE_CHECKING:
    from mypy_boto3_sqs import SQSClient

TEST = {"access_key_id": "test", "secret_access_key": "test"}
JSON = "application/x-amz-json-1.0"


def answer(status: int, code: str) -> Answer:
    return Answer(status, json.dumps({"__type": f"com.amazonaws.sqs#{code}", "message": "no"}).encode(), JSON)


@pytest.fixture
def sqs(aws: LocalServer) -> Iterator[SQSClient]:
    client: SQSClient = aws_client(aws.url, "sqs")
    yield client
    client.close()


@pytest.fixture
def front(aws: LocalServer) -> Iterator[Front]:
    with Front(aws.port, unavailable=answer(503, "ServiceUnavailable"), denied=answer(403, "AccessDenied")) as front:
        yield front


def options(url: str, endpoint: str, **more: Any) -> SqsSinkOptions:
    given = {"queue_url": url, "endpoint_url": endpoint, "region": REGION, "auth": TEST, **more}
    return SqsSinkOptions.model_validate(given)


def sink(url: str, endpoint: str, **more: Any) -> SqsSink:
    return SqsSink(options(url, endpoint, **more), Context("announce"))


def entries(came: Received) -> list[Any]:
    found: list[Any] = json.loads(came.body)["Entries"]
    return found


@in_loop
async def test_a_message_has_its_attributes_and_a_fair_queues_group(sqs: SQSClient, front: Front) -> None:
    url = new_queue(sqs)
    announce = sink(url, front.url, attributes={"material": "{material}", "kind": "scan"}, message_group="{source}x")
    await write(announce, [record(1)])
    await announce.close()
    [message] = QueueContents(sqs, url).take()
    assert message["Body"].encode() == record(1).body
    found = {name: value["StringValue"] for name, value in message["MessageAttributes"].items()}
    assert found == {"material": "oak", "kind": "scan"}
    [entry] = entries(front.received[0])
    assert entry["MessageGroupId"] == "x"
    assert "MessageDeduplicationId" not in entry


@in_loop
async def test_a_delayed_message_is_not_there_yet(sqs: SQSClient, front: Front) -> None:
    url = new_queue(sqs)
    announce = sink(url, front.url, delay=900.0)
    await write(announce, [record(1)])
    await announce.close()
    assert QueueContents(sqs, url).take() == []
    names: Any = ["ApproximateNumberOfMessagesDelayed"]
    counts: Mapping[Any, str] = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=names)["Attributes"]
    assert counts[names[0]] == "1"


@in_loop
async def test_scans_of_a_group_arrive_in_order_and_a_repeat_is_dropped(sqs: SQSClient, front: Front) -> None:
    url = new_queue(sqs, fifo=True)
    announce = sink(url, front.url, ordering_key="{material}")
    sent = [record(n) for n in range(1, 26)]
    for _ in range(2):
        await write(announce, sent)
    await announce.close()
    messages = QueueContents(sqs, url).take()
    assert [json.loads(one["Body"])["scan_id"] for one in messages] == list(range(1, 26))
    assert {one["Attributes"]["MessageGroupId"] for one in messages} == {"oak"}


@in_loop
async def test_order_is_kept_where_a_request_fails_in_the_middle(sqs: SQSClient, front: Front) -> None:
    url = new_queue(sqs, fifo=True)
    announce = sink(url, front.url, ordering_key="{material}")
    sent = [record(n) for n in range(1, 26)]
    second = lambda came: answer(403, "RequestThrottled") if b'"Id": "10"' in came.body else None  # noqa: E731
    with front.scripted(second), pytest.raises(PartialFailure) as caught:
        await write(announce, sent)
    assert caught.value.acked == set(range(10))
    await write(announce, sent[10:])
    await announce.close()
    found = [json.loads(one["Body"])["scan_id"] for one in QueueContents(sqs, url).take()]
    assert found == list(range(1, 26))


@in_loop
async def test_a_message_of_which_the_answer_says_nothing_is_unknown(sqs: SQSClient, front: Front) -> None:
    def silent(_: Received, body: bytes) -> bytes:
        said = json.loads(body)
        return json.dumps(said | {"Successful": [one for one in said["Successful"] if one["Id"] != "1"]}).encode()

    announce = sink(new_queue(sqs), front.url)
    with front.meddling(lambda came: came.body, silent), pytest.raises(PartialFailure) as caught:
        await write(announce, [record(n) for n in (1, 2, 3)])
    await announce.close()
    assert caught.value.acked == {0, 2}
    assert {index: error.applied for index, error in caught.value.errors.items()} == {1: "unknown"}


@in_loop
async def test_requests_are_filled_by_count_and_by_bytes(sqs: SQSClient, front: Front) -> None:
    url = new_queue(sqs)
    announce = sink(url, front.url)
    large = [record(n, body(n, notes="n" * 300_000)) for n in range(1, 6)]
    await write(announce, [*large, *[record(n) for n in range(6, 28)]])
    await announce.close()
    sizes = sorted(len(entries(came)) for came in front.received)
    assert sizes == [3, 4, 10, 10]
    assert len(QueueContents(sqs, url).take()) == 27
    for came in front.received:
        assert sum(len(one["MessageBody"]) for one in entries(came)) <= MAX_BYTES


def test_a_scan_with_its_attributes_just_fits_or_is_too_large(sqs: SQSClient, front: Front) -> None:
    announce = sink(new_queue(sqs), front.url, attributes={"a": "b"})
    room = MAX_BYTES - len("a" + "String" + "b")
    fits, over = [record(n, body(1, notes="")) for n in (1, 2)]
    fits = record(1, body(1, notes="n" * (room - len(fits.body))))
    over = record(2, body(1, notes="n" * (room + 1 - len(over.body))))
    encoded = announce.encode(sealed(announce, [fits, over]))
    assert {index: error.kind for index, error in encoded.refused.items()} == {1: "too_large"}


POISON = {
    "no character": '"\ufffe and \uffff"',
    "lone surrogate": r'"\ud800"',
    "NUL": r'"\u0000 and \u0008"',
    "emoji": '"\U0001f332 and \x7f\x85"',
}


@pytest.mark.parametrize("text", POISON.values(), ids=POISON.keys())
@in_loop
async def test_text_that_sqs_would_refuse_or_change_arrives_as_the_same_json(
    sqs: SQSClient, front: Front, text: str
) -> None:
    url = new_queue(sqs)
    announce = sink(url, front.url)
    odd = record(2, b'{"scan_id": 2, "notes": ' + text.encode() + b"}")
    await write(announce, [record(1), odd, record(3)])
    await announce.close()
    found = {json.loads(one["Body"])["scan_id"]: one["Body"] for one in QueueContents(sqs, url).take()}
    assert set(found) == {1, 2, 3}
    assert json.loads(found[2]) == json.loads(odd.body)
    assert not set(found[2]) & {"\0", "\b", "\ufffe", "\uffff", "\ufffd"}


@pytest.mark.parametrize("material", ["\u0000", "\ufffe", "\u0007", ""])
def test_an_attribute_that_sqs_takes_not_refuses_its_scan_alone(sqs: SQSClient, front: Front, material: str) -> None:
    announce = sink(new_queue(sqs), front.url, attributes={"material": "{material}"})
    odd = body(2, interpretation={"pattern_matches": {"materials": [{"material": material}]}})
    encoded = announce.encode(sealed(announce, [record(1), record(2, odd)]))
    assert {index: error.kind for index, error in encoded.refused.items()} == {1: "rejected"}


@pytest.mark.parametrize("code", ["RequestThrottled", "ThrottlingException"])
@in_loop
async def test_throttling_surely_wrote_nothing(sqs: SQSClient, front: Front, code: str) -> None:
    url = new_queue(sqs)
    announce = sink(url, front.url)
    with front.scripted(lambda _: answer(400, code)), pytest.raises(Throttled) as caught:
        await write(announce, [record(n) for n in range(1, 31)])
    assert caught.value.applied == "no"
    assert QueueContents(sqs, url).take() == []
    await announce.close()


@pytest.mark.parametrize("code", ["ExpiredTokenException", "InvalidClientTokenId", "SignatureDoesNotMatch"])
@in_loop
async def test_expired_credentials_hold_and_new_ones_go_on(sqs: SQSClient, front: Front, code: str) -> None:
    url = new_queue(sqs)
    announce = sink(url, front.url)
    with front.scripted(lambda _: answer(403, code)), pytest.raises(Misconfigured):
        await write(announce, [record(1)])
    await write(announce, [record(1)])
    await announce.close()
    assert len(QueueContents(sqs, url).take()) == 1


@in_loop
async def test_a_missing_queue_holds_and_names_it(aws: LocalServer) -> None:
    announce = sink(f"{aws.url}/123456789012/nowhere", aws.url)
    with pytest.raises(Misconfigured, match=r"QueueDoesNotExist|NonExistentQueue"):
        await announce.open()
    await announce.close()


@in_loop
async def test_the_preview_is_what_goes_over_the_wire(sqs: SQSClient, front: Front) -> None:
    url = new_queue(sqs, fifo=True)
    announce = sink(url, front.url, ordering_key="{material}", attributes={"material": "{material}"})
    encoded = announce.encode(sealed(announce, [record(n) for n in range(1, 24)]))
    shown = await announce.preview(encoded)
    assert front.requests == 0
    await announce.write(encoded)
    await announce.close()
    assert [request.records for request in shown] == [tuple(range(10)), tuple(range(10, 20)), (20, 21, 22)]
    assert [request.body for request in shown] == [came.body for came in front.received]
    for request, came in zip(shown, front.received, strict=True):
        assert request.target == front.url + came.path
        assert {name: came.headers[name] for name in request.headers} == request.headers


@in_loop
async def test_the_right_to_send_is_enough(ministack_auth: LocalServer) -> None:
    root: SQSClient = aws_client(ministack_auth.url, "sqs")
    url = new_queue(root)
    arn = root.get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
    # AWS asks for sqs:SendMessage for both ways to send, ministack for a right of each one's name.
    auth = user(ministack_auth, "sqs:SendMessage*", arn)
    announce = sink(url, ministack_auth.url, auth=auth)
    await announce.open()
    await write(announce, [record(1), record(2)])
    await announce.close()
    assert len(QueueContents(root, url).take()) == 2
    root.close()


def user(server: LocalServer, action: str, resource: str) -> dict[str, str]:
    """A user with one right; the keys."""
    iam = aws_client(server.url, "iam")
    name = f"user-{os.urandom(4).hex()}"
    iam.create_user(UserName=name)
    allow = {"Effect": "Allow", "Action": action, "Resource": resource}
    policy = json.dumps({"Version": "2012-10-17", "Statement": [allow]})
    iam.put_user_policy(UserName=name, PolicyName="one", PolicyDocument=policy)
    key = iam.create_access_key(UserName=name)["AccessKey"]
    iam.close()
    return {"access_key_id": key["AccessKeyId"], "secret_access_key": key["SecretAccessKey"]}


STANDARD = "https://sqs.eu-west-1.amazonaws.com/222222222222/scans"


@pytest.mark.parametrize(
    ("given", "problem"),
    [
        ({"queue_url": STANDARD, "ordering_key": "{material}"}, "needs a FIFO queue"),
        ({"queue_url": STANDARD + ".fifo", "message_group": "{material}"}, "a FIFO queue has ordering_key"),
        ({"queue_url": STANDARD + ".fifo", "delay": 3.0}, "takes no delay for single messages"),
        ({"queue_url": STANDARD, "attributes": {"AWS.x": "y"}}, "is no name of an attribute"),
        ({"queue_url": STANDARD, "attributes": {f"a{n}": "y" for n in range(11)}}, "at most 10"),
        ({"queue_url": STANDARD, "max_request_bytes": 2048}, "must not be above max_request_bytes"),
    ],
)
def test_options_that_sqs_would_refuse_are_refused_at_load(given: dict[str, Any], problem: str) -> None:
    with pytest.raises(ValueError, match=problem):
        SqsSinkOptions.model_validate(given)


def test_the_region_follows_from_the_queues_url() -> None:
    assert SqsSinkOptions.model_validate({"queue_url": STANDARD}).region == "eu-west-1"
    assert SqsSinkOptions.model_validate({"queue_url": STANDARD}).endpoint_url is None
