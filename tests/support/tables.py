"""Tables of the local AWS, looked at by a genuine client."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from decimal import Decimal
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import msgspec
import zstandard
from boto3.dynamodb.types import TypeDeserializer
from support.front import Answer, Front, Received

from scribe_export.testing.destination import Destination

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

JSON = "application/x-amz-json-1.0"
UNAVAILABLE = Answer(503, b'{"__type":"com.amazonaws.dynamodb.v20120810#ServiceUnavailable","message":"later"}', JSON)
DENIED = Answer(400, b'{"__type":"com.amazon.coral.service#AccessDeniedException","message":"no"}', JSON)
EXPIRED = Answer(400, b'{"__type":"com.amazon.coral.service#ExpiredTokenException","message":"no"}', JSON)
THROTTLED = Answer(
    400, b'{"__type":"com.amazonaws.dynamodb.v20120810#ProvisionedThroughputExceededException","message":"less"}', JSON
)
_encode = msgspec.json.Encoder(decimal_format="number").encode


class _Python(TypeDeserializer):
    def _deserialize_n(self, value: str) -> Decimal:
        return Decimal(value)  # boto3's own refuses 1 with 60 zeros, as a number of 61 digits


_python = _Python().deserialize


def new_table(client: DynamoDBClient, *, key: str = "N", sort: tuple[str, str] | None = None) -> str:
    """Make a table with a name of its own and a stream of all its changes."""
    name = f"test-{uuid4()}"
    types = {"scan_id": key} | ({sort[0]: sort[1]} if sort else {})
    schema = [{"AttributeName": one, "KeyType": kind} for one, kind in zip(types, ("HASH", "RANGE"), strict=False)]
    client.create_table(
        TableName=name,
        KeySchema=schema,  # type: ignore[arg-type]  # key types as plain text
        AttributeDefinitions=[{"AttributeName": one, "AttributeType": kind} for one, kind in types.items()],  # type: ignore[typeddict-item]
        BillingMode="PAY_PER_REQUEST",
        StreamSpecification={"StreamEnabled": True, "StreamViewType": "NEW_IMAGE"},
    )
    return name


def items(client: DynamoDBClient, table: str) -> list[dict[str, Any]]:
    """All items, in Python's values."""
    found: list[dict[str, Any]] = []
    for page in client.get_paginator("scan").paginate(TableName=table, ConsistentRead=True):
        found += [{name: _python(value) for name, value in item.items()} for item in page["Items"]]
    return found


def as_json(item: Mapping[str, Any]) -> bytes:
    """The scan that an item holds: its document, or the guide's attributes of it."""
    if "document" in item:
        return zstandard.ZstdDecompressor().stream_reader(bytes(item["document"])).read()
    names = ("scan_id", "timestamp", "features", "interpretation")
    return _encode({name: item[name] for name in names if name in item})


class TableContents(Destination):
    """What a table holds; where `changes` is given, every change of an item is an effect."""

    def __init__(self, client: DynamoDBClient, table: str, changes: Callable[[], Sequence[str]] | None = None) -> None:
        self._client, self._table, self._changes = client, table, changes

    def held(self) -> list[tuple[str, bytes]]:
        return [(str(item["scan_id"]), as_json(item)) for item in items(self._client, self._table)]

    def effects(self) -> Mapping[str, int]:
        held = super().effects()
        if self._changes is None:
            return held
        changed = Counter(self._changes())
        assert changed.keys() == held.keys(), "the stream tells of other items than the table holds"
        return changed


def changes(streams: Any, client: DynamoDBClient, table: str) -> list[str]:
    """The scan ids of every change of the table, in order."""
    arn = client.describe_table(TableName=table)["Table"]["LatestStreamArn"]
    found: list[str] = []
    for shard in streams.describe_stream(StreamArn=arn)["StreamDescription"]["Shards"]:
        iterator: str | None = streams.get_shard_iterator(
            StreamArn=arn, ShardId=shard["ShardId"], ShardIteratorType="TRIM_HORIZON"
        )["ShardIterator"]
        while iterator:
            answer = streams.get_records(ShardIterator=iterator)
            found += [str(_python(one["dynamodb"]["Keys"]["scan_id"])) for one in answer["Records"]]
            iterator = answer.get("NextShardIterator") if answer["Records"] else None
    return found


@contextmanager
def failing_items(front: Front, fails: Callable[[str], bool], *, own: Answer = UNAVAILABLE) -> Iterator[None]:
    """DynamoDB does not take the items of these scan ids: `own` for a PutItem, else as its batches say it."""

    def put(came: Received) -> Answer | None:
        item = json.loads(came.body).get("Item")
        return own if item and fails(scan_id(item)) else None

    with (
        front.scripted(put),
        front.meddling(lambda came: _without(came, fails), lambda came, body: _said(came, body, fails)),
    ):
        yield


def scan_id(item: Mapping[str, Any]) -> str:
    """Of an item in wire form."""
    return str(next(iter(item["scan_id"].values())))


def _without(came: Received, fails: Callable[[str], bool]) -> bytes:
    document = json.loads(came.body)
    if "RequestItems" in document:
        for table, puts in document["RequestItems"].items():
            document["RequestItems"][table] = [one for one in puts if not fails(scan_id(one["PutRequest"]["Item"]))]
        document["RequestItems"] = {table: puts for table, puts in document["RequestItems"].items() if puts}
    elif "Statements" in document:
        document["Statements"] = [one for one in document["Statements"] if not fails(_inserted(one))]
    else:
        return bytes(came.body)
    return json.dumps(document).encode()


def _said(came: Received, body: bytes, fails: Callable[[str], bool]) -> bytes:
    document = json.loads(came.body)
    if "RequestItems" in document:
        left = {
            table: [one for one in puts if fails(scan_id(one["PutRequest"]["Item"]))]
            for table, puts in document["RequestItems"].items()
        }
        return json.dumps({"UnprocessedItems": {table: puts for table, puts in left.items() if puts}}).encode()
    if "Statements" in document:
        answers = iter(json.loads(body).get("Responses", ()))
        failed = {"Error": {"Code": "ThrottlingError", "Message": "less"}}
        found = [failed if fails(_inserted(one)) else next(answers) for one in document["Statements"]]
        return json.dumps({"Responses": found}).encode()
    return body


def _inserted(statement: Mapping[str, Any]) -> str:
    return str(next(iter(statement["Parameters"][0].values())))
