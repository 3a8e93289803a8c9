"""DynamoDB keeps the contracts of sinks and sources, on both servers."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, closing
from functools import cache, partial
from itertools import count
from random import Random
from typing import TYPE_CHECKING, Any

import anyio
import msgspec
import pytest
from support.front import Front
from support.s3 import aws_client
from support.tables import DENIED, UNAVAILABLE, TableContents, changes, failing_items, new_table

from scribe_connectors.aws.dynamodb import DynamoDbSink, DynamoDbSinkOptions, DynamoDbSource, DynamoDbSourceOptions
from scribe_export.archives.codec import same_json
from scribe_export.interface import Context
from scribe_export.model import Record
from scribe_export.testing.records import make_record, make_records, scan_document
from scribe_export.testing.sealing import send_all
from scribe_export.testing.sink_contract import Destination, Faults, MakeSink, SinkContract
from scribe_export.testing.source_contract import MakeSource, Put, SourceContract
from scribe_local import servers

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

AUTH = {"access_key_id": servers.ACCESS_KEY, "secret_access_key": servers.SECRET_KEY}


@pytest.fixture
def front(aws: servers.LocalServer) -> Iterator[Front]:
    with Front(aws.port, unavailable=UNAVAILABLE, denied=DENIED) as front:
        yield front


Client = Callable[[str, str], Any]


@pytest.fixture(scope="module")
def client() -> Iterator[Client]:
    """Genuine clients by URL and service, each made once."""
    with ExitStack() as stack:

        @cache
        def made(url: str, service: str) -> Any:
            return stack.enter_context(closing(aws_client(url, service)))

        yield made


@pytest.fixture
def dynamodb(aws: servers.LocalServer, client: Client) -> DynamoDBClient:
    made: DynamoDBClient = client(aws.url, "dynamodb")
    return made


class DynamoDbFixtures(SinkContract):
    key = "N"
    more: Mapping[str, object] = {}
    counts_changes = True

    @pytest.fixture
    def table(self, dynamodb: DynamoDBClient) -> str:
        return new_table(dynamodb, key=self.key)

    @pytest.fixture
    def connection(self, front: Front, table: str) -> Mapping[str, object]:
        return {"table": table, "region": servers.REGION, "endpoint_url": front.url, "auth": AUTH, **self.more}

    @pytest.fixture
    def sink(self, connection: Mapping[str, object]) -> MakeSink:
        options = DynamoDbSinkOptions.model_validate(connection)
        return lambda: DynamoDbSink(options, Context("dynamodb"))

    @pytest.fixture
    def reshaped(self, connection: Mapping[str, object]) -> MakeSink:
        changed = {"attributes": {"by": "{material}"}, "ttl": {"attribute": "expires_at", "after": 86_400.0}}
        options = DynamoDbSinkOptions.model_validate({**connection, **changed})
        return lambda: DynamoDbSink(options, Context("dynamodb"))

    @pytest.fixture
    def destination(self, aws: servers.LocalServer, client: Client, table: str) -> Destination:
        dynamodb = client(aws.url, "dynamodb")
        if not self.counts_changes:
            return TableContents(dynamodb, table)
        return TableContents(dynamodb, table, partial(changes, client(aws.url, "dynamodbstreams"), dynamodb, table))

    @pytest.fixture
    def faults(self, front: Front) -> Faults:
        return Faults(
            down=front.unavailable,
            deny=front.denying,
            lose_answers=front.losing_answers,
            refuse=lambda record: failing_items(front, lambda scan_id: scan_id == record.scan_id),
            requests=lambda: front.requests,
        )


class GuideItems(DynamoDbFixtures):
    def same_body(self, record: Record, found: bytes) -> bool:
        document: dict[str, Any] = msgspec.json.decode(record.body)
        held = {name: document[name] for name in ("scan_id", "timestamp", "features", "interpretation")}
        return same_json(found, msgspec.json.encode(held))


class TestGuideItem(GuideItems):
    @pytest.fixture
    def unacceptable(self) -> Record:
        return make_record("not-a-number")


class TestDocumentItem(DynamoDbFixtures):
    key = "S"
    more: Mapping[str, object] = {"item": "document", "partition_key": {"type": "string"}}

    @pytest.fixture
    def unacceptable(self) -> Record:
        notes = Random(1).randbytes(500_000).hex()
        return make_record(900, body=msgspec.json.encode(scan_document(900) | {"notes": notes}))


class TestInsertedItems(TestDocumentItem):
    more: Mapping[str, object] = {**TestDocumentItem.more, "writes": "insert"}
    counts_changes = False  # ministack's streams do not tell of what PartiQL does

    @pytest.fixture
    def aws(self, ministack: servers.LocalServer) -> servers.LocalServer:
        """Moto's INSERT replaces what is there, where DynamoDB's answers DuplicateItem."""
        return ministack


class TestBatchedItems(GuideItems):
    more: Mapping[str, object] = {"writes": "batch", "on_conflict": "overwrite"}
    # A put that changes nothing is no change to DynamoDB, and one to these servers.
    counts_changes = False

    @pytest.fixture
    def unacceptable(self) -> Record:
        return make_record("not-a-number")


class TestItemsReadBack(SourceContract):
    @pytest.fixture
    def table(self, dynamodb: DynamoDBClient) -> str:
        return new_table(dynamodb)

    @pytest.fixture
    def source(self, front: Front, table: str) -> MakeSource:
        given = {"table": table, "region": servers.REGION, "endpoint_url": front.url, "auth": AUTH, "follow": True}
        options = DynamoDbSourceOptions.model_validate({**given, "poll_interval": 0.05})
        return lambda *, once: DynamoDbSource(options, Context("dynamodb", once=once))

    @pytest.fixture
    def put(self, aws: servers.LocalServer, table: str) -> Put:
        return partial(_put, aws.url, table, count(1))

    @pytest.fixture
    def faults(self, front: Front) -> Faults:
        return Faults(down=front.unavailable)


def _put(url: str, table: str, numbers: Iterator[int], amount: int) -> Mapping[str, bytes]:
    first = next(numbers)
    for _ in range(amount - 1):
        next(numbers)
    given = {"table": table, "region": servers.REGION, "endpoint_url": url, "auth": AUTH, "item": "document"}
    sink = DynamoDbSink(DynamoDbSinkOptions.model_validate(given), Context("before"))
    sent = make_records(amount, first=first)

    async def fill() -> None:
        await send_all(sink, sent)
        await sink.close()

    anyio.run(fill)
    return {record.scan_id: record.body for record in sent}
