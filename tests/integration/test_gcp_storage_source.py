import gzip
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import anyio
import pytest
from structlog.testing import capture_logs
from support.front import Front, Received
from support.gcs import answer, new_bucket, put
from support.loop import in_loop
from support.records import Journalled, body, record, write

from scribe_connectors.gcp.storage import GcsSink, GcsSinkOptions, GcsSource, GcsSourceOptions
from scribe_export.errors import Misconfigured, SourceError, Transient
from scribe_export.interface import Context
from scribe_local.servers import LocalServer


@pytest.fixture
def bucket(gcs: Any) -> str:
    return new_bucket(gcs)


@pytest.fixture
def front(fake_gcs: LocalServer) -> Iterator[Front]:
    with Front(fake_gcs.port, unavailable=answer(503, "backendError"), denied=answer(403, "forbidden")) as front:
        yield front


def source(url: str, bucket: str, *, once: bool = True, **options: Any) -> GcsSource:
    given = {"bucket": bucket, "endpoint_url": url, **options}
    return GcsSource(GcsSourceOptions.model_validate(given), Context("old", once=once))


async def read(url: str, bucket: str, journal: Journalled, **options: Any) -> list[bytes]:
    reader = source(url, bucket, **options)
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
def test_what_the_sink_wrote_is_read_back_once(fake_gcs: LocalServer, bucket: str, key: str, compression: str) -> None:
    @in_loop
    async def check() -> None:
        given = {"bucket": bucket, "key": key, "compression": compression, "endpoint_url": fake_gcs.url}
        archive = GcsSink(GcsSinkOptions.model_validate(given), Context("archive"))
        await write(archive, [record(n) for n in range(1, 31)])
        await archive.close()
        journal = Journalled()
        await read(fake_gcs.url, bucket, journal)
        assert sorted(journal.bodies) == sorted(record(n).body for n in range(1, 31))
        assert await read(fake_gcs.url, bucket, journal) == []

    check()


@in_loop
async def test_late_names_and_replaced_objects_are_found(fake_gcs: LocalServer, gcs: Any, bucket: str) -> None:
    journal = Journalled()
    put(gcs, bucket, "m.json", body(1))
    await read(fake_gcs.url, bucket, journal)
    put(gcs, bucket, "a.json", body(2))
    put(gcs, bucket, "m.json", body(1, note="new"))
    assert await read(fake_gcs.url, bucket, journal) == [body(2), body(1, note="new")]


@in_loop
async def test_an_object_replaced_while_it_is_read_is_left_for_the_next_pass(
    front: Front, gcs: Any, bucket: str
) -> None:
    journal = Journalled()
    put(gcs, bucket, "m.json", body(1))
    replaced: list[str] = []

    def meanwhile(came: Received) -> None:
        if "alt=media" in came.path and not replaced:
            replaced.append(put(gcs, bucket, "m.json", body(1, note="new")))

    with front.scripted(meanwhile):
        assert await read(front.url, bucket, journal) == []
    assert "ifGenerationMatch=" in next(one.path for one in front.received if "alt=media" in one.path)
    assert await read(front.url, bucket, journal) == [body(1, note="new")]
    with front.scripted(lambda came: answer(412, "conditionNotMet") if "alt=media" in came.path else None):
        assert await read(front.url, bucket, Journalled()) == []


@in_loop
async def test_more_names_than_a_page_are_all_listed(front: Front, gcs: Any, bucket: str) -> None:
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda n: put(gcs, bucket, f"p/{n:05}.json", b'{"scan_id":%d}' % n), range(1, 1051)))
    put(gcs, bucket, "elsewhere.json", b'{"scan_id":0}')
    put(gcs, bucket, "p/folder/", b"")
    journal = Journalled()
    await read(front.url, bucket, journal, prefix="p/")
    assert journal.ids() == [str(n) for n in range(1, 1051)]
    assert sum("maxResults=" in one.path for one in front.received) == 2


@pytest.mark.parametrize("compress", [bytes, gzip.compress])
def test_a_large_object_resumes_at_the_line_taken(fake_gcs: LocalServer, gcs: Any, bucket: str, compress: Any) -> None:
    @in_loop
    async def check() -> None:
        content = b"".join(body(n, audio="x" * 20_000) + b"\n" for n in range(1, 1001))
        name = "big.jsonl" if compress is bytes else "big.jsonl.gz"
        put(gcs, bucket, name, compress(content))
        journal = Journalled()
        reader = source(fake_gcs.url, bucket)
        taken = reader.deliveries(journal)
        for _ in range(2):
            await journal.take(await anext(taken))
        await taken.aclose()  # type: ignore[attr-defined]
        await reader.close()
        assert 0 < len(journal.bodies) < 1000
        await read(fake_gcs.url, bucket, journal)
        assert journal.ids() == [str(n) for n in range(1, 1001)]
        assert journal.origins[-1] == f"{name}:1000"

    check()


@pytest.mark.parametrize("name", ["x.jsonl", "x.jsonl.gz"])
def test_an_object_stored_with_an_encoding_is_read_like_any(
    fake_gcs: LocalServer, gcs: Any, bucket: str, name: str
) -> None:
    @in_loop
    async def check() -> None:
        lines = b"".join(body(n) + b"\n" for n in range(1, 11))
        put(gcs, bucket, name, gzip.compress(lines), content_encoding="gzip")
        journal = Journalled()
        await read(fake_gcs.url, bucket, journal)
        assert journal.ids() == [str(n) for n in range(1, 11)]
        assert await read(fake_gcs.url, bucket, journal) == []

    check()


@in_loop
async def test_a_corrupt_object_stops_no_other(fake_gcs: LocalServer, gcs: Any, bucket: str) -> None:
    put(gcs, bucket, "a.jsonl.gz", b"this is no gzip")
    put(gcs, bucket, "b.json", body(1))
    put(gcs, bucket, "c.json", body(2, audio="x" * 5000))
    journal = Journalled()
    with capture_logs() as logs:
        await read(fake_gcs.url, bucket, journal, max_record=2000)
    assert journal.ids() == ["1"]
    assert [(one["alarm"], one["origin"]) for one in logs] == [("unreadable", "a.jsonl.gz"), ("unreadable", "c.json")]


@in_loop
async def test_a_connection_that_breaks_within_an_object_takes_nothing(front: Front, gcs: Any, bucket: str) -> None:
    put(gcs, bucket, "m.json", body(1))
    journal = Journalled()

    def cut(came: Received, found: bytes) -> bytes:
        return found[:-10] if "alt=media" in came.path else found

    with front.shortened(cut), pytest.raises(Transient):
        await read(front.url, bucket, journal)
    assert journal.bodies == []
    assert await read(front.url, bucket, journal) == [body(1)]


@in_loop
async def test_an_archive_shaped_by_fields_is_refused_by_name(fake_gcs: LocalServer, bucket: str) -> None:
    given = {
        "bucket": bucket,
        "key": "s/{scan_id}.json",
        "endpoint_url": fake_gcs.url,
        "fields": {"exclude": ["config"]},
    }
    archive = GcsSink(GcsSinkOptions.model_validate(given), Context("archive"))
    await write(archive, [record(1)])
    await archive.close()
    with pytest.raises(SourceError, match=r"s/1\.json holds scans shaped"):
        await read(fake_gcs.url, bucket, Journalled())


@in_loop
async def test_new_objects_are_found_while_following(fake_gcs: LocalServer, gcs: Any, bucket: str) -> None:
    journal = Journalled()
    reader = source(fake_gcs.url, bucket, once=False, poll_interval=0.01)
    taken = reader.deliveries(journal)
    put(gcs, bucket, "1.json", body(1))
    with anyio.fail_after(20):
        await journal.take(await anext(taken))
        put(gcs, bucket, "0.json", body(2))
        await journal.take(await anext(taken))
    await taken.aclose()  # type: ignore[attr-defined]
    await reader.close()
    assert journal.ids() == ["1", "2"]


@in_loop
async def test_a_missing_bucket_or_a_denial_is_for_the_operator(front: Front, bucket: str) -> None:
    with pytest.raises(Misconfigured, match="404"):
        await read(front.url, "no-such-bucket", Journalled())
    with front.denying(), pytest.raises(Misconfigured, match="403"):
        await read(front.url, bucket, Journalled())


@in_loop
async def test_names_of_any_text_are_read(fake_gcs: LocalServer, gcs: Any, bucket: str) -> None:
    for n, name in enumerate(["é/a b.json", "a%2Fb.json", "x?y#z.json"]):
        put(gcs, bucket, name, body(n))
    journal = Journalled()
    await read(fake_gcs.url, bucket, journal)
    assert sorted(journal.ids()) == ["0", "1", "2"]
