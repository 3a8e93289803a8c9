"""The program itself before BigQuery: a bad row among many, a kill in the middle, poison, and a table as a source."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from google.cloud.bigquery import Client
from support.bigquery import PROJECT, client, new_dataset, settings
from support.front import Answer, Front, Received
from support.pipeline import Pipeline, until
from support.warehouse import count_of, make_table, rows_of

from scribe_export.testing.records import scan_body, scan_document
from scribe_local import servers

UNAVAILABLE, DENIED = Answer(503), Answer(403)


@pytest.fixture
def warehouse(bigquery: servers.BigQuery) -> Iterator[Client]:
    with_client = client(bigquery.url)
    yield with_client
    with_client.close()
    settings(bigquery)


@pytest.fixture
def dataset(warehouse: Client) -> str:
    return new_dataset(warehouse)


def place(server: servers.BigQuery, dataset: str, **more: Any) -> dict[str, Any]:
    return {
        "type": "gcp_bigquery",
        "project": PROJECT,
        "endpoint_url": server.url,
        "storage_endpoint_url": f"http://{server.target}",
        "dataset": dataset,
        "table": "scans",
        "min_table_age": "0s",
        "retry": {"base_delay": "20ms", "max_delay": "1s", "max_attempts": 3},
        "breaker": {"timeout": "200ms"},
        **more,
    }


def pipeline_of(folder: Path, bodies: list[bytes], destination: Mapping[str, Any]) -> Pipeline:
    pipeline = Pipeline(folder, {"warehouse": destination}, sources={"scans": {"type": "file", "path": "scans.jsonl"}})
    (folder / "scans.jsonl").write_bytes(b"".join(body + b"\n" for body in bodies))
    return pipeline


def dead_of(pipeline: Pipeline) -> list[tuple[Any, ...]]:
    return pipeline.query("SELECT scan_id, class FROM delivery JOIN scan USING(seq)") + pipeline.query(
        "SELECT scan_id, class FROM batch JOIN scan ON seq BETWEEN first_seq AND last_seq WHERE state = 'dead'"
    )


def five_hundred() -> list[bytes]:
    """One of them without a confidence."""
    bad = json.dumps(scan_document(250) | {"interpretation": {}}).encode()
    return [bad if number == 250 else scan_body(number) for number in range(1, 501)]


@pytest.mark.timeout(120)
@pytest.mark.parametrize("method", ["load", "storage_write", "insert_rows"])
@pytest.mark.fault("F-12")
def test_one_bad_row_in_500_leaves_499_rows_and_one_dead_letter(
    tmp_path: Path, bigquery: servers.BigQuery, warehouse: Client, dataset: str, method: str
) -> None:
    make_table(warehouse, dataset, required=["confidence"])
    with pipeline_of(tmp_path / "it", five_hundred(), place(bigquery, dataset, method=method)) as pipeline:
        finished = pipeline.until_idle("--max-wait", "60s")
        assert finished.returncode == 1, finished.stderr[-2000:]
        assert dead_of(pipeline) == [("250", "row")]
        row = pipeline.status()["warehouse"]
    assert (row.delivered, row.dead, row.pending) == (499, 1, 0)
    found = [int(one["scan_id"]) for one in rows_of(warehouse, dataset)]
    assert sorted(found) == [number for number in range(1, 501) if number != 250]


@pytest.mark.timeout(180)
def test_a_bad_row_that_the_job_does_not_name_is_found_all_the_same(
    tmp_path: Path, bigquery: servers.BigQuery, warehouse: Client, dataset: str
) -> None:
    make_table(warehouse, dataset, required=["confidence"])
    blur = lambda _, body: body.replace(b"starting at position", b"somewhere after")  # noqa: E731
    with (
        Front(bigquery.port, unavailable=UNAVAILABLE, denied=DENIED) as front,
        front.meddling(lambda came: came.body, blur),
        pipeline_of(
            tmp_path / "it", five_hundred()[200:264], place(bigquery, dataset, endpoint_url=front.url)
        ) as pipeline,
    ):
        finished = pipeline.until_idle("--max-wait", "120s", within=150)
        assert finished.returncode == 1, finished.stderr[-2000:]
        assert [scan_id for scan_id, _ in dead_of(pipeline)] == ["250"]
    assert count_of(warehouse, dataset) == 63


@pytest.mark.timeout(120)
@pytest.mark.fault("F-09")
def test_a_kill_between_the_upload_and_its_end_finds_the_same_job_again(
    tmp_path: Path, bigquery: servers.BigQuery, warehouse: Client, dataset: str
) -> None:
    make_table(warehouse, dataset)
    settings(bigquery, load_job_seconds=3.0)
    bodies = [scan_body(number) for number in range(1, 101)]
    with Front(bigquery.port, unavailable=UNAVAILABLE, denied=DENIED) as front:

        def uploads() -> list[Received]:
            return [one for one in front.received if one.path.startswith("/upload/")]

        with pipeline_of(tmp_path / "it", bodies, place(bigquery, dataset, endpoint_url=front.url)) as pipeline:
            run = pipeline.start("--until-idle")
            until(lambda: len(uploads()) == 1, what="the upload")
            run.kill()
            assert count_of(warehouse, dataset) == 0
            finished = pipeline.until_idle("--max-wait", "60s")
            assert finished.returncode == 0, finished.stderr[-2000:]
            assert pipeline.status()["warehouse"].delivered == 100
        names = {one.body.split(b'"jobId": "')[1].split(b'"')[0] for one in uploads()}
    assert len(names) == 1, "the second run gave the job another name"
    assert count_of(warehouse, dataset) == 100


POISON = [
    b'{"scan_id":"n1","x":NaN}',
    b'{"scan_id":"n2","x":1e999}',
    b'{"scan_id":"i1","x":9223372036854775808}',
    b'{"scan_id":"i2","x":%d}' % 10**40,
    b'{"scan_id":"i3","x":%s}' % (b"9" * 5000),
    b'{"scan_id":"s1","x":"\\ud800"}',
    b'{"scan_id":"s2","x":"a\\u0000b"}',
    b'{"scan_id":"d1","x":%s}' % (b"[" * 400 + b"]" * 400),
    b'{"scan_id":"m1","interpretation":{"pattern_matches":{"materials":[]}}}',
    b'{"scan_id":"m2","interpretation":{"pattern_matches":{"materials":"oak"}}}',
    b'{"scan_id":"../../etc","x":1}',
    b'{"scan_id":"a`; DROP TABLE scans; --","x":1}',
    b'{"scan_id":"t1","timestamp":"2026-05-06T19:00:00"}',
    b'{"scan_id":"t2","timestamp":"0000-01-01T00:00:00Z"}',
    b'{"scan_id":"t3","timestamp":"9999-12-31T23:59:59.999999Z"}',
    b'{"scan_id":"t4","timestamp":1778094000123}',
    b'{"scan_id":"k1","__proto__":1,"":2,"a.b":3,"$c":4}',
    b'{"scan_id":7,"x":-0.0}',
    b"[1,2]",
    b"",
]
NEVER = {"n1", "n2", "i2", "i3", "s1", "t2"}


@pytest.mark.timeout(180)
@pytest.mark.parametrize("method", ["load", "storage_write", "insert_rows"])
@pytest.mark.fault("F-33")
def test_poison_among_good_scans_blocks_none_of_them(
    tmp_path: Path, bigquery: servers.BigQuery, warehouse: Client, dataset: str, method: str
) -> None:
    make_table(warehouse, dataset)
    good = [scan_body(number) for number in range(1000, 1000 + 10 * len(POISON))]
    mixed = [body for number, bad in enumerate(POISON) for body in (*good[number * 10 : number * 10 + 10], bad)]
    with pipeline_of(tmp_path / "it", mixed, place(bigquery, dataset, method=method)) as pipeline:
        finished = pipeline.until_idle("--max-wait", "120s", within=150)
        assert finished.returncode == 1, finished.stderr[-2000:]
        status = pipeline.status()["warehouse"]
        assert status.pending == 0
        assert {kind for _, kind in dead_of(pipeline)} <= {"number", "timestamp", "invalid"}
    found = {row["scan_id"]: row for row in rows_of(warehouse, dataset)}
    ids = {named[1].decode() for body in POISON if (named := re.match(rb'{"scan_id":"?(.*?)"?,"', body))}
    assert found.keys() == {str(number) for number in range(1000, 1000 + len(good))} | (ids - NEVER)
    assert found["i1"]["document"]["x"] == 2**63
    assert found["t1"]["timestamp"].isoformat() == "2026-05-06T19:00:00+00:00"


@pytest.mark.timeout(120)
def test_a_table_feeds_another_destination_once_also_when_it_has_grown(
    tmp_path: Path, bigquery: servers.BigQuery, warehouse: Client, dataset: str
) -> None:
    make_table(warehouse, dataset)
    folder = tmp_path / "first"
    with pipeline_of(folder, [scan_body(n) for n in range(1, 301)], place(bigquery, dataset)) as pipeline:
        assert pipeline.until_idle().returncode == 0
    source = {"type": "gcp_bigquery", "project": PROJECT, "endpoint_url": bigquery.url, "dataset": dataset}
    copy = Pipeline(
        tmp_path / "second",
        {"copy": {"type": "file", "directory": "copy", "key": "scans/{scan_id}.json"}},
        sources={"old": {**source, "table": "scans", "page_size": 70, "rows_per_query": 130}},
    )

    def written() -> dict[str, Path]:
        return {path.stem: path for path in (tmp_path / "second" / "copy").rglob("*.json")}

    with copy:
        assert copy.until_idle().returncode == 0
        assert len(written()) == 300
        assert json.loads(written()["17"].read_bytes()) == json.loads(scan_body(17))
        assert copy.until_idle().returncode == 0
        assert copy.status()["copy"].delivered == 300
        more = folder / "scans.jsonl"
        more.write_bytes(more.read_bytes() + b"".join(scan_body(n) + b"\n" for n in range(301, 311)))
        with Pipeline(
            folder,
            {"warehouse": place(bigquery, dataset)},
            sources={"scans": {"type": "file", "path": "scans.jsonl"}},
        ) as again:
            assert again.until_idle().returncode == 0
        assert copy.until_idle().returncode == 0
        assert copy.status()["copy"].delivered == 310
    assert count_of(warehouse, dataset) == 310
