"""The local BigQuery's queries, as its genuine client finds them: https://cloud.google.com/bigquery/docs/running-queries"""

import datetime as dt
from decimal import Decimal
from typing import Any

import httpx
import pytest
from google.api_core.exceptions import BadRequest, NotFound
from google.cloud import bigquery as bq
from support.bigquery import PROJECT

from scribe_local import servers

SCHEMA = [
    bq.SchemaField("id", "INT64"),
    bq.SchemaField("material", "STRING"),
    bq.SchemaField("confidence", "FLOAT64"),
    bq.SchemaField("at", "TIMESTAMP"),
    bq.SchemaField("document", "JSON"),
    bq.SchemaField("tags", "STRING", "REPEATED"),
    bq.SchemaField("peak", "RECORD", fields=[bq.SchemaField("hz", "FLOAT64")]),
    bq.SchemaField("exact", "NUMERIC"),
    bq.SchemaField("exacter", "BIGNUMERIC"),
    bq.SchemaField("flag", "BOOL"),
    bq.SchemaField("raw", "BYTES"),
    bq.SchemaField("day", "DATE"),
    bq.SchemaField("local", "DATETIME"),
    bq.SchemaField("hour", "TIME"),
]
ROWS: list[dict[str, Any]] = [
    {
        "id": "9007199254740993",
        "material": "oak",
        "confidence": 0.1,
        "at": "2026-01-02T03:04:05.678901Z",
        "document": '{"a": {"b": "c"}, "n": 5}',
        "tags": ["x", "y"],
        "peak": {"hz": 440},
        "exact": "12345678901234567890123456789.123456789",
        "exacter": "0.000000000000000001",
        "flag": True,
        "raw": "AP8=",
        "day": "2026-01-02",
        "local": "2026-01-02T03:04:05",
        "hour": "03:04:05",
    },
    {"id": 2, "material": "oak", "confidence": 0.7, "at": "1969-12-31 23:59:59.5 UTC", "document": '{"n": 6}'},
    {"id": 3, "material": "glass", "confidence": 0.9, "at": 1_700_000_000.25},
]


@pytest.fixture
def table(bigquery_client: bq.Client, dataset: str) -> bq.Table:
    """With three rows."""
    made = bigquery_client.create_table(bq.Table(f"{PROJECT}.{dataset}.scans", schema=SCHEMA))
    assert bigquery_client.insert_rows_json(made, ROWS) == []
    return made


def _rows(client: bq.Client, sql: str, *parameters: Any) -> list[tuple[Any, ...]]:
    """By jobs.insert and by jobs.query, which must agree."""
    config = bq.QueryJobConfig(query_parameters=list(parameters))
    by_job = [row.values() for row in client.query(sql, job_config=config).result()]
    assert [row.values() for row in client.query_and_wait(sql, job_config=config)] == by_job
    return by_job


# https://cloud.google.com/bigquery/docs/reference/standard-sql/data-types
def test_every_type_comes_back_as_it_went(bigquery_client: bq.Client, table: bq.Table) -> None:
    wanted = (
        9007199254740993,
        "oak",
        0.1,
        dt.datetime(2026, 1, 2, 3, 4, 5, 678901, tzinfo=dt.UTC),
        {"a": {"b": "c"}, "n": 5},
        ["x", "y"],
        {"hz": 440.0},
        Decimal("12345678901234567890123456789.123456789"),
        Decimal("0.000000000000000001"),
        True,
        b"\x00\xff",
        dt.date(2026, 1, 2),
        dt.datetime.fromisoformat("2026-01-02T03:04:05"),
        dt.time(3, 4, 5),
    )
    assert _rows(bigquery_client, f"SELECT * FROM `{table}` WHERE id > 3") == [wanted]
    assert next(iter(bigquery_client.list_rows(table))).values() == wanted
    empty = _rows(bigquery_client, f"SELECT * FROM `{table}` WHERE id = 3")[0]
    assert empty[3] == dt.datetime(2023, 11, 14, 22, 13, 20, 250000, tzinfo=dt.UTC)
    assert empty[4:] == (None, [], *[None] * 8)
    assert _rows(bigquery_client, f"SELECT at FROM `{table}` WHERE id = 2") == [
        (dt.datetime(1969, 12, 31, 23, 59, 59, 500000, tzinfo=dt.UTC),)
    ]
    exact = "SELECT CAST('100' AS NUMERIC), CAST('1.123456789' AS NUMERIC), CAST(200 AS NUMERIC(5)), NUMERIC '0.5' * 4"
    assert _rows(bigquery_client, exact) == [(100, Decimal("1.123456789"), 200, 2)]
    described = bigquery_client.query(f"SELECT * FROM `{table}`").result().schema
    assert [(field.name, field.field_type, field.mode) for field in described] == [
        (field.name, field.field_type, field.mode) for field in bigquery_client.get_table(table).schema
    ]


def test_rows_are_counted_grouped_and_filtered(bigquery_client: bq.Client, table: bq.Table) -> None:
    name = f"{table.dataset_id}.{table.table_id}"
    assert _rows(bigquery_client, f"SELECT COUNT(*) FROM {name}") == [(3,)]
    assert _rows(
        bigquery_client,
        f"SELECT material, COUNT(*) AS n, COUNTIF(confidence > 0.5) FROM {name} GROUP BY material ORDER BY n DESC",
    ) == [("oak", 2, 1), ("glass", 1, 1)]
    sql = f"WITH oak AS (SELECT * FROM {name} WHERE material = 'oak') SELECT MAX(confidence) AS best FROM oak"
    assert _rows(bigquery_client, sql) == [(0.7,)]
    assert _rows(bigquery_client, f"SELECT tag FROM {name}, UNNEST(tags) AS tag ORDER BY tag") == [("x",), ("y",)]
    assert _rows(bigquery_client, f"SELECT peak.hz FROM {name} WHERE peak.hz IS NOT NULL") == [(440.0,)]
    counted = f"SELECT id, COUNT(*) FROM {name} GROUP BY id HAVING COUNT(*) > 1"
    assert _rows(bigquery_client, counted) == []


# https://cloud.google.com/bigquery/docs/reference/standard-sql/query-syntax#using_aliases
# https://cloud.google.com/bigquery/docs/reference/standard-sql/timestamp_functions#how_time_zones_work_with_timestamp_functions
def test_columns_without_a_name_get_one_and_days_are_those_of_utc(bigquery_client: bq.Client, table: bq.Table) -> None:
    sql = f"SELECT DATE(at), material, TIMESTAMP_TRUNC(at, DAY) FROM {table.table_id} WHERE id = 2"
    config = bq.QueryJobConfig(default_dataset=f"{PROJECT}.{table.dataset_id}")
    (row,) = bigquery_client.query_and_wait(sql, job_config=config)
    assert dict(row.items()) == {
        "f0_": dt.date(1969, 12, 31),
        "material": "oak",
        "f1_": dt.datetime(1969, 12, 31, tzinfo=dt.UTC),
    }


# https://cloud.google.com/bigquery/docs/reference/rest/v2/DataFormatOptions
def test_timestamps_are_seconds_unless_whole_numbers_are_asked_for(
    bigquery: servers.BigQuery, bigquery_client: bq.Client, table: bq.Table
) -> None:
    url = f"{bigquery.url}/bigquery/v2/projects/{PROJECT}/datasets/{table.dataset_id}/tables/{table.table_id}/data"
    for whole, wanted in (("false", ["1767323045.678901", "-0.500000"]), ("true", ["1767323045678901", "-500000"])):
        asked = {"selectedFields": "at", "maxResults": "2", "formatOptions.useInt64Timestamp": whole}
        rows = httpx.get(url, params=asked).json()["rows"]
        assert [row["f"][0]["v"] for row in rows] == wanted


# https://cloud.google.com/bigquery/docs/reference/standard-sql/json_functions
def test_json_is_looked_into(bigquery_client: bq.Client, table: bq.Table) -> None:
    sql = (
        "SELECT JSON_VALUE(document, '$.a.b'), JSON_QUERY(document, '$.a') AS a, "
        "CAST(JSON_VALUE(document, '$.n') AS INT64), INT64(document.n), LAX_INT64(document.n) "
        f"FROM `{table}` WHERE document IS NOT NULL ORDER BY id DESC"
    )
    assert _rows(bigquery_client, sql) == [("c", {"b": "c"}, 5, 5, 5), (None, None, 6, 6, 6)]


# https://cloud.google.com/bigquery/docs/parameterized-queries
def test_parameters_have_names_or_places_and_types(bigquery_client: bq.Client, table: bq.Table) -> None:
    assert _rows(
        bigquery_client,
        f"SELECT id, @label AS label FROM `{table}` WHERE material IN UNNEST(@materials) AND at > @since",
        bq.ScalarQueryParameter("label", "STRING", "it's $since"),
        bq.ArrayQueryParameter("materials", "STRING", ["oak", "pine"]),
        bq.ScalarQueryParameter("since", "TIMESTAMP", dt.datetime(2026, 1, 1, tzinfo=dt.UTC)),
    ) == [(9007199254740993, "it's $since")]
    assert _rows(
        bigquery_client,
        "SELECT ?, ?, ?",
        bq.ScalarQueryParameter(None, "INT64", 7),
        bq.ScalarQueryParameter(None, "STRING", None),
        bq.ScalarQueryParameter(None, "DATE", dt.date(2026, 1, 2)),
    ) == [(7, None, dt.date(2026, 1, 2))]
    with pytest.raises(BadRequest, match="missing"):
        bigquery_client.query_and_wait("SELECT @missing")


# https://cloud.google.com/bigquery/docs/paging-results
def test_results_come_in_pages(bigquery_client: bq.Client) -> None:
    sql = "SELECT n FROM UNNEST(GENERATE_ARRAY(1, 25000)) AS n ORDER BY n"
    pages = [list(page) for page in bigquery_client.query(sql).result(page_size=10_000).pages]
    assert [len(page) for page in pages] == [10_000, 10_000, 5_000]
    assert [row["n"] for page in pages for row in page] == list(range(1, 25_001))
    assert len(list(bigquery_client.query_and_wait(sql))) == 25_000
    assert [row["n"] for row in bigquery_client.query(sql).result(max_results=2)] == [1, 2]


# https://cloud.google.com/bigquery/docs/running-queries#dry-run
def test_a_dry_run_tells_the_schema_and_does_nothing(bigquery_client: bq.Client, table: bq.Table) -> None:
    dry = bq.QueryJobConfig(dry_run=True)
    job = bigquery_client.query(f"SELECT id, tags FROM `{table}`", job_config=dry)
    assert job.schema is not None
    assert [(field.name, field.mode) for field in job.schema] == [("id", "NULLABLE"), ("tags", "REPEATED")]
    bigquery_client.query(f"INSERT INTO `{table}` (id) VALUES (4)", job_config=dry)
    assert _rows(bigquery_client, f"SELECT COUNT(*) FROM `{table}`") == [(3,)]
    with pytest.raises(BadRequest):
        bigquery_client.query(f"SELECT nothing FROM `{table}`", job_config=dry)


# https://cloud.google.com/bigquery/docs/error-messages
@pytest.mark.parametrize("sql", ["SELEC 1", "SELECT", "SELECT nothing FROM {table}", "SELECT no_such_function(1)"])
def test_sql_that_cannot_be_run_is_an_invalid_query(bigquery_client: bq.Client, table: bq.Table, sql: str) -> None:
    text = sql.format(table=f"`{table}`")
    with pytest.raises(BadRequest) as at_once:
        bigquery_client.query_and_wait(text)
    with pytest.raises(BadRequest) as later:
        bigquery_client.query(text).result()
    assert [caught.value.errors[0]["reason"] for caught in (at_once, later)] == ["invalidQuery", "invalidQuery"]


def test_a_table_that_is_not_there_is_not_found(bigquery_client: bq.Client, table: bq.Table) -> None:
    with pytest.raises(NotFound, match=r"Not found: Table .*\.missing"):
        bigquery_client.query_and_wait(f"SELECT * FROM {table.dataset_id}.missing")
    with pytest.raises(NotFound, match="Not found: Dataset"):
        bigquery_client.query_and_wait("SELECT * FROM nowhere.missing")


# https://cloud.google.com/bigquery/docs/data-manipulation-language
def test_a_statement_that_changes_rows_counts_them(bigquery_client: bq.Client, dataset: str) -> None:
    table = bigquery_client.create_table(bq.Table(f"{PROJECT}.{dataset}.changed", schema=SCHEMA[:2]))
    for sql, count in (
        (f"INSERT INTO `{table}` (id, material) VALUES (1, 'oak'), (2, 'pine'), (3, 'pine')", 3),
        (f"UPDATE `{table}` SET material = 'ash' WHERE material = 'pine'", 2),
        (f"DELETE FROM `{table}` WHERE id = 3", 1),
    ):
        assert bigquery_client.query(sql).result().num_dml_affected_rows == count
    assert _rows(bigquery_client, f"SELECT * FROM `{table}` ORDER BY id") == [(1, "oak"), (2, "ash")]


def test_no_file_of_the_machine_can_be_read(bigquery_client: bq.Client) -> None:
    for sql in ("SELECT * FROM read_text('/etc/hostname')", "SELECT * FROM `/etc/passwd`"):
        with pytest.raises(BadRequest):
            bigquery_client.query_and_wait(sql)
