"""Whatever a platform, a queue, a WebSocket or a process on the control socket sends: an answer, or a declared error."""

import base64
import json
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any

import anyio
import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.fuzzing import LONG, QUICK, changed, damaged, values

from scribe_connectors.aws._notification import notification
from scribe_connectors.aws.s3_source import S3Source, S3SourceOptions
from scribe_connectors.aws.sqs_source import SqsSource, SqsSourceOptions
from scribe_connectors.gcp.pubsub_source import PubsubSource, PubsubSourceOptions
from scribe_connectors.scribe._events import read_event, shown
from scribe_connectors.scribe._listed import read_list
from scribe_export.control import OPERATIONS, parsed
from scribe_export.errors import ScribeExportError, SourceError, Transient
from scribe_export.hosts import aws_lambda, gcp
from scribe_export.hosts.pushed import Refused
from scribe_export.interface import Context, Triggered
from scribe_export.model import Incoming
from scribe_export.requests.message import read_request

SQS = {
    "Records": [
        {
            "messageId": f"m{number}",
            "body": '{"scan_id": 1}',
            "attributes": {"MessageGroupId": "a"},
            "eventSource": "aws:sqs",
            "eventSourceARN": "arn:aws:sqs:eu-west-1:222222222222:scans.fifo",
        }
        for number in range(2)
    ]
}
S3 = {
    "Records": [
        {
            "eventSource": "aws:s3",
            "eventName": "ObjectCreated:Put",
            "s3": {"bucket": {"name": "lab"}, "object": {"key": "scans/1.json", "size": 12, "eTag": "e"}},
        }
    ]
}
BRIDGE = {
    "source": "aws.s3",
    "detail-type": "Object Created",
    "detail": {"bucket": {"name": "lab"}, "object": {"key": "scans/1.json", "size": 12, "etag": "e"}},
}
PUSH = {
    "subscription": "projects/lab/subscriptions/scans",
    "message": {"data": base64.b64encode(b'{"scan_id": 1}').decode(), "messageId": "7", "attributes": {"a": "b"}},
}
REQUEST = {"request_id": "r", "config": {"signal_type": "sine", "frequency": 440.0, "duration": 2.0, "amplitude": 0.5}}
LIST = {"scans": [{"scan_id": 1, "timestamp": "2026-05-06T12:00:00Z"}, {"scan_id": "b"}]}
ASKED = {"op": "send", "bodies": ["e30="], "source": "send"}
TOLD = {"type": "scan_completed", "scan_id": 1, "confidence": 0.9}
SOURCES: list[Triggered] = [
    SqsSource(
        SqsSourceOptions.model_validate(
            {"queue_url": "https://sqs.eu-west-1.amazonaws.com/222222222222/scans.fifo", "dead_letter_queue": True}
        ),
        Context("sqs"),
    ),
    S3Source(
        S3SourceOptions.model_validate({"bucket": "lab", "prefix": "scans/", "region": "eu-west-1"}), Context("s3")
    ),
    PubsubSource(PubsubSourceOptions.model_validate({"project": "lab", "subscription": "scans"}), Context("pubsub")),
]
records = st.sampled_from([*SQS["Records"], *S3["Records"], BRIDGE, PUSH])
events = st.sampled_from([SQS, SQS, S3, BRIDGE, REQUEST]).flatmap(changed) | values
messages = (
    st.sampled_from([REQUEST, LIST, TOLD, PUSH, ASKED]).flatmap(changed).map(lambda value: json.dumps(value).encode())
    | st.sampled_from([REQUEST, LIST, TOLD, PUSH, ASKED]).flatmap(
        lambda value: damaged(
            json.dumps(value).encode(), st.binary(max_size=4) | st.sampled_from([b"NaN", b"[" * 2000])
        )
    )
    | st.binary(max_size=40)
)


class Invocation:
    aws_request_id = "8476a536"

    def get_remaining_time_in_millis(self) -> int:
        return 3000


class Idle:
    """An exporter that does nothing in time."""

    def wait(self, _: Callable[..., Any], __: float) -> None:
        return None


@pytest.fixture(autouse=True, scope="module")
def _idle() -> Any:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(aws_lambda, "resident", Idle)
        patch.setattr(gcp, "resident", Idle)
        yield


def check_handler(event: Any) -> None:
    try:
        answer = aws_lambda.handler(event, Invocation())
    except (SourceError, Transient):
        return
    assert answer is None or {one["itemIdentifier"] for one in answer["batchItemFailures"]} <= {
        record["messageId"] for record in event["Records"]
    }


def check_record(record: Any) -> None:
    """What a source takes it also reads, or says why not."""
    if not isinstance(record, Mapping):
        return
    told = notification(record)
    assert told is None or (told.bucket, told.key, told.size) == (told.bucket, str(told.key), int(told.size))
    for source in SOURCES:
        if source.takes(record) and not isinstance(source, S3Source):
            try:
                bodies = anyio.run(_read, source, record)
            except SourceError:
                continue
            assert all(isinstance(one.body, bytes) for one in bodies)


async def _read(source: Triggered, record: Mapping[str, Any]) -> list[Incoming]:
    return [one async for piece in source.incoming(record) for one in piece]


def check_message(message: bytes) -> None:
    begun = time.process_time()
    with suppress(ScribeExportError):
        assert parsed(message)[0] in OPERATIONS
    request = read_request(Incoming(message, "here", id="message"), "in")
    assert request.request_id.startswith("in/")
    request.request_id.encode()
    shown(getattr(read_event(message), "type", None))
    try:
        for entry in read_list(message):
            str(entry.scan_id).encode()
    except msgspec.DecodeError:
        pass
    try:
        status, _ = gcp.answer(message, "")
        assert status.value in {204, 503}
    except Refused:
        pass
    assert time.process_time() - begun < 1.0


@QUICK
@given(events)
def test_a_lambda_event_is_answered_or_refused_in_words(event: Any) -> None:
    check_handler(event)


@QUICK
@given(records.flatmap(changed) | values)
def test_a_record_is_nobodys_or_is_read(record: Any) -> None:
    check_record(record)


@QUICK
@given(messages)
def test_a_message_is_read_or_set_aside(message: bytes) -> None:
    check_message(message)


@pytest.mark.slow
@pytest.mark.timeout(900)
@LONG
@given(events, records.flatmap(changed), messages)
def test_the_same_for_long(event: Any, record: Any, message: bytes) -> None:
    check_handler(event)
    check_record(record)
    check_message(message)
