"""SQS fails in part, comes again, throttles and forgets whom it trusts: every scan arrives, and each loss is named."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING, Any

import pytest
from support.front import LOST, Answer, Front, Received
from support.oracle import Oracle, held_in
from support.pipeline import Pipeline, until
from support.queues import QueueContents, failing_entries, new_queue
from support.s3 import aws_client

from scribe_local.servers import REGION, LocalServer

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client
    from mypy_boto3_sqs import SQSClient

pytestmark = pytest.mark.timeout(120)
TEST = {"access_key_id": "test", "secret_access_key": "test"}
JSON = "application/x-amz-json-1.0"


def answer(status: int, code: str) -> Answer:
    return Answer(status, json.dumps({"__type": f"com.amazonaws.sqs#{code}", "message": "no"}).encode(), JSON)


@pytest.fixture
def sqs(ministack: LocalServer) -> Iterator[SQSClient]:
    client: SQSClient = aws_client(ministack.url, "sqs")
    yield client
    client.close()


@pytest.fixture
def front(ministack: LocalServer) -> Iterator[Front]:
    with Front(ministack.port, unavailable=answer(503, "ServiceUnavailable"), denied=answer(403, "Denied")) as front:
        yield front


def queue(url: str, endpoint: str, **more: Any) -> dict[str, Any]:
    return {
        "type": "aws_sqs",
        "queue_url": url,
        "endpoint_url": endpoint,
        "region": REGION,
        "auth": TEST,
        **more,
    }


def impatient(**more: Any) -> dict[str, Any]:
    return {"retry": {"base_delay": "20ms", "max_delay": "100ms"}, "breaker": {"timeout": "50ms"}, **more}


def from_file(folder: Path, bodies: list[bytes], destinations: Mapping[str, Mapping[str, Any]]) -> Pipeline:
    pipeline = Pipeline(folder / "it", destinations, sources={"scans": {"type": "file", "path": "scans.jsonl"}})
    (folder / "it" / "scans.jsonl").write_bytes(b"".join(body + b"\n" for body in bodies))
    return pipeline


def sent(front: Front) -> list[list[Any]]:
    batches = [json.loads(came.body).get("Entries", []) for came in front.received]
    return [entries for entries in batches if entries and "MessageBody" in entries[0]]


def dead(pipeline: Pipeline) -> list[tuple[Any, ...]]:
    return pipeline.query("SELECT scan_id, class FROM delivery JOIN scan USING(seq)")


@pytest.mark.fault("F-10")
def test_of_a_request_that_fails_in_part_only_what_failed_is_sent_again(
    tmp_path: Path, front: Front, sqs: SQSClient
) -> None:
    oracle = Oracle()
    url = new_queue(sqs)
    more = impatient(attributes={"id": "{scan_id}"}, message_group="lab", delay="1s")
    pipeline = from_file(tmp_path, [oracle.give(n) for n in range(1, 11)], {"out": queue(url, front.url, **more)})
    failures = {"4": ("InvalidMessageContents", True), "8": ("InternalError", False)}
    with pipeline, failing_entries(front, failures, when=lambda entries: len(entries) > 1):
        finished = pipeline.until_idle("--max-wait", "60s")
        row = pipeline.status()["out"]
        letters = dead(pipeline)

    assert finished.returncode == 1, finished.stderr[-2000:]
    assert letters == [("4", "rejected")]
    assert (row.delivered, row.dead, row.pending) == (9, 1, 0)
    first, again = sent(front)
    assert [len(first), len(again)] == [10, 1]
    unlike = {"Id": ""}
    assert again[0] | unlike == first[7] | unlike, "a field was left out of the retry"
    assert {"DelaySeconds", "MessageGroupId", "MessageAttributes"} <= set(again[0])
    contents = QueueContents(sqs, url)
    until(lambda: len(contents.take()) == 9, what="nine messages")
    difference = oracle.compare(body for _, body in contents.held())
    assert difference.lost == ["4"]
    assert not difference.doubled + difference.altered + difference.foreign


@pytest.mark.fault("F-07")
def test_throttling_expired_credentials_and_lost_answers_lose_and_kill_nothing(
    tmp_path: Path, front: Front, sqs: SQSClient
) -> None:
    oracle = Oracle()
    url = new_queue(sqs, fifo=True)
    more = impatient(retry={"base_delay": "20ms", "max_delay": "100ms", "max_attempts": 2}, concurrency=2)
    pipeline = from_file(tmp_path, [oracle.give(n) for n in range(1, 301)], {"out": queue(url, front.url, **more)})
    troubles = iter(
        [answer(400, "RequestThrottled")] * 8
        + [answer(403, "ExpiredTokenException")] * 8
        + [answer(500, "InternalError")] * 2
        + [LOST] * 5
    )

    def trouble(came: Received) -> Answer | None:
        return next(troubles, None) if b"MessageBody" in came.body else None

    with pipeline, front.scripted(trouble):
        run = pipeline.start()
        run.ready()
        until(lambda: pipeline.status()["out"].delivered == 300, within=60, what="300 delivered")
        row = pipeline.status()["out"]
        run.terminate()
        assert run.ended() == 0
    assert next(troubles, None) is None
    assert (row.dead, row.pending) == (0, 0)
    assert str(oracle.compare(body for _, body in QueueContents(sqs, url).held())) == "no difference"


def test_a_scan_that_no_message_can_hold_lies_in_s3_and_its_pointer_leads_there(
    tmp_path: Path, front: Front, sqs: SQSClient, s3: S3Client, bucket: str
) -> None:
    url = new_queue(sqs)
    large = json.dumps({"scan_id": 2, "timestamp": "2026-05-06T12:00:00Z", "response": {"audio_data": [0.5] * 300_000}})
    small = json.dumps({"scan_id": 1, "timestamp": "2026-05-06T12:00:00Z"})
    store = {
        "type": "aws_s3",
        "bucket": bucket,
        "key": "all/{scan_id}.json",
        "endpoint_url": front.url,
        "region": REGION,
        "auth": TEST,
        "when": "false",
    }
    policy = {"oversize": {"action": "claim_check", "destination": "archive"}}
    destinations = {"out": queue(url, front.url, **policy), "archive": store}
    with from_file(tmp_path, [small.encode(), large.encode()], destinations) as pipeline:
        finished = pipeline.until_idle("--max-wait", "60s")
    assert finished.returncode == 0, finished.stderr[-2000:]
    found = {json.loads(body)["scan_id"]: json.loads(body) for _, body in QueueContents(sqs, url).held()}
    assert found[1] == json.loads(small)
    sha256 = hashlib.sha256(large.encode()).hexdigest()
    pointer = found[2]["claim_check"]
    assert (pointer["size"], pointer["sha256"]) == (len(large), sha256)
    whole = s3.get_object(Bucket=pointer["bucket"], Key=pointer["key"])["Body"].read()
    assert whole == large.encode()


class Redelivering:
    """Of three in ten messages the first delete fails, and they are handed out again at once; of one in ten the first
    delete fails alone."""

    def __init__(self, sqs: SQSClient, url: str) -> None:
        self._sqs, self._url, self._lock = sqs, url, Lock()
        self.handed_out: Counter[str] = Counter()
        self.failed_deletes: Counter[str] = Counter()
        self._owner: dict[str, str] = {}
        self._failing: dict[str, list[str]] = {}

    def request(self, came: Received) -> bytes:
        document = json.loads(came.body)
        if not came.headers.get("x-amz-target", "").endswith("DeleteMessageBatch"):
            return bytes(came.body)
        with self._lock:
            failing = [one for one in document["Entries"] if self._fails(self._owner[one["ReceiptHandle"]])]
        document["Entries"] = [one for one in document["Entries"] if one not in failing]
        self._failing[came.body.hex()] = [one["Id"] for one in failing]
        return json.dumps(document).encode()

    def answer(self, came: Received, body: bytes) -> bytes:
        if came.headers.get("x-amz-target", "").endswith("ReceiveMessage"):
            self._hand_out(json.loads(body).get("Messages", []))
        failing = self._failing.pop(came.body.hex(), [])
        if not failing:
            return body
        found = json.loads(body)
        document = found if "Successful" in found else {"Successful": []}
        document["Failed"] = [{"Id": one, "Code": "InternalError", "SenderFault": False} for one in failing]
        return json.dumps(document).encode()

    def _fails(self, message: str) -> bool:
        again = self._comes_again(message) and self.handed_out[message] < 2
        once = _share(message) == 9 and not self.failed_deletes[message]
        self.failed_deletes[message] += again or once
        return again or once

    def _comes_again(self, message: str) -> bool:
        return _share(message) < 3

    def _hand_out(self, messages: list[Any]) -> None:
        for one in messages:
            with self._lock:
                self.handed_out[one["MessageId"]] += 1
                self._owner[one["ReceiptHandle"]] = one["MessageId"]
                first = self.handed_out[one["MessageId"]] == 1
            if first and self._comes_again(one["MessageId"]):
                self._sqs.change_message_visibility(
                    QueueUrl=self._url, ReceiptHandle=one["ReceiptHandle"], VisibilityTimeout=0
                )


def _share(message: str) -> int:
    return hashlib.sha256(message.encode()).digest()[0] % 10


@pytest.mark.fault("F-27")
def test_messages_that_come_again_are_known_and_none_is_left_behind(
    tmp_path: Path, front: Front, sqs: SQSClient
) -> None:
    """F-27: each scan is delivered once, and as many duplicates are counted as were brought about."""
    oracle = Oracle()
    url = new_queue(sqs)
    for start in range(1, 201, 10):
        bodies = [oracle.give(n).decode() for n in range(start, start + 10)]
        sqs.send_message_batch(
            QueueUrl=url, Entries=[{"Id": str(n), "MessageBody": body} for n, body in enumerate(bodies)]
        )
    fake = Redelivering(sqs, url)
    source = queue(url, front.url, wait_time=1)
    files = {"type": "file", "directory": "./held", "key": "all/{scan_id}.json"}
    with (
        Pipeline(tmp_path / "it", {"files": files}, sources={"queue": source}) as pipeline,
        front.meddling(fake.request, fake.answer),
    ):
        finished = pipeline.until_idle("--max-wait", "60s")
        [(duplicates,)] = pipeline.query("SELECT value FROM meta WHERE key = 'duplicates'")
        delivered = pipeline.status()["files"].delivered
    assert finished.returncode == 0, finished.stderr[-2000:]
    assert str(oracle.compare(held_in(tmp_path / "it" / "held"))) == "no difference"
    assert delivered == 200
    injected = sum(count - 1 for count in fake.handed_out.values())
    assert injected >= 20
    assert sum(fake.failed_deletes.values()) >= 5
    assert int(duplicates) == injected
    assert QueueContents(sqs, url)._count() == 0
