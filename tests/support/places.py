"""Places that hold scans: how a config writes to one and reads from it, and what a genuine client finds there."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from google.cloud.bigquery import Client
from support import bigquery as warehouse
from support import gcs as storage
from support.objects import contents
from support.oracle import held_in
from support.queues import QueueContents, new_queue
from support.s3 import aws_client, new_bucket
from support.tables import as_json, changes, items, new_table
from support.topics import PROJECT, SubscriptionContents, clients

from scribe_local import servers

_AWS = {
    "region": servers.REGION,
    "auth": {"access_key_id": servers.ACCESS_KEY, "secret_access_key": servers.SECRET_KEY},
}


@dataclass(frozen=True)
class Place:
    """`held` gives the body of every effect; one that was written twice is there twice."""

    destination: Mapping[str, Any]
    held: Callable[[], list[bytes]]
    source: Mapping[str, Any] = field(default_factory=dict)
    """Empty if nothing is read from it."""


@contextmanager
def s3(server: servers.LocalServer, key: str, **settings: Any) -> Iterator[Place]:
    """A versioned bucket."""
    with closing(aws_client(server.url, "s3")) as client:
        bucket = new_bucket(client, versioned=True)
        common = {"type": "aws_s3", "bucket": bucket, "endpoint_url": server.url, **_AWS}

        def held() -> list[bytes]:
            found: list[bytes] = []
            for page in client.get_paginator("list_object_versions").paginate(Bucket=bucket):
                for one in page.get("Versions", []):
                    got = client.get_object(Bucket=bucket, Key=one["Key"], VersionId=one["VersionId"])
                    found += contents(one["Key"], got["Body"].read())
            return found

        yield Place({**common, "key": key, **settings}, held, {**common, "prefix": "scans/"})


@contextmanager
def gcs(server: servers.LocalServer, key: str, **settings: Any) -> Iterator[Place]:
    """A bucket. The server keeps no older versions, so that only a `key` with {batch_id} shows what came twice."""
    with closing(storage.gcs_client(server.url)) as client:
        bucket = storage.new_bucket(client)
        common = {"type": "gcp_storage", "bucket": bucket, "endpoint_url": server.url}

        def held() -> list[bytes]:
            return [body for name, data in storage.stored(client, bucket).items() for body in contents(name, data)]

        yield Place({**common, "key": key, **settings}, held, {**common, "prefix": "scans/"})


@contextmanager
def dynamodb(server: servers.LocalServer, **settings: Any) -> Iterator[Place]:
    """A table whose key is text; every change of an item is an effect."""
    with (
        closing(aws_client(server.url, "dynamodb")) as client,
        closing(aws_client(server.url, "dynamodbstreams")) as streams,
    ):
        table = new_table(client, key="S")
        common = {"type": "aws_dynamodb", "table": table, "endpoint_url": server.url, **_AWS}
        given = {"item": "document", "partition_key": {"type": "string"}, **settings}

        def held() -> list[bytes]:
            bodies = {str(item["scan_id"]): as_json(item) for item in items(client, table)}
            return [bodies[scan_id] for scan_id in changes(streams, client, table)]

        yield Place(common | given, held, common)


@contextmanager
def bigquery(server: servers.BigQuery, method: str) -> Iterator[Place]:
    """A table that the exporter makes."""
    with closing(warehouse.client(server.url)) as client:
        dataset = warehouse.new_dataset(client)
        common = {
            "type": "gcp_bigquery",
            "project": warehouse.PROJECT,
            "dataset": dataset,
            "table": "scans",
            "endpoint_url": server.url,
        }
        given = {
            "method": method,
            "storage_endpoint_url": f"http://{server.target}",
            "create_table": {},
            "min_table_age": "0s",
        }
        yield Place(common | given, lambda: _documents(client, dataset), common)


def _documents(client: Client, dataset: str) -> list[bytes]:
    found = client.query_and_wait(f"SELECT TO_JSON_STRING(document) AS document FROM `{dataset}.scans`")
    return [row["document"].encode() for row in found]


@contextmanager
def sqs(server: servers.LocalServer) -> Iterator[Place]:
    """A standard queue."""
    with closing(aws_client(server.url, "sqs")) as client:
        url = new_queue(client)
        queue = QueueContents(client, url)
        given = {"type": "aws_sqs", "queue_url": url, "endpoint_url": server.url, **_AWS}
        yield Place(given, lambda: [body for _, body in queue.held()])


@contextmanager
def pubsub(server: servers.LocalServer) -> Iterator[Place]:
    """A topic, with a subscription."""
    with clients(server.address) as cloud:
        topic = cloud.topic()
        messages = SubscriptionContents(cloud, cloud.subscription(topic))
        given = {"type": "gcp_pubsub", "project": PROJECT, "topic": topic.rpartition("/")[2]}
        yield Place(
            {**given, "endpoint_url": f"http://{server.address}"}, lambda: [body for _, body in messages.held()]
        )


@contextmanager
def files(folder: Path) -> Iterator[Place]:
    """A folder with a file a batch."""
    given = {"type": "file", "directory": str(folder), "key": "all/{batch_id}.{ext}"}
    yield Place(given, lambda: held_in(folder))
