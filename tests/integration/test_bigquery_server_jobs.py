"""The local BigQuery's load jobs, as its genuine client finds them.

https://cloud.google.com/bigquery/docs/reference/rest/v2/Job, and for uploads
https://cloud.google.com/bigquery/docs/reference/api-uploads
"""

import gzip
import io
import json
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pyarrow as pa
import pyarrow.parquet
import pytest
from google.api_core.exceptions import BadRequest, Conflict, Forbidden, GoogleAPICallError, NotFound
from google.cloud import bigquery as bq
from support.bigquery import PROJECT, client, new_dataset, settings

from scribe_local import servers

SCHEMA = [
    bq.SchemaField("id", "INT64", "REQUIRED"),
    bq.SchemaField("material", "STRING"),
    bq.SchemaField("document", "JSON"),
    bq.SchemaField("peaks", "RECORD", "REPEATED", fields=[bq.SchemaField("hz", "FLOAT64")]),
]
ROWS: list[dict[str, Any]] = [
    {"id": 1, "material": "oak", "document": {"a": [1, 2.5]}, "peaks": [{"hz": 440}]},
    {"id": 2, "document": "text"},
]


@pytest.fixture
def table(bigquery_client: bq.Client, dataset: str) -> bq.Table:
    """An empty one."""
    return bigquery_client.create_table(bq.Table(f"{PROJECT}.{dataset}.scans", schema=SCHEMA))


@pytest.fixture
def own_settings(bigquery: servers.BigQuery) -> Iterator[servers.BigQuery]:
    """The server, whose settings are as before when the test is over."""
    yield bigquery
    settings(bigquery)


def _load(
    to: bq.Client,
    table: bq.Table | str,
    rows: list[dict[str, Any]] | bytes,
    *,
    job_id: str | None = None,
    resumable: bool = False,
    **config: Any,
) -> bq.LoadJob:
    data = rows if isinstance(rows, bytes) else b"\n".join(json.dumps(row).encode() for row in rows)
    config.setdefault("source_format", "NEWLINE_DELIMITED_JSON")
    return to.load_table_from_file(
        io.BytesIO(data),
        table,
        size=None if resumable else len(data),
        job_id=job_id,
        job_config=bq.LoadJobConfig(**config),
    )


def _ids(of: bq.Client, table: bq.Table | str) -> list[int]:
    return sorted(row["id"] for row in of.list_rows(of.get_table(table)))


def _failure(job: bq.LoadJob) -> GoogleAPICallError:
    with pytest.raises(GoogleAPICallError) as caught:
        job.result(timeout=30)
    return caught.value


@pytest.mark.parametrize("resumable", [False, True], ids=["multipart", "resumable"])
def test_a_file_is_loaded(bigquery_client: bq.Client, table: bq.Table, resumable: bool) -> None:
    job = _load(bigquery_client, table, ROWS, resumable=resumable)
    assert job.state in ("PENDING", "RUNNING")
    job.result(timeout=30)
    assert (job.state, job.output_rows, job.input_files, job.errors) == ("DONE", 2, 1, None)
    assert [row.values() for row in bigquery_client.list_rows(table)] == [
        (1, "oak", {"a": [1, 2.5]}, [{"hz": 440.0}]),
        (2, None, "text", []),
    ]


def test_a_file_may_come_in_pieces_and_an_interrupted_piece_again(
    bigquery: servers.BigQuery, bigquery_client: bq.Client, table: bq.Table
) -> None:
    data = b"\n".join(b'{"id": %d}' % number for number in range(40_000))
    configuration = {
        "load": {
            "sourceFormat": "NEWLINE_DELIMITED_JSON",
            "destinationTable": {"projectId": PROJECT, "datasetId": table.dataset_id, "tableId": table.table_id},
        }
    }
    size, half = len(data), 256 * 1024
    with httpx.Client(base_url=bigquery.url) as http:
        begun = http.post(
            f"/upload/bigquery/v2/projects/{PROJECT}/jobs",
            params={"uploadType": "resumable"},
            json={"jobReference": {"projectId": PROJECT, "jobId": "in-pieces"}, "configuration": configuration},
        )
        session = begun.headers["location"]
        for _ in range(2):
            piece = http.put(session, content=data[:half], headers={"content-range": f"bytes 0-{half - 1}/{size}"})
            assert (piece.status_code, piece.headers["range"]) == (308, f"bytes=0-{half - 1}")
        asked = http.put(session, headers={"content-range": f"bytes */{size}"})
        assert (asked.status_code, asked.headers["range"]) == (308, f"bytes=0-{half - 1}")
        last = http.put(session, content=data[half:], headers={"content-range": f"bytes {half}-{size - 1}/{size}"})
    assert last.status_code == 200
    bigquery_client.get_job("in-pieces").result(timeout=30)
    assert bigquery_client.get_table(table).num_rows == 40_000


# https://cloud.google.com/bigquery/docs/running-jobs#generate-jobid
def test_a_job_id_is_taken_once_also_by_a_job_that_failed(bigquery_client: bq.Client, table: bq.Table) -> None:
    good, bad = uuid.uuid4().hex, uuid.uuid4().hex
    _load(bigquery_client, table, ROWS, job_id=good).result(timeout=30)
    _failure(_load(bigquery_client, table, [{"id": "x"}], job_id=bad))
    for job_id in (good, bad):
        for resumable in (False, True):
            with pytest.raises(Conflict, match="Already Exists: Job"):
                _load(bigquery_client, table, ROWS, job_id=job_id, resumable=resumable)
    assert bigquery_client.get_job(good).state == "DONE"
    assert _ids(bigquery_client, table) == [1, 2]
    with pytest.raises(NotFound, match="Not found: Job"):
        bigquery_client.get_job("never-there")


def test_a_job_runs_until_it_is_done_and_shows_nothing_before(
    own_settings: servers.BigQuery, bigquery_client: bq.Client, table: bq.Table
) -> None:
    settings(own_settings, load_job_seconds=3600)
    job_id = uuid.uuid4().hex
    job = _load(bigquery_client, table, ROWS, job_id=job_id)
    assert bigquery_client.get_job(job_id).state == "RUNNING"
    assert not job.done()
    assert _ids(bigquery_client, table) == []
    with pytest.raises(Conflict):
        _load(bigquery_client, table, ROWS, job_id=job_id)
    job.cancel()
    assert _failure(job).errors[0]["reason"] == "stopped"
    assert _ids(bigquery_client, table) == []
    settings(own_settings, load_job_seconds=0.2)
    _load(bigquery_client, table, ROWS).result(timeout=30)
    assert _ids(bigquery_client, table) == [1, 2]


@pytest.mark.parametrize(
    ("row", "named"),
    [
        (b'{"id": "x"}', "Cannot convert value to integer (bad value): x"),
        (b'{"id": 3, "unknown": 1}', "no such field: unknown."),
        (b'{"material": "oak"}', "Missing required field: id."),
        (b'{"id": 3, "peaks": {"hz": 1}}', "Repeated field must be imported as a JSON array"),
        (b'{"id": 3, "peaks": [{"hz": "high"}]}', "Cannot convert value to double"),
        (b'{"id": 3', "Parser terminated before end of string"),
        (b"[3]", "not a JSON object"),
    ],
)
def test_one_bad_row_and_nothing_is_loaded(bigquery_client: bq.Client, table: bq.Table, row: bytes, named: str) -> None:
    job = _load(bigquery_client, table, b'{"id": 1}\n' + row + b'\n{"id": 2}')
    error = _failure(job)
    assert isinstance(error, BadRequest)
    assert job.error_result is not None
    assert job.errors is not None
    assert job.error_result["reason"] == "invalid"
    assert "encountered too many errors, giving up. Rows: 2; errors: 1." in job.error_result["message"]
    assert "row starting at position 10: " in job.errors[1]["message"]
    assert named in job.errors[1]["message"]
    assert _ids(bigquery_client, table) == []


def test_bad_rows_may_be_left_out_up_to_a_number(bigquery_client: bq.Client, table: bq.Table) -> None:
    rows: list[dict[str, Any]] = [{"id": 1}, {"id": "x"}, {"id": "y"}, {"id": 2}]
    _failure(_load(bigquery_client, table, rows, max_bad_records=1))
    assert _ids(bigquery_client, table) == []
    job = _load(bigquery_client, table, rows, max_bad_records=2)
    job.result(timeout=30)
    assert job.output_rows == 2
    assert job.error_result is None
    assert job.errors is not None
    assert len(job.errors) == 2
    assert _ids(bigquery_client, table) == [1, 2]


def test_unknown_fields_are_left_out_if_asked(bigquery_client: bq.Client, table: bq.Table) -> None:
    _load(bigquery_client, table, [{"id": 1, "unknown": {"a": 1}}], ignore_unknown_values=True).result(timeout=30)
    assert _ids(bigquery_client, table) == [1]


def test_a_file_may_be_gzip(bigquery_client: bq.Client, table: bq.Table) -> None:
    _load(bigquery_client, table, gzip.compress(b'{"id": 1}\n{"id": 2}\n')).result(timeout=30)
    assert _ids(bigquery_client, table) == [1, 2]


# https://cloud.google.com/bigquery/quotas#load_jobs
@pytest.mark.slow
def test_a_row_of_json_has_at_most_100_mb(bigquery_client: bq.Client, table: bq.Table) -> None:
    large = b'{"id": 1, "material": "%s"}' % (b"x" * (100 * 1024 * 1024))
    _failure(_load(bigquery_client, table, gzip.compress(large, 1)))
    assert _ids(bigquery_client, table) == []


# https://cloud.google.com/bigquery/docs/managing-table-schemas
def test_columns_are_added_only_if_the_job_may(bigquery_client: bq.Client, table: bq.Table) -> None:
    wider = [*SCHEMA, bq.SchemaField("new", "STRING")]
    rows = [{"id": 1, "new": "x"}]
    error = _failure(_load(bigquery_client, table, rows, schema=wider))
    assert "Cannot add fields (field: new)" in str(error)
    assert len(bigquery_client.get_table(table).schema) == len(SCHEMA)
    _load(bigquery_client, table, rows, schema=wider, schema_update_options=["ALLOW_FIELD_ADDITION"]).result(timeout=30)
    assert bigquery_client.get_table(table).schema[-1].name == "new"
    narrower = [*SCHEMA[:1], bq.SchemaField("new", "STRING")]
    _load(bigquery_client, table, [{"id": 2, "new": "y"}], schema=narrower).result(timeout=30)
    assert [(row["id"], row["new"]) for row in bigquery_client.list_rows(bigquery_client.get_table(table))] == [
        (1, "x"),
        (2, "y"),
    ]
    changed = [bq.SchemaField("id", "STRING", "REQUIRED")]
    error = _failure(_load(bigquery_client, table, [{"id": "3"}], schema=changed))
    assert "has changed type from INTEGER to STRING" in str(error)


def test_what_is_in_the_table_stays_goes_or_is_in_the_way(bigquery_client: bq.Client, table: bq.Table) -> None:
    for disposition, found in (("WRITE_EMPTY", [1]), ("WRITE_APPEND", [1, 1]), ("WRITE_TRUNCATE", [1])):
        _load(bigquery_client, table, [{"id": 1}], write_disposition=disposition).result(timeout=30)
        assert _ids(bigquery_client, table) == found
    error = _failure(_load(bigquery_client, table, [{"id": 2}], write_disposition="WRITE_EMPTY"))
    assert isinstance(error, Conflict)
    assert _ids(bigquery_client, table) == [1]
    _failure(_load(bigquery_client, table, [{"id": "x"}], write_disposition="WRITE_TRUNCATE"))
    assert _ids(bigquery_client, table) == [1]


def test_a_missing_table_is_created_only_if_the_job_may(bigquery_client: bq.Client, dataset: str) -> None:
    name = f"{PROJECT}.{dataset}.made"
    error = _failure(_load(bigquery_client, name, ROWS, schema=SCHEMA, create_disposition="CREATE_NEVER"))
    assert isinstance(error, NotFound)
    error = _failure(_load(bigquery_client, name, ROWS))
    assert "No schema specified" in str(error)
    wanted = bq.TimePartitioning(field="at")
    schema = [*SCHEMA, bq.SchemaField("at", "TIMESTAMP")]
    _failure(_load(bigquery_client, name, [{"id": "x"}], schema=schema))
    with pytest.raises(NotFound):
        bigquery_client.get_table(name)
    _load(bigquery_client, name, ROWS, schema=schema, time_partitioning=wanted, clustering_fields=["material"]).result(
        timeout=30
    )
    made = bigquery_client.get_table(name)
    assert (made.time_partitioning, made.clustering_fields, made.num_rows) == (wanted, ["material"], 2)
    with pytest.raises(NotFound, match="Not found: Dataset"):
        _load(bigquery_client, f"{PROJECT}.nowhere.made", ROWS, schema=SCHEMA)


# https://cloud.google.com/bigquery/docs/loading-data-cloud-storage-parquet
def test_a_parquet_file_is_loaded_whose_lists_are_repeated_if_asked(bigquery_client: bq.Client, dataset: str) -> None:
    schema = [
        bq.SchemaField("id", "INT64"),
        bq.SchemaField("at", "TIMESTAMP"),
        bq.SchemaField("tags", "STRING", "REPEATED"),
        bq.SchemaField("peaks", "RECORD", "REPEATED", fields=[bq.SchemaField("hz", "FLOAT64")]),
    ]
    table = bigquery_client.create_table(bq.Table(f"{PROJECT}.{dataset}.parquet", schema=schema))
    rows = pa.table(
        {
            "id": pa.array([1, 2], pa.int32()),
            "at": pa.array([1_700_000_000_000, None], pa.timestamp("ms", tz="UTC")),
            "tags": [["a", "b"], []],
            "peaks": pa.array([[{"hz": 1.5}], None], pa.list_(pa.struct([("hz", pa.float64())]))),
        }
    )
    options = bq.format_options.ParquetOptions()
    options.enable_list_inference = True
    _load(bigquery_client, table, _parquet(rows), source_format="PARQUET", parquet_options=options).result(timeout=30)
    assert [(row["id"], row["tags"], row["peaks"]) for row in bigquery_client.list_rows(table)] == [
        (1, ["a", "b"], [{"hz": 1.5}]),
        (2, [], []),
    ]
    _failure(_load(bigquery_client, table, _parquet(rows), source_format="PARQUET"))
    text = pa.table({"id": ["1"]})
    error = _failure(_load(bigquery_client, table, _parquet(text), source_format="PARQUET"))
    assert "has type STRING, which does not match the column's INTEGER" in str(error)
    more = pa.table({"id": [3], "new": ["x"]})
    _failure(_load(bigquery_client, table, _parquet(more), source_format="PARQUET"))
    updates = ["ALLOW_FIELD_ADDITION"]
    _load(bigquery_client, table, _parquet(more), source_format="PARQUET", schema_update_options=updates).result(
        timeout=30
    )
    assert _ids(bigquery_client, table) == [1, 2, 3]


# https://cloud.google.com/bigquery/docs/json-data#limitations
def test_a_parquet_file_has_no_json_column(bigquery_client: bq.Client, table: bq.Table) -> None:
    rows = pa.table({"id": [1], "document": ["{}"]})
    _failure(_load(bigquery_client, table, _parquet(rows), source_format="PARQUET"))
    assert _ids(bigquery_client, table) == []


# https://cloud.google.com/bigquery/quotas#load_jobs, .../docs/troubleshoot-quotas
def test_a_table_has_a_number_of_load_jobs_a_day_failed_ones_too(
    own_settings: servers.BigQuery, bigquery_client: bq.Client, table: bq.Table
) -> None:
    settings(own_settings, load_jobs_per_table_per_day=2)
    _failure(_load(bigquery_client, table, [{"id": "x"}]))
    _load(bigquery_client, table, [{"id": 1}]).result(timeout=30)
    error = _failure(_load(bigquery_client, table, [{"id": 2}]))
    assert isinstance(error, Forbidden)
    assert error.errors[0]["reason"] == "quotaExceeded"
    assert _ids(bigquery_client, table) == [1]


def test_what_the_server_does_not_know_is_refused_and_the_id_stays_free(
    bigquery_client: bq.Client, table: bq.Table
) -> None:
    job_id = uuid.uuid4().hex
    with pytest.raises(GoogleAPICallError, match="does not support autodetect"):
        _load(bigquery_client, table, ROWS, job_id=job_id, autodetect=True)
    with pytest.raises(GoogleAPICallError, match="does not support load jobs of CSV"):
        _load(bigquery_client, table, b"1,2", job_id=job_id, source_format="CSV")
    _load(bigquery_client, table, ROWS, job_id=job_id).result(timeout=30)


def test_tables_rows_and_jobs_last_over_a_kill_and_an_interrupted_job_has_failed(tmp_path: Path) -> None:
    with servers.bigquery(keep=True, folder=tmp_path) as server:
        genuine = client(server.url)
        table = genuine.create_table(bq.Table(f"{PROJECT}.{new_dataset(genuine)}.scans", schema=SCHEMA))
        _load(genuine, table, ROWS, job_id="done").result(timeout=30)
        settings(server, load_job_seconds=3600)
        _load(genuine, table, ROWS, job_id="running")
        server.kill()
        server.start()
        assert genuine.get_job("done").state == "DONE"
        assert genuine.get_job("running").error_result["reason"] == "backendError"
        with pytest.raises(Conflict):
            _load(genuine, table, ROWS, job_id="done")
        assert _ids(genuine, table) == [1, 2]
        genuine.close()


def _parquet(rows: Any) -> bytes:
    written = io.BytesIO()
    pyarrow.parquet.write_table(rows, written)
    return written.getvalue()
