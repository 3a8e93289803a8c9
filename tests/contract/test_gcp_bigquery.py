"""BigQuery keeps the contracts of sinks, by all three methods, and of sources."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack
from itertools import count
from typing import Any, ClassVar

import pytest
from google.cloud.bigquery import Client
from support.bigquery import PROJECT, client, new_dataset
from support.front import Answer, Front
from support.warehouse import AppendFront, TableContents, make_table, sink

from scribe_connectors.gcp.bigquery import BigQuerySource, BigQuerySourceOptions
from scribe_export.interface import Context
from scribe_export.model import Record
from scribe_export.testing.records import make_record, scan_body
from scribe_export.testing.sink_contract import Destination, Faults, MakeSink, SinkContract
from scribe_export.testing.source_contract import MakeSource, Put, SourceContract
from scribe_local import servers

UNAVAILABLE = Answer(503, b'{"error":{"code":503,"errors":[{"reason":"backendError"}],"message":"try later"}}')
DENIED = Answer(403, b'{"error":{"code":403,"errors":[{"reason":"accessDenied"}],"message":"no"}}')


@pytest.fixture
def front(bigquery: servers.BigQuery) -> Iterator[Front]:
    with Front(bigquery.port, unavailable=UNAVAILABLE, denied=DENIED) as front:
        yield front


@pytest.fixture
def warehouse(bigquery: servers.BigQuery) -> Iterator[Client]:
    with_client = client(bigquery.url)
    yield with_client
    with_client.close()


@pytest.fixture
def dataset(warehouse: Client) -> str:
    return new_dataset(warehouse)


class BigQueryFixtures(SinkContract):
    options: ClassVar[Mapping[str, Any]] = {"column_types": {"document": "STRING"}}
    cannot_partially_fail = "BigQuery takes all rows of a job or a request, or none of them"

    @pytest.fixture
    def table(self, warehouse: Client, dataset: str) -> None:
        make_table(warehouse, dataset, types=self.options.get("column_types"))

    @pytest.fixture
    def sink(self, front: Front, dataset: str, table: None) -> MakeSink:
        return lambda: sink(front.url, dataset, **self.options)

    @pytest.fixture
    def reshaped(self, front: Front, dataset: str, table: None) -> MakeSink:
        return lambda: sink(front.url, dataset, **self.options, fields={"exclude": ["response"]})

    @pytest.fixture
    def destination(self, warehouse: Client, dataset: str) -> Destination:
        return TableContents(warehouse, dataset)

    @pytest.fixture
    def unacceptable(self) -> Record:
        return make_record("bad", seq=900, body=b'{"scan_id":"bad","timestamp":"yesterday"}')

    @pytest.fixture
    def faults(self, front: Front) -> Faults:
        return Faults(
            down=front.unavailable,
            deny=front.denying,
            lose_answers=front.losing_answers,
            requests=lambda: front.requests,
        )


class TestLoadJobs(BigQueryFixtures):
    other_requests = "a job is uploaded in two requests and looked at in more, and is counted as one"


@pytest.mark.slow
class TestLoadJobsOfJson(TestLoadJobs):
    body = "json"
    options: ClassVar[Mapping[str, Any]] = {"compression": "gzip"}

    @pytest.fixture
    def unacceptable(self) -> Record:
        return make_record("bad", seq=900, body=b'{"scan_id":"bad","n":1e999}')


class TestRowsInserted(BigQueryFixtures):
    options: ClassVar[Mapping[str, Any]] = {"method": "insert_rows", "column_types": {"document": "STRING"}}


@pytest.mark.slow
class TestRowsOfJsonInserted(BigQueryFixtures):
    body = "json"
    options: ClassVar[Mapping[str, Any]] = {"method": "insert_rows"}


class TestStreams(BigQueryFixtures):
    options: ClassVar[Mapping[str, Any]] = {"method": "storage_write", "column_types": {"document": "STRING"}}

    @pytest.fixture
    def appends(self, bigquery: servers.BigQuery) -> Iterator[AppendFront]:
        with AppendFront(bigquery.target) as front:
            yield front

    @pytest.fixture
    def sink(self, front: Front, appends: AppendFront, dataset: str, table: None) -> MakeSink:
        return lambda: sink(front.url, dataset, storage_endpoint_url=appends.url, **self.options)

    @pytest.fixture
    def reshaped(self, front: Front, appends: AppendFront, dataset: str, table: None) -> MakeSink:
        fields = {"exclude": ["response"]}
        return lambda: sink(front.url, dataset, storage_endpoint_url=appends.url, **self.options, fields=fields)

    @pytest.fixture
    def faults(self, front: Front, appends: AppendFront) -> Faults:
        def both(*faults: Callable[[], AbstractContextManager[object]]) -> AbstractContextManager[object]:
            stack = ExitStack()
            for fault in faults:
                stack.enter_context(fault())
            return stack

        return Faults(
            down=lambda: both(front.unavailable, appends.unavailable),
            deny=lambda: both(front.denying, appends.denying),
            lose_answers=appends.losing_appends,
            requests=lambda: front.requests + appends.requests,
        )


class TestStreamsOfJson(TestStreams):
    body = "json"
    options: ClassVar[Mapping[str, Any]] = {"method": "storage_write"}


class TestScansReadBack(SourceContract):
    @pytest.fixture
    def table(self, warehouse: Client, dataset: str) -> None:
        make_table(warehouse, dataset, types={"document": "STRING"})

    @pytest.fixture
    def source(self, front: Front, dataset: str, table: None) -> MakeSource:
        options = BigQuerySourceOptions.model_validate(
            {
                "project": PROJECT,
                "endpoint_url": front.url,
                "dataset": dataset,
                "table": "scans",
                "page_size": 2,
                "rows_per_query": 5,
                "poll_interval": 0.05,
            }
        )
        return lambda *, once: BigQuerySource(options, Context("warehouse", once=once))

    @pytest.fixture
    def put(self, warehouse: Client, dataset: str, table: None) -> Put:
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
            assert warehouse.insert_rows_json(f"{dataset}.scans", rows) == []
            return there

        return put

    @pytest.fixture
    def faults(self, front: Front) -> Faults:
        return Faults(down=front.unavailable)
