"""DynamoDB itself keeps the contracts of sinks and sources, in tables that are made once a run, emptied and deleted."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import closing
from functools import partial
from itertools import count
from random import Random
from typing import Any

import anyio
import msgspec
import pytest
from support import live
from support.tables import as_json, items

from scribe_connectors.aws.dynamodb import DynamoDbSink, DynamoDbSinkOptions, DynamoDbSource, DynamoDbSourceOptions
from scribe_export.archives.codec import same_json
from scribe_export.interface import Context
from scribe_export.model import Record
from scribe_export.testing.records import make_record, make_records, scan_document
from scribe_export.testing.sealing import send_all
from scribe_export.testing.sink_contract import Destination, Faults, MakeSink, SinkContract
from scribe_export.testing.source_contract import MakeSource, Put, SourceContract


class Table(Destination):
    """A table whose key is `scan_id`, of type N or S. It cannot tell whether an item was written twice."""

    def __init__(self, client: Any, kind: str) -> None:
        self.client, self.name = client, live.fresh()
        client.create_table(
            TableName=self.name,
            KeySchema=[{"AttributeName": "scan_id", "KeyType": "HASH"}],
            AttributeDefinitions=[{"AttributeName": "scan_id", "AttributeType": kind}],
            BillingMode="PAY_PER_REQUEST",
        )
        client.get_waiter("table_exists").wait(TableName=self.name, WaiterConfig={"Delay": 2})

    def held(self) -> list[tuple[str, bytes]]:
        return [(str(item["scan_id"]), as_json(item)) for item in items(self.client, self.name)]

    def empty(self) -> Table:
        """Delete every item."""
        wanted = {"TableName": self.name, "ConsistentRead": True, "ProjectionExpression": "scan_id"}
        for page in self.client.get_paginator("scan").paginate(**wanted):
            for key in page["Items"]:
                self.client.delete_item(TableName=self.name, Key=key)
        return self


@pytest.fixture(scope="session")
def tables() -> Iterator[Callable[[str], Table]]:
    """An empty table by the type of its key."""
    live.given("DYNAMODB")
    made: dict[str, Table] = {}
    with closing(live.aws_client("dynamodb")) as client:

        def table(kind: str) -> Table:
            if kind not in made:
                made[kind] = Table(client, kind)
            return made[kind].empty()

        yield table
        for one in made.values():
            client.delete_table(TableName=one.name)


class DynamoDbFixtures(SinkContract):
    kind = "N"
    more: Mapping[str, object] = {}

    @pytest.fixture
    def destination(self, tables: Callable[[str], Table]) -> Destination:
        return tables(self.kind)

    @pytest.fixture
    def given(self, destination: Table) -> Mapping[str, object]:
        return live.aws_options() | {"table": destination.name, **self.more}

    @pytest.fixture
    def sink(self, given: Mapping[str, object]) -> MakeSink:
        options = DynamoDbSinkOptions.model_validate(given)
        return lambda: DynamoDbSink(options, Context("dynamodb"))

    @pytest.fixture
    def reshaped(self, given: Mapping[str, object]) -> MakeSink:
        options = DynamoDbSinkOptions.model_validate({**given, "attributes": {"by": "{material}"}})
        return lambda: DynamoDbSink(options, Context("dynamodb"))

    @pytest.fixture
    def faults(self) -> Faults:
        return live.NO_FAULTS


class TestGuideItem(DynamoDbFixtures):
    def same_body(self, record: Record, found: bytes) -> bool:
        document: dict[str, Any] = msgspec.json.decode(record.body)
        held = {name: document[name] for name in ("scan_id", "timestamp", "features", "interpretation")}
        return same_json(found, msgspec.json.encode(held))

    @pytest.fixture
    def unacceptable(self) -> Record:
        return make_record("not-a-number")


class TestBatchedItems(TestGuideItem):
    more: Mapping[str, object] = {"writes": "batch", "on_conflict": "overwrite"}


class TestDocumentItem(DynamoDbFixtures):
    kind = "S"
    more: Mapping[str, object] = {"item": "document", "partition_key": {"type": "string"}}

    @pytest.fixture
    def unacceptable(self) -> Record:
        notes = Random(1).randbytes(500_000).hex()
        return make_record(900, body=msgspec.json.encode(scan_document(900) | {"notes": notes}))


class TestInsertedItems(TestDocumentItem):
    more: Mapping[str, object] = {**TestDocumentItem.more, "writes": "insert"}


class TestItemsReadBack(SourceContract):
    @pytest.fixture
    def table(self, tables: Callable[[str], Table]) -> Table:
        return tables("N")

    @pytest.fixture
    def source(self, table: Table) -> MakeSource:
        given = {"table": table.name, "follow": True, "poll_interval": 0.5, "consistent_read": True}
        options = DynamoDbSourceOptions.model_validate(live.aws_options() | given)
        return lambda *, once: DynamoDbSource(options, Context("dynamodb", once=once))

    @pytest.fixture
    def put(self, table: Table) -> Put:
        return partial(_put, table.name, count(1))

    @pytest.fixture
    def faults(self) -> Faults:
        return live.NO_FAULTS


def _put(table: str, numbers: Iterator[int], amount: int) -> Mapping[str, bytes]:
    first, *_ = [next(numbers) for _ in range(amount)]
    sent = make_records(amount, first=first)
    options = DynamoDbSinkOptions.model_validate(live.aws_options() | {"table": table, "item": "document"})

    async def fill() -> None:
        sink = DynamoDbSink(options, Context("before"))
        await send_all(sink, sent)
        await sink.close()

    anyio.run(fill)
    return {record.scan_id: record.body for record in sent}
