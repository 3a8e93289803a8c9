"""Tables in the local BigQuery, made and read by the genuine client."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

import msgspec
from google.cloud import bigquery
from support.bigquery import PROJECT

from scribe_connectors.gcp.bigquery import BigQuerySink, BigQuerySinkOptions
from scribe_connectors.gcp.bigquery.columns import ColumnType, RowKind, api_name, column_types
from scribe_export.interface import Context
from scribe_export.testing.clock import SimulatedClock
from scribe_export.testing.sink_contract import Destination


def make_table(
    client: bigquery.Client,
    dataset: str,
    *,
    kind: RowKind = "typed",
    types: dict[str, ColumnType] | None = None,
    required: Sequence[str] = (),
    name: str = "scans",
) -> str:
    """A table for that kind of row; its id."""
    schema = [
        bigquery.SchemaField(column, api_name(of), mode="REQUIRED" if column in required else "NULLABLE")
        for column, of in column_types(kind, types or {}).items()
    ]
    reference = bigquery.DatasetReference(PROJECT, dataset).table(name)
    client.create_table(bigquery.Table(reference, schema=schema))
    return name


def rows_of(client: bigquery.Client, dataset: str, table: str = "scans") -> list[dict[str, Any]]:
    """Every row, by plain SQL."""
    found = client.query_and_wait(f"SELECT * FROM `{dataset}.{table}` ORDER BY scan_id")
    return [dict(row.items()) for row in found]


def count_of(client: bigquery.Client, dataset: str, table: str = "scans") -> int:
    """How many rows, by plain SQL."""
    [row] = client.query_and_wait(f"SELECT COUNT(*) AS n FROM `{dataset}.{table}`")
    return int(row["n"])


class TableContents(Destination):
    """The rows of a table with a `document`."""

    def __init__(self, client: bigquery.Client, dataset: str) -> None:
        self._client, self._dataset = client, dataset

    def held(self) -> list[tuple[str, bytes]]:
        # A job whose answer was lost may still run.
        while any(job.state != "DONE" for job in self._client.list_jobs()):
            time.sleep(0.05)
        return [(row["scan_id"], _text(row["document"])) for row in rows_of(self._client, self._dataset)]


def _text(value: Any) -> bytes:
    return value.encode() if isinstance(value, str) else msgspec.json.encode(value)


def sink(url: str, dataset: str, *, clock: SimulatedClock | None = None, **more: Any) -> BigQuerySink:
    """An unopened sink on the table `scans`; `min_table_age` is 0 unless given."""
    options = {"project": PROJECT, "endpoint_url": url, "dataset": dataset, "table": "scans", "min_table_age": 0.0}
    context = Context("warehouse", clock=clock) if clock else Context("warehouse")
    return BigQuerySink(BigQuerySinkOptions.model_validate(options | more), context)
