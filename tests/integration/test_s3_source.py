import gzip
import json
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import anyio
import pytest
from structlog.testing import capture_logs
from support.loop import in_loop
from support.records import Journalled, body, record, write

from scribe_connectors.aws.s3 import S3Sink, S3SinkOptions, S3Source, S3SourceOptions
from scribe_export.errors import Misconfigured, SourceError
from scribe_export.interface import Context
from scribe_local.servers import LocalServer

TEST = {"access_key_id": "test", "secret_access_key": "test"}


def source(server: LocalServer, bucket: str, *, once: bool = True, **options: Any) -> S3Source:
    given = {"bucket": bucket, "endpoint_url": server.url, "region": "us-east-1", "auth": TEST, **options}
    return S3Source(S3SourceOptions.model_validate(given), Context("old", once=once))


async def read(server: LocalServer, bucket: str, journal: Journalled, **options: Any) -> list[bytes]:
    reader = source(server, bucket, **options)
    await reader.open()
    try:
        return await journal.take_all(reader)
    finally:
        await reader.close()


@pytest.mark.parametrize(
    ("key", "compression"),
    [
        ("s/{scan_id}.json", "none"),
        ("s/{scan_id}.{ext}", "zstd"),
        ("l/{batch_id}.jsonl", "none"),
        ("l/{material}/{batch_id}.{ext}", "gzip"),
        ("l/{batch_id}.{ext}", "zstd"),
    ],
)
def test_what_the_sink_wrote_is_read_back_once(ministack: LocalServer, bucket: str, key: str, compression: str) -> None:
    @in_loop
    async def check() -> None:
        given = {"bucket": bucket, "key": key, "compression": compression, "endpoint_url": ministack.url, "auth": TEST}
        archive = S3Sink(S3SinkOptions.model_validate(given), Context("archive"))
        await write(archive, [record(n) for n in range(1, 31)])
        await archive.close()
        journal = Journalled()
        await read(ministack, bucket, journal)
        assert sorted(journal.bodies) == sorted(record(n).body for n in range(1, 31))
        assert await read(ministack, bucket, journal) == []

    check()


@in_loop
async def test_late_keys_and_replaced_objects_are_found(ministack: LocalServer, s3: Any, bucket: str) -> None:
    journal = Journalled()
    s3.put_object(Bucket=bucket, Key="m.json", Body=body(1))
    await read(ministack, bucket, journal)
    s3.put_object(Bucket=bucket, Key="a.json", Body=body(2))
    s3.put_object(Bucket=bucket, Key="m.json", Body=body(1, note="new"))
    assert await read(ministack, bucket, journal) == [body(2), body(1, note="new")]


@in_loop
async def test_more_keys_than_a_page_are_all_listed(ministack: LocalServer, s3: Any, bucket: str) -> None:
    def put(n: int) -> None:
        s3.put_object(Bucket=bucket, Key=f"p/{n:05}.json", Body=b'{"scan_id":%d}' % n)

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(put, range(1, 1051)))
    s3.put_object(Bucket=bucket, Key="elsewhere.json", Body=b'{"scan_id":0}')
    s3.put_object(Bucket=bucket, Key="p/folder/", Body=b"")
    journal = Journalled()
    await read(ministack, bucket, journal, prefix="p/")
    assert journal.ids() == [str(n) for n in range(1, 1051)]


@pytest.mark.parametrize("compress", [bytes, gzip.compress])
def test_a_large_object_resumes_at_the_line_taken(ministack: LocalServer, s3: Any, bucket: str, compress: Any) -> None:
    @in_loop
    async def check() -> None:
        content = b"".join(body(n, audio="x" * 20_000) + b"\n" for n in range(1, 1001))
        name = "big.jsonl" if compress is bytes else "big.jsonl.gz"
        s3.put_object(Bucket=bucket, Key=name, Body=compress(content))
        journal = Journalled()
        reader = source(ministack, bucket)
        taken = reader.deliveries(journal)
        for _ in range(2):
            await journal.take(await anext(taken))
        await taken.aclose()  # type: ignore[attr-defined]
        await reader.close()
        assert 0 < len(journal.bodies) < 1000
        await read(ministack, bucket, journal)
        assert journal.ids() == [str(n) for n in range(1, 1001)]
        assert journal.origins[-1] == f"{name}:1000"

    check()


@in_loop
async def test_a_corrupt_object_stops_no_other(ministack: LocalServer, s3: Any, bucket: str) -> None:
    s3.put_object(Bucket=bucket, Key="a.jsonl.gz", Body=b"this is no gzip")
    s3.put_object(Bucket=bucket, Key="b.json", Body=body(1))
    s3.put_object(Bucket=bucket, Key="c.json", Body=body(2, audio="x" * 5000))
    journal = Journalled()
    with capture_logs() as logs:
        await read(ministack, bucket, journal, max_record=2000)
    assert journal.ids() == ["1"]
    assert [(one["alarm"], one["origin"]) for one in logs] == [("unreadable", "a.jsonl.gz"), ("unreadable", "c.json")]


@in_loop
async def test_an_archive_shaped_by_fields_is_refused_by_name(ministack: LocalServer, bucket: str) -> None:
    given = {"bucket": bucket, "key": "s/{scan_id}.json", "endpoint_url": ministack.url, "auth": TEST}
    archive = S3Sink(S3SinkOptions.model_validate({**given, "fields": {"exclude": ["config"]}}), Context("archive"))
    await write(archive, [record(1)])
    await archive.close()
    with pytest.raises(SourceError, match=r"s/1\.json holds scans shaped"):
        await read(ministack, bucket, Journalled())


@in_loop
async def test_new_objects_are_found_while_following(ministack: LocalServer, s3: Any, bucket: str) -> None:
    journal = Journalled()
    reader = source(ministack, bucket, once=False, poll_interval=0.01)
    taken = reader.deliveries(journal)
    s3.put_object(Bucket=bucket, Key="1.json", Body=body(1))
    with anyio.fail_after(20):
        await journal.take(await anext(taken))
        s3.put_object(Bucket=bucket, Key="0.json", Body=body(2))
        await journal.take(await anext(taken))
    await taken.aclose()  # type: ignore[attr-defined]
    await reader.close()
    assert journal.ids() == ["1", "2"]


@in_loop
async def test_a_missing_bucket_is_for_the_operator(ministack: LocalServer) -> None:
    with pytest.raises(Misconfigured, match="NoSuchBucket"):
        await read(ministack, "no-such-bucket", Journalled())


@in_loop
async def test_the_checkpoint_is_text(ministack: LocalServer, s3: Any, bucket: str) -> None:
    s3.put_object(Bucket=bucket, Key="é/1.json", Body=body(1))
    journal = Journalled()
    await read(ministack, bucket, journal)
    assert json.loads(next(iter(journal.notes.values())))["done"] is True
