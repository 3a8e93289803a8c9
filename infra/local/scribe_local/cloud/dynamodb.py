"""DynamoDB: an item a scan."""

import io
from collections.abc import Iterator, Mapping
from typing import Any

import zstandard

from scribe_local.cloud.aws import client
from scribe_local.cloud.service import Service

TABLE = "scribe-scans"


class DynamoDb(Service):
    """A table with a key; an item holds the whole scan, compressed, and what it is found by."""

    name = "index"
    connection = "aws"
    what = "DynamoDB, an item a scan"

    def __init__(self, url: str) -> None:
        self._dynamodb = client(url, "dynamodb")

    def prepare(self) -> None:
        if TABLE not in self._dynamodb.list_tables()["TableNames"]:
            self._dynamodb.create_table(
                TableName=TABLE,
                KeySchema=[{"AttributeName": "scan_id", "KeyType": "HASH"}],
                AttributeDefinitions=[{"AttributeName": "scan_id", "AttributeType": "N"}],
                BillingMode="PAY_PER_REQUEST",
            )

    def destination(self) -> Mapping[str, Any]:
        return {"type": "aws_dynamodb", "table": TABLE, "item": "document"}

    def copies(self) -> Iterator[bytes]:
        for page in self._dynamodb.get_paginator("scan").paginate(TableName=TABLE, ConsistentRead=True):
            for item in page["Items"]:
                packed = io.BytesIO(item["document"]["B"])
                yield zstandard.ZstdDecompressor().stream_reader(packed).read()

    def close(self) -> None:
        self._dynamodb.close()
