"""Tables in the local BigQuery, made and read by the genuine client."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import anyio
import grpc
import msgspec
from google.cloud import bigquery
from support.bigquery import PROJECT
from support.front import Answer, Front, Received
from support.grpc_front import GrpcFront

from scribe_connectors.gcp.bigquery import BigQuerySink, BigQuerySinkOptions
from scribe_connectors.gcp.bigquery.columns import ColumnType, RowKind, api_name, column_types
from scribe_export.errors import SinkError
from scribe_export.interface import Context
from scribe_export.model import Batch, Record
from scribe_export.testing.clock import SimulatedClock
from scribe_export.testing.records import make_record, scan_document
from scribe_export.testing.sealing import encode, opened, seal_one
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


class AppendFront(GrpcFront):
    """Before the Storage Write API; can lose the answers to appends alone."""

    _losing_appends = False

    @contextmanager
    def losing_appends(self) -> Iterator[None]:
        """Appends within the block take effect, and their connections break before the answer."""
        self._losing_appends = True
        try:
            yield
        finally:
            self._losing_appends = False

    def _pass_on(self, method: str, messages: Iterator[bytes], context: grpc.ServicerContext) -> Iterator[bytes]:
        for answer in super()._pass_on(method, messages, context):
            if self._losing_appends and method.endswith("/AppendRows"):
                context.abort(grpc.StatusCode.UNAVAILABLE, "the connection broke")
            yield answer


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


def error_answer(status: int, reason: str, **headers: str) -> Answer:
    """As BigQuery refuses a request."""
    document = {"error": {"code": status, "message": "said by the front", "errors": [{"reason": reason}]}}
    return Answer(status, json.dumps(document).encode(), headers=headers)


def outcome(subject: BigQuerySink, *batches: Batch) -> list[SinkError | None]:
    """What became of each batch, one after the other, by one opened sink."""

    async def attempt() -> list[SinkError | None]:
        found: list[SinkError | None] = []
        async with opened(subject):
            for batch in batches:
                try:
                    await subject.write(await encode(subject, batch))
                    found.append(None)
                except SinkError as error:
                    found.append(error)
        return found

    return anyio.run(attempt)


def of(subject: BigQuerySink, records: Sequence[Record], **changes: Any) -> Batch:
    """A batch, with changes to what was sealed."""
    return replace(seal_one(subject, records), **changes)


def uploads(front: Front) -> list[Received]:
    """The load jobs that came."""
    return [one for one in front.received if one.path.startswith("/upload/")]


def inserts(front: Front) -> list[list[dict[str, Any]]]:
    """The rows of each insertAll that came."""
    return [json.loads(one.body)["rows"] for one in front.received if one.path.endswith("/insertAll")]


def without_confidence(scan_id: int) -> Record:
    """A scan that nothing was made of."""
    document = scan_document(scan_id) | {"interpretation": {}}
    return make_record(scan_id, seq=scan_id, body=json.dumps(document).encode())
