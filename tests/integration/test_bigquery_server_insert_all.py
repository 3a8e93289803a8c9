"""The local BigQuery's insertAll, as its genuine client finds it.

https://cloud.google.com/bigquery/docs/streaming-data-into-bigquery
"""

import gzip
import json
import uuid
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from google.api_core.exceptions import BadRequest, GoogleAPICallError, NotFound
from google.cloud import bigquery as bq
from support.bigquery import PROJECT, settings

from scribe_local import servers

SCHEMA = [
    bq.SchemaField("id", "INT64", "REQUIRED"),
    bq.SchemaField("document", "JSON"),
    bq.SchemaField("peak", "RECORD", fields=[bq.SchemaField("hz", "FLOAT64", "REQUIRED")]),
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


def _ids(of: bq.Client, table: bq.Table) -> list[int]:
    return sorted(row["id"] for row in of.list_rows(table))


def _reasons(errors: Any) -> list[tuple[int, str, str]]:
    return [(error["index"], error["errors"][0]["reason"], error["errors"][0]["location"]) for error in errors]


# https://cloud.google.com/bigquery/docs/reference/rest/v2/tabledata/insertAll#response-body
def test_one_invalid_row_stops_the_others_unless_they_may_go_alone(bigquery_client: bq.Client, table: bq.Table) -> None:
    rows: list[dict[str, Any]] = [{"id": 1}, {"id": "x"}, {"id": 2, "peak": {"hz": "high"}}, {"id": 3, "new": 1}, {}]
    invalid = [(1, "invalid", "id"), (2, "invalid", "peak.hz"), (3, "invalid", "new"), (4, "invalid", "id")]
    assert _reasons(bigquery_client.insert_rows_json(table, rows)) == [(0, "stopped", ""), *invalid]
    assert _ids(bigquery_client, table) == []
    assert _reasons(bigquery_client.insert_rows_json(table, rows, skip_invalid_rows=True)) == invalid
    assert _ids(bigquery_client, table) == [1]


def test_unknown_fields_are_left_out_if_asked(bigquery_client: bq.Client, table: bq.Table) -> None:
    row = {"id": 1, "new": 1, "peak": {"hz": 1, "db": 2}}
    assert _reasons(bigquery_client.insert_rows_json(table, [row])) == [(0, "invalid", "new")]
    assert bigquery_client.insert_rows_json(table, [row], ignore_unknown_values=True) == []
    assert _ids(bigquery_client, table) == [1]


# https://cloud.google.com/bigquery/docs/json-data#use_the_storage_write_api_rest
def test_a_json_column_takes_text_of_json(bigquery_client: bq.Client, table: bq.Table) -> None:
    texts = ['{"a": [1, 2.5]}', '"text"', "20", "null"]
    rows = [{"id": number, "document": text} for number, text in enumerate(texts)]
    assert bigquery_client.insert_rows_json(table, rows) == []
    assert bigquery_client.insert_rows(table, [{"id": 4, "document": {"b": 1}}]) == []
    assert [row["document"] for row in bigquery_client.list_rows(table)] == [
        {"a": [1, 2.5]},
        "text",
        20,
        None,
        {"b": 1},
    ]
    for document in ("{", "not JSON", {"a": 1}):
        errors = bigquery_client.insert_rows_json(table, [{"id": 5, "document": document}])
        assert _reasons(errors) == [(0, "invalid", "document")]


# https://cloud.google.com/bigquery/docs/reference/standard-sql/data-types
@pytest.mark.parametrize(
    ("kind", "good", "bad"),
    [
        ("INT64", [2**63 - 1, str(-(2**63)), 5.0], [2**63, 1.5, "1e3", "", True]),
        ("FLOAT64", ["NaN", "-Infinity", "1e3", 7], ["", "1_000", "0x1", "1e400", False]),
        ("BOOL", [True, "FALSE"], [1, "yes"]),
        ("NUMERIC", ["9" * 29 + ".999999999", "-1e28", 0.1], ["1" * 30, "NaN", "x"]),
        ("STRING", ["", "\x00", 5, True], [[], {}]),
        ("BYTES", ["AA==", ""], ["A", "===="]),
        (
            "TIMESTAMP",
            ["0001-01-01T00:00:00Z", "9999-12-31 23:59:59.999999 UTC", "2026-1-2", "2026-01-02T03:04:05+01:00", -0.5],
            ["10000-01-01", "2026-02-30", "2026-01-02 03:04:05.1234567", "now", 1e300],
        ),
        ("DATE", ["0001-01-01", "2026/01/02"], ["2026-02-30", 5]),
        ("DATETIME", ["2026-01-02", "2026-01-02T03:04:05.5"], ["2026-01-02T03:04:05Z"]),
        ("TIME", ["23:59:59.999999", "03:04"], ["24:00:00", 5]),
        ("JSON", ["[" * 400 + "]" * 400, '{"a":1e-400}'], ["[" * 2000 + "]" * 2000, "", "NaN", "01", '"\\ud800"']),
    ],
)
def test_a_value_is_taken_or_its_row_is_invalid(
    bigquery_client: bq.Client, dataset: str, kind: str, good: list[Any], bad: list[Any]
) -> None:
    table = bigquery_client.create_table(bq.Table(f"{PROJECT}.{dataset}.typed", schema=[bq.SchemaField("v", kind)]))
    rows = [{"v": value} for value in [*good, *bad]]
    errors = bigquery_client.insert_rows_json(table, rows, skip_invalid_rows=True)
    assert _reasons(errors) == [(index, "invalid", "v") for index in range(len(good), len(rows))]
    assert len(list(bigquery_client.list_rows(table))) == len(good)


# https://cloud.google.com/bigquery/docs/streaming-data-into-bigquery#dataconsistency
def test_an_insert_id_is_remembered_for_a_while(
    own_settings: servers.BigQuery, bigquery_client: bq.Client, table: bq.Table
) -> None:
    for _ in range(2):
        assert bigquery_client.insert_rows_json(table, [{"id": 1}, {"id": 2}, {"id": 2}], row_ids=["a", "b", "b"]) == []
    assert _ids(bigquery_client, table) == [1, 2]
    settings(own_settings, insert_id_seconds=0)
    assert bigquery_client.insert_rows_json(table, [{"id": 1}], row_ids=["a"]) == []
    no_ids = [None, None]
    assert bigquery_client.insert_rows_json(table, [{"id": 3}, {"id": 3}], row_ids=no_ids) == []
    assert _ids(bigquery_client, table) == [1, 1, 2, 3, 3]


def test_the_insert_id_of_a_refused_row_is_not_remembered(bigquery_client: bq.Client, table: bq.Table) -> None:
    assert bigquery_client.insert_rows_json(table, [{"id": 1}, {"id": "x"}], row_ids=["a", "b"]) != []
    assert bigquery_client.insert_rows_json(table, [{"id": 1}, {"id": 2}], row_ids=["a", "b"]) == []
    assert _ids(bigquery_client, table) == [1, 2]
    too_long = bigquery_client.insert_rows_json(table, [{"id": 3}], row_ids=["x" * 129])
    assert _reasons(too_long) == [(0, "invalid", "insertId")]


# https://cloud.google.com/bigquery/quotas#streaming_inserts
def test_a_request_has_limits(bigquery_client: bq.Client, table: bq.Table) -> None:
    large = [{"id": number, "document": json.dumps("x" * 1_000_000)} for number in range(11)]
    with pytest.raises(GoogleAPICallError) as caught:
        bigquery_client.insert_rows_json(table, large)
    assert caught.value.code == 413
    with pytest.raises(BadRequest, match="Too many rows"):
        bigquery_client.insert_rows_json(table, [{"id": 1}] * 50_001)
    with pytest.raises(BadRequest, match="No rows"):
        bigquery_client.insert_rows_json(table, [])
    assert _ids(bigquery_client, table) == []
    assert bigquery_client.insert_rows_json(table, large[:9]) == []


def test_a_body_may_be_gzip(bigquery: servers.BigQuery, bigquery_client: bq.Client, table: bq.Table) -> None:
    path = f"/bigquery/v2/projects/{PROJECT}/datasets/{table.dataset_id}/tables/{table.table_id}/insertAll"
    body = gzip.compress(b'{"rows": [{"json": {"id": 1}}]}')
    headers = {"content-encoding": "gzip", "content-type": "application/json"}
    answer = httpx.post(bigquery.url + path, content=body, headers=headers)
    assert (answer.status_code, answer.json()) == (200, {"kind": "bigquery#tableDataInsertAllResponse"})
    assert _ids(bigquery_client, table) == [1]


# googleapis/python-bigquery#1331 and googleapis/google-cloud-go#975: not found at first, then accepted and lost
def test_a_new_table_may_be_missing_and_may_lose_what_is_streamed_to_it(
    own_settings: servers.BigQuery, bigquery_client: bq.Client, table: bq.Table
) -> None:
    settings(own_settings, new_table_missing_seconds=3600)
    with pytest.raises(NotFound):
        bigquery_client.insert_rows_json(table, [{"id": 1}])
    settings(own_settings, new_table_missing_seconds=0, new_table_blackhole_seconds=3600)
    assert bigquery_client.insert_rows_json(table, [{"id": 1}]) == []
    assert _ids(bigquery_client, table) == []
    settings(own_settings)
    assert bigquery_client.insert_rows_json(table, [{"id": 2}]) == []
    assert _ids(bigquery_client, table) == [2]


# https://cloud.google.com/bigquery/docs/streaming-data-into-bigquery#dataavailability
# https://cloud.google.com/bigquery/docs/data-manipulation-language#limitations
def test_streamed_rows_are_buffered_for_a_while(
    own_settings: servers.BigQuery, bigquery_client: bq.Client, table: bq.Table
) -> None:
    settings(own_settings, streaming_buffer_seconds=3600)
    assert bigquery_client.insert_rows_json(table, [{"id": 1}, {"id": 2}]) == []
    found = bigquery_client.get_table(table)
    assert found.streaming_buffer is not None
    assert (found.num_rows, found.streaming_buffer.estimated_rows) == (0, 2)
    assert _ids(bigquery_client, table) == [1, 2]
    delete = f"DELETE FROM `{table}` WHERE id = 1"
    with pytest.raises(BadRequest, match="streaming buffer"):
        bigquery_client.query(delete).result()
    settings(own_settings, streaming_buffer_seconds=0)
    found = bigquery_client.get_table(table)
    assert (found.num_rows, found.streaming_buffer) == (2, None)
    assert bigquery_client.query(delete).result().num_dml_affected_rows == 1
    assert _ids(bigquery_client, table) == [2]


def test_a_setting_that_is_not_known_is_refused(bigquery: servers.BigQuery) -> None:
    for changes in ({"black_hole": 1}, {"insert_id_seconds": "soon"}):
        answer = httpx.patch(f"{bigquery.url}/_scribe/settings", json=changes)
        assert answer.status_code == 400
    assert httpx.get(f"{bigquery.url}/_scribe/settings").json()["insert_id_seconds"] == 60


# https://cloud.google.com/bigquery/docs/error-messages
def test_an_error_has_googles_shape(bigquery: servers.BigQuery) -> None:
    missing = f"d{uuid.uuid4().hex}"
    answer = httpx.post(
        f"{bigquery.url}/bigquery/v2/projects/{PROJECT}/datasets/{missing}/tables/t/insertAll",
        json={"rows": [{"json": {}}]},
    )
    message = f"Not found: Dataset {PROJECT}:{missing}"
    assert answer.status_code == 404
    assert answer.json() == {
        "error": {
            "code": 404,
            "message": message,
            "errors": [{"domain": "global", "reason": "notFound", "message": message}],
            "status": "NOT_FOUND",
        }
    }
