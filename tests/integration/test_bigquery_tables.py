"""The table that BigQuery's sink writes to: made, compared, extended, and left alone while it is young."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from google.cloud.bigquery import Client, SchemaField, Table
from support.bigquery import PROJECT, client, new_dataset, settings
from support.front import Front
from support.warehouse import (
    count_of,
    error_answer,
    inserts,
    make_table,
    of,
    outcome,
    rows_of,
    sink,
)

from scribe_export.errors import Misconfigured, Throttled
from scribe_export.testing.clock import SimulatedClock
from scribe_export.testing.records import make_record, make_records
from scribe_export.testing.sealing import PLACES
from scribe_local import servers

METHODS = ("load", "insert_rows")


@pytest.fixture
def front(bigquery: servers.BigQuery) -> Iterator[Front]:
    with Front(
        bigquery.port, unavailable=error_answer(503, "backendError"), denied=error_answer(403, "accessDenied")
    ) as front:
        yield front


@pytest.fixture
def warehouse(bigquery: servers.BigQuery) -> Iterator[Client]:
    PLACES.clear()
    with_client = client(bigquery.url)
    yield with_client
    with_client.close()
    settings(bigquery)


@pytest.fixture
def dataset(warehouse: Client) -> str:
    return new_dataset(warehouse)


# Tables and schemas


def test_a_missing_table_is_made_with_its_partitions_and_clusters(
    front: Front, warehouse: Client, dataset: str
) -> None:
    layout = {"partition_by": "timestamp", "partition_unit": "MONTH", "cluster_by": ["material", "scan_id"]}
    subject = sink(front.url, dataset, create_table=layout | {"partition_expiration": 86400.0 * 90})
    assert outcome(subject, of(subject, make_records(3))) == [None]
    table = warehouse.get_table(f"{dataset}.scans")
    assert table.time_partitioning.field == "timestamp"
    assert table.time_partitioning.type_ == "MONTH"
    assert table.time_partitioning.expiration_ms == 90 * 86400 * 1000
    assert table.clustering_fields == ["material", "scan_id"]
    assert {field.name: field.field_type for field in table.schema}["document"] == "JSON"
    assert count_of(warehouse, dataset) == 3


@pytest.mark.parametrize("method", METHODS)
def test_a_missing_table_holds_unless_it_may_be_made(
    front: Front, warehouse: Client, dataset: str, method: str
) -> None:
    with pytest.raises(Misconfigured, match="set create_table"):
        outcome(sink(front.url, dataset, method=method))
    with pytest.raises(Misconfigured, match="no dataset nowhere"):
        outcome(sink(front.url, "nowhere", method=method, create_table={}))


def schema(*fields: SchemaField) -> list[SchemaField]:
    have = {field.name for field in fields}
    rest = [SchemaField(name, "STRING") for name in ("scan_id", "material", "features_json", "interpretation_json")]
    rest += [SchemaField("timestamp", "TIMESTAMP"), SchemaField("confidence", "FLOAT64")]
    return [*fields, *(field for field in rest if field.name not in have)]


@pytest.mark.parametrize(
    ("field", "sentence"),
    [
        (SchemaField("confidence", "STRING"), "column confidence of .* is STRING, and rows have FLOAT64"),
        (SchemaField("scan_id", "INTEGER"), "column scan_id of .* is INT64, and rows have STRING"),
        (SchemaField("material", "STRING", mode="REPEATED"), "column material of .* is REPEATED STRING"),
        (SchemaField("laboratory", "STRING", mode="REQUIRED"), "column laboratory of .* is REQUIRED, and rows have no"),
    ],
)
@pytest.mark.parametrize("mode", ["freeze", "evolve"])
def test_a_schema_that_differs_is_refused_naming_the_field(
    front: Front, warehouse: Client, dataset: str, field: SchemaField, sentence: str, mode: str
) -> None:
    warehouse.create_table(Table(f"{PROJECT}.{dataset}.scans", schema=schema(field)))
    with pytest.raises(Misconfigured, match=sentence):
        outcome(sink(front.url, dataset, row="guide", schema=mode))


def test_a_frozen_schema_names_the_columns_it_lacks_and_one_that_evolves_gets_them(
    front: Front, warehouse: Client, dataset: str
) -> None:
    make_table(warehouse, dataset, kind="guide")
    with pytest.raises(Misconfigured, match="has no column received_at TIMESTAMP, signal_type STRING"):
        outcome(sink(front.url, dataset))
    subject = sink(front.url, dataset, schema="evolve")
    assert outcome(subject, of(subject, make_records(2))) == [None]
    added = {field.name: (field.field_type, field.mode) for field in warehouse.get_table(f"{dataset}.scans").schema}
    assert added["document"] == ("JSON", "NULLABLE")
    assert "features_json" in added
    assert [row["document"]["scan_id"] for row in rows_of(warehouse, dataset)] == [1, 2]


def test_the_guides_own_table_takes_the_guides_rows(front: Front, warehouse: Client, dataset: str) -> None:
    types: dict[str, Any] = {"scan_id": "INT64"}
    make_table(warehouse, dataset, kind="guide", types=types)
    for method in METHODS:
        subject = sink(front.url, dataset, row="guide", column_types=types, method=method)
        assert outcome(subject, of(subject, [make_record(len(method))])) == [None]
    rows = rows_of(warehouse, dataset)
    assert [row["scan_id"] for row in rows] == [4, 11]
    assert json.loads(rows[0]["features_json"]) == make_record(4).document()["features"]


# Young tables (F-13)


@pytest.mark.parametrize("method", ["insert_rows"])
@pytest.mark.fault("F-13")
def test_a_young_table_is_not_streamed_into_and_nothing_is_lost(
    bigquery: servers.BigQuery, front: Front, warehouse: Client, dataset: str, method: str
) -> None:
    settings(bigquery, new_table_blackhole_seconds=3600.0)
    subject = sink(front.url, dataset, method=method, create_table={}, min_table_age=600.0)
    batch = of(subject, make_records(3))
    [error] = outcome(subject, batch)
    assert isinstance(error, Throttled)
    assert error.applied == "no"
    assert error.retry_after is not None
    assert 500 < error.retry_after <= 600
    assert not inserts(front)
    settings(bigquery)
    made = warehouse.get_table(f"{dataset}.scans").created.timestamp()
    for age, grown in ((599.0, False), (601.0, True)):
        clock = SimulatedClock(made + age)
        [error] = outcome(sink(front.url, dataset, method=method, min_table_age=600.0, clock=clock), batch)
        assert (error is None) is grown
    assert count_of(warehouse, dataset) == 3


@pytest.mark.fault("F-13")
def test_without_the_wait_the_local_server_does_lose_the_rows(
    bigquery: servers.BigQuery, front: Front, warehouse: Client, dataset: str
) -> None:
    settings(bigquery, new_table_blackhole_seconds=3600.0)
    subject = sink(front.url, dataset, method="insert_rows", create_table={}, min_table_age=0.0)
    assert outcome(subject, of(subject, make_records(3))) == [None]
    assert count_of(warehouse, dataset) == 0


@pytest.mark.fault("F-13")
def test_a_load_job_fills_a_new_table_at_once(
    bigquery: servers.BigQuery, front: Front, warehouse: Client, dataset: str
) -> None:
    settings(bigquery, new_table_blackhole_seconds=3600.0)
    subject = sink(front.url, dataset, create_table={}, min_table_age=600.0)
    assert outcome(subject, of(subject, make_records(3))) == [None]
    assert count_of(warehouse, dataset) == 3


def test_a_table_whose_columns_were_added_is_young_again(front: Front, warehouse: Client, dataset: str) -> None:
    make_table(warehouse, dataset, kind="guide")
    subject = sink(front.url, dataset, method="insert_rows", schema="evolve", min_table_age=600.0)
    [error] = outcome(subject, of(subject, make_records(1)))
    assert isinstance(error, Throttled)
