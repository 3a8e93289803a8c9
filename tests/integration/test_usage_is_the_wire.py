"""What `usage` counts is what genuine servers got, retries too; the arithmetic of the bill is done here once more."""

from __future__ import annotations

import base64
import gzip
import json
import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Any

import grpc
import pytest
from support import wires
from support.front import LOST, Answer, Front, Received
from support.grpc_front import GrpcFront, Status
from support.pipeline import Pipeline
from support.queues import new_queue
from support.s3 import aws_client
from support.topics import PROJECT, clients
from support.wire import Wire, delivered

from scribe_connectors.aws._dynamodb_values import item_size
from scribe_export.model import Request
from scribe_local import servers

draw = random.Random(1)
SCANS = [
    json.dumps(
        {
            "scan_id": number,
            "timestamp": "2026-03-01T09:30:00Z",
            "response": {"audio_data": [round(draw.random(), 2) for _ in range(size)]},
        }
    )
    for number, size in enumerate((1, 20, 300, 2000, 5), start=1)
]
BODIES = [scan.encode() for scan in SCANS]
BYTES = sum(map(len, BODIES))
LARGE = [b'{"scan_id": %d, "notes": "%s"}' % (number, b"x" * 2_000_000) for number in range(6)]
AUTH = {"access_key_id": servers.ACCESS_KEY, "secret_access_key": servers.SECRET_KEY}
Usage = Mapping[str, float]


def used(
    folder: Path, destinations: Mapping[str, Mapping[str, Any]], name: str = "it", scans: Sequence[bytes] = BODIES
) -> dict[str, float]:
    """What the journal has counted, once all scans are delivered."""
    delivered(folder, destinations, scans)
    rows = Pipeline(folder / "it", destinations).query(f"SELECT unit, amount FROM usage WHERE destination='{name}'")
    return dict(rows)


def bodies(came: Sequence[Request]) -> list[bytes]:
    return [request.body for request in came]


def documents(came: Sequence[Request]) -> list[Any]:
    return [json.loads(request.body) for request in came]


def of_s3(came: Sequence[Request]) -> Usage:
    assert {request.method for request in came} == {"PUT"}
    size = sum(map(len, bodies(came)))
    return {"bytes_sent": size, "aws_s3.put_requests": len(came), "aws_s3.stored_bytes": size}


def of_parts(came: Sequence[Request]) -> Usage:
    parts = [request for request in came if request.method == "PUT"]
    assert (len(parts), len(came)) == (3, 5), "one to begin, one a part, one to end"
    size = sum(map(len, bodies(parts)))
    return {"bytes_sent": size, "aws_s3.put_requests": len(came), "aws_s3.stored_bytes": size}


def of_sqs(came: Sequence[Request]) -> Usage:
    sizes = [sum(len(one["MessageBody"].encode()) for one in document["Entries"]) for document in documents(came)]
    charged = sum(-(-size // 65536) for size in sizes)
    return {"bytes_sent": sum(sizes), "aws_sqs.standard_requests": charged}


def of_dynamodb(came: Sequence[Request]) -> Usage:
    sizes = [item_size(document["Item"]) for document in documents(came)]
    units = sum(-(-size // 1024) for size in sizes)
    assert units > len(sizes) > 1, "an item of more than one unit is among them"
    return {
        "aws_dynamodb.write_request_units": units,
        "aws_dynamodb.stored_bytes": sum(sizes) + 100 * len(sizes),
    }


def of_lambda(came: Sequence[Request]) -> Usage:
    return {"bytes_sent": sum(map(len, bodies(came))), "aws_lambda.requests": len(came)}


def of_gcs(came: Sequence[Request]) -> Usage:
    whole = sum(map(len, bodies(came)))
    assert BYTES < whole < BYTES + 2000 * len(came), "the parts of an upload that describe it are not counted"
    return {"bytes_sent": BYTES, "gcp_storage.class_a_operations": len(came), "gcp_storage.stored_bytes": BYTES}


def of_pubsub(came: Sequence[Request]) -> Usage:
    charged = 0
    for document in documents(came):
        sizes = [
            len(base64.b64decode(message["data"]))
            + sum(len(name) + len(value) for name, value in message["attributes"].items())
            + 20
            + 16
            for message in document["messages"]
        ]
        charged += max(1000, sum(sizes))
    return {"gcp_pubsub.published_bytes": charged}


def of_load_job(came: Sequence[Request]) -> Usage:
    """Its upload holds what it is, and the rows."""
    [body] = bodies(came)
    upload = body[body.index(b"\x1f\x8b") : body.rindex(b"\r\n--")]
    rows = gzip.decompress(upload)
    assert len(rows.splitlines()) == len(SCANS)
    return {
        "bytes_sent": len(upload),
        "gcp_bigquery.loaded_bytes": len(rows),
        "gcp_bigquery.stored_bytes": len(rows),
    }


def of_rows_inserted(came: Sequence[Request]) -> Usage:
    rows = [row["json"] for document in documents(came) for row in document["rows"]]
    sizes = [len(json.dumps(row, separators=(",", ":"), ensure_ascii=False).encode()) for row in rows]
    inserted = sum(max(1024, size) for size in sizes)
    return {
        "bytes_sent": sum(map(len, bodies(came))),
        "gcp_bigquery.inserted_bytes": inserted,
        "gcp_bigquery.stored_bytes": sum(sizes),
    }


def of_appends(came: Sequence[Request]) -> Usage:
    rows = [row for document in documents(came) for row in document["proto_rows"]["rows"]["serialized_rows"]]
    size = sum(len(base64.b64decode(row)) for row in rows)
    return {"bytes_sent": size, "gcp_bigquery.streamed_bytes": size, "gcp_bigquery.stored_bytes": size}


@dataclass(frozen=True)
class Case:
    """`counted` reads from the requests that came what the bill has to say."""

    wire: Callable[[pytest.FixtureRequest], AbstractContextManager[Wire]]
    options: Mapping[str, Any]
    counted: Callable[[Sequence[Request]], Usage]
    scans: Sequence[bytes] = tuple(BODIES)


def ministack(request: pytest.FixtureRequest) -> servers.LocalServer:
    found: servers.LocalServer = request.getfixturevalue("ministack")
    return found


CASES = {
    "aws_s3": Case(
        lambda request: wires.s3(ministack(request), request.getfixturevalue("bucket")),
        {"type": "aws_s3", "key": "scans/{scan_id}.json"},
        of_s3,
    ),
    "aws_s3 in parts": Case(
        lambda request: wires.s3(ministack(request), request.getfixturevalue("bucket")),
        {"type": "aws_s3", "key": "scans/{batch_id}.jsonl", "multipart_threshold": "5MiB", "part_size": "5MiB"},
        of_parts,
        LARGE,
    ),
    "aws_sqs": Case(
        lambda request: wires.sqs(ministack(request), request.getfixturevalue("bucket"), fifo=False),
        {"type": "aws_sqs", "max_request_bytes": "12KiB", "max_message_bytes": "12KiB"},
        of_sqs,
    ),
    "aws_dynamodb": Case(
        lambda request: wires.dynamodb(ministack(request)), {"type": "aws_dynamodb", "item": "document"}, of_dynamodb
    ),
    "aws_lambda": Case(lambda request: wires.function(ministack(request)), {"type": "aws_lambda"}, of_lambda),
    "gcp_storage": Case(
        lambda request: wires.gcs(request.getfixturevalue("fake_gcs")),
        {"type": "gcp_storage", "key": "scans/{scan_id}.json"},
        of_gcs,
    ),
    "gcp_pubsub": Case(
        lambda request: wires.pubsub(request.getfixturevalue("pubsub")),
        {"type": "gcp_pubsub", "max_request_bytes": "14KiB", "max_message_bytes": "12KiB"},
        of_pubsub,
    ),
    "gcp_bigquery load": Case(
        lambda request: wires.bigquery(request.getfixturevalue("bigquery")),
        {"type": "gcp_bigquery", "compression": "gzip"},
        of_load_job,
    ),
    "gcp_bigquery insert_rows": Case(
        lambda request: wires.bigquery(request.getfixturevalue("bigquery")),
        {"type": "gcp_bigquery", "method": "insert_rows"},
        of_rows_inserted,
    ),
    "gcp_bigquery storage_write": Case(
        lambda request: wires.bigquery(request.getfixturevalue("bigquery")),
        {"type": "gcp_bigquery", "method": "storage_write"},
        of_appends,
    ),
}


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_what_is_counted_is_what_came(request: pytest.FixtureRequest, tmp_path: Path, case: Case) -> None:
    with case.wire(request) as wire:
        usage = used(tmp_path, {"it": {**wire.options, **case.options}}, scans=case.scans)
        came = [one for one in wire.received() if not wire.looks(one)]
    expected = {"requests": len(came), "scans": len(case.scans), **case.counted(came)}
    assert usage | expected == usage
    assert usage.keys() - expected.keys() <= {"bytes_sent"}


@pytest.fixture
def front(ministack: servers.LocalServer) -> Iterator[Front]:
    with Front(ministack.port, unavailable=Answer(503), denied=Answer(403)) as front:
        yield front


def failing_first(answer: Answer, which: Callable[[Received], bool]) -> Callable[[Received], Answer | None]:
    numbers = count()
    return lambda came: answer if which(came) and next(numbers) == 0 else None


RETRY = {"base_delay": "20ms", "max_delay": "50ms"}


@pytest.mark.parametrize("answer", [Answer(503), LOST], ids=["refused", "answer lost"])
def test_every_put_is_counted_and_every_object_once(front: Front, bucket: str, tmp_path: Path, answer: Answer) -> None:
    options = {
        "type": "aws_s3",
        "bucket": bucket,
        "key": "scans/{scan_id}.json",
        "region": servers.REGION,
        "auth": AUTH,
    }
    with front.scripted(failing_first(answer, lambda came: came.method == "PUT")):
        usage = used(tmp_path, {"it": {**options, "endpoint_url": front.url, "retry": RETRY}})
    puts = [came for came in front.received if came.method == "PUT"]
    assert len(puts) == len(SCANS) + 1
    assert usage["aws_s3.put_requests"] == usage["requests"] == len(puts)
    assert usage["bytes_sent"] == sum(len(came.body) for came in puts)
    # Of the batch that failed in part, as much as of its scans were confirmed.
    assert 0.8 * BYTES < usage["aws_s3.stored_bytes"] < 1.8 * BYTES
    assert usage["scans"] == len(SCANS)


def test_a_request_that_is_sent_again_is_charged_again(
    front: Front, ministack: servers.LocalServer, tmp_path: Path
) -> None:
    sqs = aws_client(ministack.url, "sqs")
    options = {"type": "aws_sqs", "queue_url": new_queue(sqs), "region": servers.REGION, "auth": AUTH}

    def sends(came: Received) -> bool:
        return came.headers.get("x-amz-target") == "AmazonSQS.SendMessageBatch"

    with front.scripted(failing_first(Answer(503), sends)):
        usage = used(tmp_path, {"it": {**options, "endpoint_url": front.url, "retry": RETRY}})
    sqs.close()
    assert len([came for came in front.received if sends(came)]) == 2
    assert usage == {"requests": 2, "aws_sqs.standard_requests": 2, "bytes_sent": 2 * BYTES, "scans": len(SCANS)}


def test_bytes_that_are_published_again_are_charged_again(pubsub: servers.LocalServer, tmp_path: Path) -> None:
    with clients(pubsub.address) as cloud:
        topic = cloud.topic().rpartition("/")[2]
    with GrpcFront(pubsub.address) as front:
        numbers = count()

        def first(call: Any) -> Status | None:
            failing = call.method.endswith("/Publish") and next(numbers) == 0
            return Status(grpc.StatusCode.UNAVAILABLE) if failing else None

        options = {"type": "gcp_pubsub", "topic": topic, "project": PROJECT, "attributes": {}}
        with front.scripted(first):
            usage = used(tmp_path, {"it": {**options, "endpoint_url": front.url, "retry": RETRY}})
        assert len(front.bodies("Publish")) == 2
    assert usage["requests"] == 2
    assert usage["gcp_pubsub.published_bytes"] == 2 * (BYTES + 36 * len(SCANS))


def test_whole_scans_that_are_kept_for_pointers_are_counted_where_they_lie(
    front: Front, ministack: servers.LocalServer, bucket: str, tmp_path: Path
) -> None:
    sqs = aws_client(ministack.url, "sqs")
    aws = {"region": servers.REGION, "auth": AUTH}
    oversize = {"action": "claim_check", "destination": "archive"}
    destinations: dict[str, dict[str, Any]] = {
        "it": {
            "type": "aws_sqs",
            "queue_url": new_queue(sqs),
            "max_message_bytes": "4KiB",
            "oversize": oversize,
            **aws,
        },
        "archive": {"type": "aws_s3", "bucket": bucket, "key": "scans/{scan_id}.json", "when": "false", **aws},
    }
    for options in destinations.values():
        options["endpoint_url"] = front.url
    usage = used(tmp_path, destinations, "archive")
    sqs.close()
    puts = [came for came in front.received if came.method == "PUT"]
    assert len(puts) == 1
    size = len(puts[0].body)
    assert usage == {
        "requests": 1,
        "bytes_sent": size,
        "aws_s3.put_requests": 1,
        "aws_s3.stored_bytes": size,
    }
