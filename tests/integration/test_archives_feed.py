"""Any archive feeds any destination, and nothing is sent twice, also when the journal has long forgotten the scans."""

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack
from functools import partial
from pathlib import Path
from typing import Any

import anyio
import pytest
from support import places
from support.pipeline import Pipeline
from support.places import Place

from scribe_export.archives.codec import same_json
from scribe_export.exporter import Exporter
from scribe_export.testing.records import scan_body

FIRST, LATER = 40, 10
ODD = [
    b'{"scan_id": "Eiche/\\u00e4 b", "timestamp": "2026-03-01T09:30:00", "note": "\xe6\x9c\xa8\\n"}',
    b'{"scan_id": "0070", "timestamp": "2026-03-01T09:30:00+02:00", "tiny": 1e-7, "big": 9007199254740993, "none": null}',
    b'{"scan_id": 1000, "timestamp": "2026-03-02T23:59:59.123456Z", "nested": {"a": [[], {}, [1.5, -0.0, true]]}}',
    b'{"scan_id": "no-time", "response": {"audio_data": [0.125, 0.25]}}',
]
"""Ids and values that one service or the other could bend."""
FORGETFUL: dict[str, Any] = {"journal": {"quota": "1GiB", "history": "1ms"}}
"""Each start forgets every scan that was delivered before, but the newest: months pass in a moment."""

Open = Callable[[pytest.FixtureRequest, Path], AbstractContextManager[Place]]


def aws(make: Callable[..., AbstractContextManager[Place]], *args: Any, **settings: Any) -> Open:
    return lambda request, _: make(request.getfixturevalue("ministack"), *args, **settings)


def google(server: str, make: Callable[..., AbstractContextManager[Place]], *args: Any, **settings: Any) -> Open:
    return lambda request, _: make(request.getfixturevalue(server), *args, **settings)


SCANS_KEY, BATCHES_KEY = "scans/{timestamp:%Y/%m/%d}/{scan_id}.json", "scans/{timestamp:%Y-%m-%d}/{batch_id}.{ext}"
FILES: Open = lambda request, folder: places.files(folder)  # noqa: E731 - as the others
CASES: Mapping[str, tuple[Open, Open]] = {
    "S3, an object a scan, to BigQuery by load jobs": (
        aws(places.s3, SCANS_KEY),
        google("bigquery", places.bigquery, "load"),
    ),
    "S3, JSON lines, to Cloud Storage": (
        aws(places.s3, BATCHES_KEY, compression="zstd"),
        google("fake_gcs", places.gcs, BATCHES_KEY),
    ),
    "S3, Parquet, to BigQuery by streams": (
        aws(places.s3, BATCHES_KEY, format="parquet"),
        google("bigquery", places.bigquery, "storage_write"),
    ),
    "S3, an object a scan, to SQS": (aws(places.s3, SCANS_KEY), aws(places.sqs)),
    "Cloud Storage, an object a scan, to DynamoDB": (
        google("fake_gcs", places.gcs, SCANS_KEY),
        aws(places.dynamodb),
    ),
    "Cloud Storage, JSON lines, to Pub/Sub": (
        google("fake_gcs", places.gcs, BATCHES_KEY, compression="gzip"),
        google("pubsub", places.pubsub),
    ),
    "DynamoDB to files": (aws(places.dynamodb), FILES),
    "BigQuery to S3, Parquet": (
        google("bigquery", places.bigquery, "load"),
        aws(places.s3, BATCHES_KEY, format="parquet"),
    ),
}


@pytest.fixture(params=CASES.values(), ids=list(CASES))
def ends(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple[Place, Place]]:
    archive, destination = request.param
    with ExitStack() as stack:
        opened = [stack.enter_context(make(request, tmp_path / "files")) for make in (archive, destination)]
        yield opened[0], opened[1]


def test_an_archive_feeds_another_destination_and_sends_nothing_twice(
    tmp_path: Path, ends: tuple[Place, Place]
) -> None:
    archive, destination = ends
    early = [*ODD, *(scan_body(number) for number in range(1, FIRST + 1))]
    late = [scan_body(number) for number in range(FIRST + 1, FIRST + LATER + 1)]
    archived = Pipeline(
        tmp_path / "before", {"archive": archive.destination}, sources={"scans": {"type": "file", "path": "*.jsonl"}}
    )
    feed = Pipeline(tmp_path / "feed", {"there": destination.destination}, sources={"old": archive.source}, **FORGETFUL)
    with archived, feed:
        _archive(archived, "early", early)
        run = partial(_run, feed, destination)
        run(early)
        run(early)
        assert feed.query("SELECT count(*) FROM scan") == [(1,)], "the journal still knows the scans by their ids"
        _archive(archived, "late", late)
        run([*early, *late])


def _archive(pipeline: Pipeline, name: str, scans: Sequence[bytes]) -> None:
    (pipeline.folder / f"{name}.jsonl").write_bytes(b"".join(scan + b"\n" for scan in scans))

    async def fill() -> None:
        async with Exporter(pipeline.load(), once=True) as exporter:
            assert await exporter.until_idle(60), pipeline.status()
        assert not any(row.dead for row in pipeline.status().values())

    anyio.run(fill)


def _run(pipeline: Pipeline, destination: Place, expected: Sequence[bytes]) -> None:
    """Run it to its end; then every scan is there once, and nothing else."""
    finished = pipeline.until_idle("--max-wait", "60s")
    assert finished.returncode == 0, finished.stderr[-3000:]
    held = destination.held()
    ids = [_scan_id(body) for body in held]
    assert sorted(ids) == sorted(map(_scan_id, expected))
    sent = {_scan_id(body): body for body in expected}
    bent = [body for scan_id, body in zip(ids, held, strict=True) if not same_json(body, sent[scan_id])]
    assert not bent, bent[0][:1000]


def _scan_id(body: bytes) -> str:
    return str(json.loads(body)["scan_id"])
