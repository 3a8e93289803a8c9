"""Objects read because an event named them, without opening the source or listing the bucket."""

import gzip
from collections.abc import Iterator
from typing import Any
from urllib.parse import quote_plus

import pytest
from structlog.testing import capture_logs
from support.loop import in_loop
from support.objects import parquet_file
from support.records import body, record, write
from support.s3 import new_user

from scribe_connectors.aws.s3 import S3Sink, S3SinkOptions, S3Source, S3SourceOptions
from scribe_export.errors import Misconfigured, SourceError
from scribe_export.interface import Context
from scribe_local.servers import LocalServer

SCANS = [body(number) for number in range(1, 31)]


@pytest.fixture
def given(ministack: LocalServer, bucket: str) -> dict[str, Any]:
    """Of a user who may read objects, and nothing else."""
    auth = new_user(ministack, bucket, "s3:GetObject")
    return {"bucket": bucket, "endpoint_url": ministack.url, "region": "us-east-1", "auth": auth}


def told(bucket: str, key: str, stored: Any, size: int) -> dict[str, Any]:
    thing = {"key": quote_plus(key, safe="/"), "size": size, "eTag": stored["ETag"].strip('"')}
    found = {"bucket": {"name": bucket}, "object": thing}
    return {"eventSource": "aws:s3", "eventName": "ObjectCreated:Put", "s3": found}


async def brought(given: dict[str, Any], event: dict[str, Any], found: list[bytes] | None = None) -> list[bytes]:
    source = S3Source(S3SourceOptions.model_validate(given), Context("old"))
    found = [] if found is None else found
    try:
        async for piece in source.incoming(event):
            found += [one.body for one in piece]
    finally:
        await source.close()
    return found


def layouts() -> Iterator[Any]:
    lines = b"\n".join(SCANS)
    yield pytest.param("in/one.json", SCANS[0], SCANS[:1], id="json")
    yield pytest.param("in/all scans+1.jsonl", lines, SCANS, id="jsonl")
    yield pytest.param("in/all.ndjson.gz", gzip.compress(lines + b"\n"), SCANS, id="ndjson.gz")
    yield pytest.param("in/all.parquet", parquet_file(SCANS, rows=7), SCANS, id="parquet")
    yield pytest.param("in/many.jsonl", b"\n".join(SCANS * 40), SCANS * 40, id="many")
    yield pytest.param("in/cut.jsonl", SCANS[0] + b"\n" + SCANS[1][:9], [SCANS[0], SCANS[1][:9]], id="cut off")
    yield pytest.param("in/empty.jsonl", b"", [], id="empty")
    yield pytest.param("in/folder/", b"", [], id="folder")


@pytest.mark.parametrize(("key", "data", "scans"), list(layouts()))
def test_an_object_is_read_whatever_its_layout(
    given: dict[str, Any], s3: Any, bucket: str, key: str, data: bytes, scans: list[bytes]
) -> None:
    @in_loop
    async def check() -> None:
        stored = s3.put_object(Bucket=bucket, Key=key, Body=data)
        event = told(bucket, key, stored, len(data))
        assert await brought(given, event) == scans
        assert await brought(given, event) == scans

    check()


@in_loop
async def test_an_object_that_was_replaced_or_removed_brings_nothing(
    given: dict[str, Any], s3: Any, bucket: str
) -> None:
    first = s3.put_object(Bucket=bucket, Key="in/1.json", Body=body(1))
    second = s3.put_object(Bucket=bucket, Key="in/1.json", Body=body(1, notes="again"))
    with capture_logs() as logs:
        assert await brought(given, told(bucket, "in/1.json", first, 7)) == []
    assert [one["event"] for one in logs] == ["gone"]
    assert await brought(given, told(bucket, "in/1.json", second, 7)) == [body(1, notes="again")]
    s3.delete_object(Bucket=bucket, Key="in/1.json")
    # Who may not list a bucket is not told that an object is missing, but that it is denied.
    lists = {**given, "auth": {"access_key_id": "test", "secret_access_key": "test"}}
    assert await brought(lists, told(bucket, "in/1.json", second, 7)) == []


@in_loop
async def test_of_a_damaged_object_the_readable_scans_come_first_and_then_an_error(
    given: dict[str, Any], s3: Any, bucket: str
) -> None:
    whole = gzip.compress(b"\n".join(SCANS * 40))
    damaged = whole[: len(whole) - 200]
    stored = s3.put_object(Bucket=bucket, Key="in/all.jsonl.gz", Body=damaged)
    found: list[bytes] = []
    with pytest.raises(SourceError, match=r"in/all\.jsonl\.gz cannot be read: EOFError"):
        await brought(given, told(bucket, "in/all.jsonl.gz", stored, len(damaged)), found)
    assert 600 < len(found) < 1200
    assert found == (SCANS * 40)[: len(found)]


@in_loop
async def test_scans_that_a_destination_shaped_are_refused(given: dict[str, Any], s3: Any, bucket: str) -> None:
    shaped = {
        **given,
        "auth": {"access_key_id": "test", "secret_access_key": "test"},
        "fields": {"include": ["scan_id"]},
    }
    sink = S3Sink(S3SinkOptions.model_validate({**shaped, "key": "in/{scan_id}.json"}), Context("archive"))
    await write(sink, [record(1)])
    await sink.close()
    stored = s3.head_object(Bucket=bucket, Key="in/1.json")
    with pytest.raises(SourceError, match="shaped by a destination's `fields:`"):
        await brought(given, told(bucket, "in/1.json", stored, stored["ContentLength"]))


@in_loop
async def test_a_right_that_is_missing_is_said(
    ministack: LocalServer, given: dict[str, Any], s3: Any, bucket: str
) -> None:
    stored = s3.put_object(Bucket=bucket, Key="in/1.json", Body=body(1))
    nobody = {**given, "auth": new_user(ministack, bucket, "s3:ListBucket")}
    with pytest.raises(Misconfigured, match="AccessDenied"):
        await brought(nobody, told(bucket, "in/1.json", stored, 7))
