"""Scans read back from DynamoDB: whole, once, and from where an interrupted reading was."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from contextlib import closing
from decimal import Decimal
from random import Random
from typing import Any

import msgspec
import pytest
from structlog.testing import capture_logs
from support.front import Front
from support.loop import in_loop
from support.records import body, record, write
from support.s3 import aws_client
from support.source_run import Notebook, run_source
from support.tables import DENIED, THROTTLED, UNAVAILABLE, new_table

from scribe_connectors.aws.dynamodb import DynamoDbSink, DynamoDbSinkOptions, DynamoDbSource, DynamoDbSourceOptions
from scribe_export.archives.codec import same_json
from scribe_export.errors import Transient
from scribe_export.interface import Context
from scribe_export.model import Record
from scribe_local.servers import LocalServer

TEST = {"access_key_id": "test", "secret_access_key": "test"}


@pytest.fixture
def dynamodb(aws: LocalServer) -> Iterator[Any]:
    with closing(aws_client(aws.url, "dynamodb")) as client:
        yield client


@pytest.fixture
def front(aws: LocalServer) -> Iterator[Front]:
    with Front(aws.port, unavailable=UNAVAILABLE, denied=DENIED) as front:
        yield front


def source(server: LocalServer | Front, table: str, **options: Any) -> DynamoDbSource:
    given = {"table": table, "endpoint_url": server.url, "region": "us-east-1", "auth": TEST, **options}
    return DynamoDbSource(DynamoDbSourceOptions.model_validate(given), Context("table", once=True))


async def fill(server: LocalServer, table: str, records: Sequence[Record], **options: Any) -> None:
    given = {"table": table, "endpoint_url": server.url, "region": "us-east-1", "auth": TEST, **options}
    sink = DynamoDbSink(DynamoDbSinkOptions.model_validate(given), Context("table"))
    await write(sink, records)
    await sink.close()


async def read(server: LocalServer | Front, table: str, notebook: Notebook, **options: Any) -> list[str]:
    """The scan ids that one run took."""
    before = len(notebook.ids)
    subject = source(server, table, **options)
    await run_source(subject, notebook)
    await subject.close()
    return sorted(notebook.ids[before:])


@in_loop
async def test_documents_come_back_byte_for_byte_and_never_again(aws: LocalServer, dynamodb: Any) -> None:
    table, notebook = new_table(dynamodb), Notebook()
    scans = [record(number) for number in range(1, 31)]
    await fill(aws, table, scans, item="document")
    assert await read(aws, table, notebook) == sorted(scan.scan_id for scan in scans)
    assert notebook.bodies == {scan.scan_id: scan.body for scan in scans}
    assert await read(aws, table, notebook) == []
    await fill(aws, table, [record(31)], item="document")
    other = record(40, body(1, note="again"), scan_id=1)
    await fill(aws, table, [other], item="document", on_conflict="overwrite")
    # Also with other segments: what was taken is known by its content.
    assert await read(aws, table, notebook, segments=7) == ["1", "31"]
    dynamodb.update_item(
        TableName=table,
        Key={"scan_id": {"N": "2"}},
        UpdateExpression="SET seen_by = :somebody",
        ExpressionAttributeValues={":somebody": {"S": "somebody"}},
    )
    assert await read(aws, table, notebook) == []
    assert notebook.ids.count("1") == 2


@in_loop
async def test_the_guides_items_come_back_as_far_as_they_hold_with_every_digit(aws: LocalServer, dynamodb: Any) -> None:
    table, notebook = new_table(dynamodb), Notebook()
    numbers = ["0.1", "1e-05", str(2**70), "1" * 40, "1e999", "-0.0", "0." + "123456789" * 5]
    features = '{"a":{"b":[%s]},"empty":"","text":"1","none":null,"yes":true,"m":{}}' % ",".join(numbers)  # noqa: UP031
    given = (
        b'{"scan_id":1,"timestamp":"2026-03-01T12:00:00Z","config":{"frequency":440},"features":%s,"interpretation":%s}'
    )
    interpretation = json.dumps(json.loads(body(1))["interpretation"]).encode()
    await fill(aws, table, [record(1, given % (features.encode(), interpretation))])
    assert await read(aws, table, notebook) == ["1"]
    kept = b'{"scan_id":1,"timestamp":"2026-03-01T12:00:00Z","features":%s,"interpretation":%s}'
    assert same_json(notebook.bodies["1"], kept % (features.encode(), interpretation))
    assert b'"1"' in notebook.bodies["1"], "text that looks like a number stays text"
    assert await read(aws, table, notebook) == []


@in_loop
async def test_items_of_others_come_back_with_all_they_hold(aws: LocalServer, dynamodb: Any) -> None:
    table, notebook = new_table(dynamodb), Notebook()
    item: dict[str, Any] = {
        "scan_id": {"N": "1"},
        "timestamp": {"S": "2026-03-01T12:00:00Z"},
        "confidence": {"N": "0.850"},
        "features": {"M": {"peaks": {"NS": ["10", "9.5"]}, "raw": {"B": b"\x00\xff"}}},
    }
    dynamodb.put_item(TableName=table, Item=item)
    await read(aws, table, notebook)
    assert json.loads(notebook.bodies["1"], parse_float=Decimal) == {
        "scan_id": 1,
        "timestamp": "2026-03-01T12:00:00Z",
        "confidence": Decimal("0.85"),
        "features": {"peaks": [Decimal("9.5"), 10], "raw": "AP8="},
    }


@in_loop
async def test_what_holds_less_than_a_scan_is_passed_over_with_an_alarm(aws: LocalServer, dynamodb: Any) -> None:
    table, notebook = new_table(dynamodb), Notebook()
    pointer = record(1, body(1, claim_check={"uri": "s3://b/claims/x"}))
    await fill(aws, table, [pointer, record(2)])
    await fill(aws, table, [record(3)], item="document", fields={"exclude": ["config"]})
    dynamodb.put_item(TableName=table, Item={"scan_id": {"N": "4"}, "document": {"B": b"\x28\xb5\x2f\xfdxx"}})
    subject = source(aws, table)
    with capture_logs() as logs:
        await run_source(subject, notebook)
    await subject.close()
    assert notebook.ids == ["2"]
    assert subject.gaps == 3
    alarms = sorted((entry["origin"], entry["alarm"]) for entry in logs)
    assert alarms == [("item 1", "claim_checked"), ("item 3", "shaped"), ("item 4", "unreadable")]


@in_loop
async def test_an_interrupted_reading_goes_on_behind_what_was_taken(
    front: Front, aws: LocalServer, dynamodb: Any
) -> None:
    table, notebook = new_table(dynamodb), Notebook()
    scans = [large(number) for number in range(1, 41)]  # three pages and more of a megabyte each
    for scan in scans:
        await fill(aws, table, [scan], item="document")
    subject = source(front, table, segments=1)
    await run_source(subject, notebook, until=1)
    await subject.close()
    first = len(notebook.ids)
    assert 1 <= first < 40
    front.received.clear()
    assert len(await read(front, table, notebook, segments=1)) == 40 - first
    assert sorted(notebook.ids, key=int) == [str(number) for number in range(1, 41)]
    starts = [json.loads(came.body).get("ExclusiveStartKey") for came in front.received]
    assert None not in starts, "the first page was read again, and paid for"
    assert not [key for key in notebook.values if key.startswith("segment")], "a finished reading begins anew"
    front.received.clear()
    assert await read(front, table, notebook, segments=1) == []
    assert json.loads(front.received[0].body).get("ExclusiveStartKey") is None


@in_loop
async def test_what_was_refused_is_not_passed_by_what_follows_it(aws: LocalServer, dynamodb: Any) -> None:
    table, notebook = new_table(dynamodb), Notebook()
    for number in range(1, 41):
        await fill(aws, table, [large(number)], item="document")
    subject = source(aws, table, segments=2)
    with pytest.raises(Transient):
        await run_source(subject, notebook, take=lambda _: len(notebook.sizes) < 1)
    await run_source(subject, notebook)
    await subject.close()
    assert sorted(notebook.ids, key=int) == [str(number) for number in range(1, 41)]


@in_loop
async def test_throttling_is_said_and_what_was_taken_stays_taken(front: Front, aws: LocalServer, dynamodb: Any) -> None:
    table, notebook = new_table(dynamodb), Notebook()
    await fill(aws, table, [record(number) for number in range(1, 11)], item="document")
    subject = source(front, table)
    with front.scripted(lambda _: THROTTLED), pytest.raises(Transient):
        await run_source(subject, notebook)
    await run_source(subject, notebook)
    await subject.close()
    assert len(notebook.ids) == len(set(notebook.ids)) == 10


def large(number: int) -> Record:
    """A scan that does not compress, of about 100 KB as an item."""
    noise = Random(number).randbytes(65_000).hex()
    return record(number, msgspec.json.encode({**json.loads(body(number)), "noise": noise}))
