"""BigQuery itself keeps the contracts of sinks, by all three methods, and of sources, in tables made and deleted."""

from __future__ import annotations

import io
import time
from collections.abc import Iterator, Mapping
from contextlib import closing
from itertools import count
from typing import Any, ClassVar

import msgspec
import pytest
from google.cloud import bigquery
from support import live

from scribe_connectors.gcp.bigquery import BigQuerySink, BigQuerySinkOptions, BigQuerySource, BigQuerySourceOptions
from scribe_connectors.gcp.bigquery.columns import api_name, column_types
from scribe_export.interface import Context
from scribe_export.model import Record
from scribe_export.testing.records import make_record, scan_body
from scribe_export.testing.sink_contract import Destination, Faults, MakeSink, SinkContract
from scribe_export.testing.source_contract import MakeSource, Put, SourceContract


class Table(Destination):
    """A table of typed rows."""

    def __init__(self, client: Any, dataset: str) -> None:
        self.client, self.dataset, self.name = client, dataset, live.fresh().replace("-", "_")
        schema = [
            bigquery.SchemaField(name, api_name(kind))
            for name, kind in column_types("typed", {"document": "STRING"}).items()
        ]
        reference = bigquery.DatasetReference(client.project, dataset).table(self.name)
        client.create_table(bigquery.Table(reference, schema=schema))

    def options(self) -> dict[str, Any]:
        return live.gcp_options("BIGQUERY") | {"dataset": self.dataset, "table": self.name}

    def held(self) -> list[tuple[str, bytes]]:
        rows = self.client.query_and_wait(f"SELECT scan_id, document FROM `{self.dataset}.{self.name}`")
        return [(row["scan_id"], row["document"].encode()) for row in rows]

    def remove(self) -> None:
        self.client.delete_table(f"{self.dataset}.{self.name}", not_found_ok=True)


@pytest.fixture(scope="session")
def warehouse() -> Iterator[Any]:
    live.given("BIGQUERY_DATASET")
    with closing(live.gcp_client(bigquery.Client, "BIGQUERY")) as client:
        yield client


@pytest.fixture(scope="session")
def aged(warehouse: Any, request: pytest.FixtureRequest) -> Iterator[Iterator[Table]]:
    """A table for each check that streams. BigQuery can lose rows streamed into a young one, so all wait together."""
    [dataset] = live.given("BIGQUERY_DATASET")
    checks = sum("aged" in getattr(item, "fixturenames", ()) for item in request.session.items)
    tables = [Table(warehouse, dataset) for _ in range(checks)]
    time.sleep(float(live.optional("BIGQUERY_TABLE_AGE", "600")))
    yield iter(tables)
    for one in tables:
        one.remove()


class BigQueryFixtures(SinkContract):
    given: ClassVar[Mapping[str, Any]] = {}
    cannot_partially_fail = "BigQuery takes all rows of a job or a request, or none of them"

    @pytest.fixture
    def table(self, warehouse: Any) -> Iterator[Table]:
        [dataset] = live.given("BIGQUERY_DATASET")
        found = Table(warehouse, dataset)
        yield found
        found.remove()

    def options(self, table: Table, **more: Any) -> BigQuerySinkOptions:
        storage = live.optional("BIGQUERY_STORAGE_ENDPOINT")
        # The fixture `aged` has waited as long as it takes.
        common = {"column_types": {"document": "STRING"}, "min_table_age": 0.0, "storage_endpoint_url": storage or None}
        return BigQuerySinkOptions.model_validate({**table.options(), **common, **self.given, **more})

    @pytest.fixture
    def sink(self, table: Table) -> MakeSink:
        return lambda: BigQuerySink(self.options(table), Context("warehouse"))

    @pytest.fixture
    def reshaped(self, table: Table) -> MakeSink:
        return lambda: BigQuerySink(self.options(table, fields={"exclude": ["response"]}), Context("warehouse"))

    @pytest.fixture
    def destination(self, table: Table) -> Destination:
        return table

    @pytest.fixture
    def unacceptable(self) -> Record:
        return make_record("bad", seq=900, body=b'{"scan_id":"bad","timestamp":"yesterday"}')

    @pytest.fixture
    def faults(self) -> Faults:
        return live.NO_FAULTS


class TestLoadJobs(BigQueryFixtures):
    patience = 300.0


class Streaming(BigQueryFixtures):
    @pytest.fixture
    def table(self, aged: Iterator[Table]) -> Table:  # it is removed with the others
        return next(aged)


class TestRowsInserted(Streaming):
    given: ClassVar[Mapping[str, Any]] = {"method": "insert_rows"}


class TestStreams(Streaming):
    given: ClassVar[Mapping[str, Any]] = {"method": "storage_write"}


class TestScansReadBack(SourceContract):
    patience = 60.0

    @pytest.fixture
    def table(self, warehouse: Any) -> Iterator[Table]:
        [dataset] = live.given("BIGQUERY_DATASET")
        found = Table(warehouse, dataset)
        yield found
        found.remove()

    @pytest.fixture
    def source(self, table: Table) -> MakeSource:
        given = {"page_size": 2, "rows_per_query": 5, "poll_interval": 1.0}
        options = BigQuerySourceOptions.model_validate(table.options() | given)
        return lambda *, once: BigQuerySource(options, Context("warehouse", once=once))

    @pytest.fixture
    def put(self, table: Table) -> Put:
        numbers = count(1)

        def put(amount: int) -> Mapping[str, bytes]:
            there = {str(n): scan_body(n) for n in (next(numbers) for _ in range(amount))}
            # Two rows a moment, so that pages end between rows of the same one.
            rows = [
                {
                    "scan_id": scan_id,
                    "sha256": scan_id,
                    "received_at": f"2026-05-06T00:{int(scan_id) // 2:02}:00Z",
                    "document": body.decode(),
                }
                for scan_id, body in there.items()
            ]
            _load(table, rows)
            return there

        return put

    @pytest.fixture
    def faults(self) -> Faults:
        return live.NO_FAULTS


def _load(table: Table, rows: list[dict[str, str]]) -> None:
    """By a load job, whose rows are there when it is done, in a young table too."""
    config = bigquery.LoadJobConfig(
        source_format="NEWLINE_DELIMITED_JSON", write_disposition="WRITE_APPEND", create_disposition="CREATE_NEVER"
    )
    data = b"".join(msgspec.json.encode(row) + b"\n" for row in rows)
    target = f"{table.client.project}.{table.dataset}.{table.name}"
    table.client.load_table_from_file(io.BytesIO(data), target, job_config=config).result(timeout=120)
