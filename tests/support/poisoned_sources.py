"""The corpus at the services that sources read, put there by their genuine clients, byte for byte."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass
from typing import Any

import zstandard
from google.cloud import bigquery
from support import bigquery as warehouse
from support.corpus import BOMBS, Mixed, body, names
from support.gcs import gcs_client
from support.gcs import new_bucket as new_gcs_bucket
from support.poisoned import objects
from support.queues import new_queue
from support.rabbit import new_queue as new_rabbit_queue
from support.rabbit import send
from support.redis_looks import client as redis_client
from support.redis_looks import new_name
from support.s3 import aws_client, new_bucket
from support.tables import new_table
from support.topics import PROJECT, clients

from scribe_local import servers

SECOND_OF_A_PAIR = ("14-again-respelled", "15-other")
"""They need an order, which a table has not."""
OVER = frozenset(f"in/{name}" for name in BOMBS)
_SQS = re.compile("[\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]+")
_AWS = {
    "region": servers.REGION,
    "auth": {"access_key_id": servers.ACCESS_KEY, "secret_access_key": servers.SECRET_KEY},
}


@dataclass(frozen=True)
class Carried:
    """A source's options, and what it brings."""

    options: Mapping[str, Any]
    mixed: Mixed
    passed_over: frozenset[str] = frozenset()
    """Archives, by their names, that it cannot read to their end."""


def _text(raw: bytes) -> str | None:
    try:
        return raw.decode()
    except UnicodeDecodeError:
        return None


def of_text(name: str) -> bool:
    """What is text can stand in a text column."""
    return _text(body(name)) is not None


def of_sqs(name: str) -> bool:
    """SQS takes 1 byte to 1 MiB of the characters that XML has.

    https://docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference/API_SendMessage.html
    """
    text = _text(body(name))
    return text is not None and len(body(name)) <= 2**20 and _SQS.fullmatch(text) is not None


def rows(carries: Callable[[str], bool] = lambda _: True, *, ordered: bool = True) -> Mixed:
    return Mixed([name for name in names() if carries(name) and (ordered or name not in SECOND_OF_A_PAIR)])


def in_order(mixed: Mixed) -> Iterator[bytes]:
    """All bodies."""
    for good, name in mixed.groups():
        yield from good
        if name:
            yield mixed.body(name)


@contextmanager
def s3(server: servers.LocalServer) -> Iterator[Carried]:
    with closing(aws_client(server.url, "s3")) as client:
        bucket = new_bucket(client)
        mixed = rows()
        for key, content in objects(mixed).items():
            client.put_object(Bucket=bucket, Key=f"in/{key}", Body=content)
        for key, bomb in BOMBS.items():
            client.put_object(Bucket=bucket, Key=f"in/{key}", Body=bomb())
        yield Carried(
            {"type": "aws_s3", "bucket": bucket, "prefix": "in/", "endpoint_url": server.url, **_AWS}, mixed, OVER
        )


@contextmanager
def gcs(server: servers.LocalServer) -> Iterator[Carried]:
    with closing(gcs_client(server.url)) as client:
        bucket = new_gcs_bucket(client)
        mixed = rows()
        for key, content in objects(mixed).items():
            client.bucket(bucket).blob(f"in/{key}").upload_from_string(content)
        for key, bomb in BOMBS.items():
            client.bucket(bucket).blob(f"in/{key}").upload_from_string(bomb())
        yield Carried(
            {"type": "gcp_storage", "bucket": bucket, "prefix": "in/", "endpoint_url": server.url}, mixed, OVER
        )


@contextmanager
def sqs(server: servers.LocalServer) -> Iterator[Carried]:
    """A FIFO queue with one group, so that what came first is first."""
    with closing(aws_client(server.url, "sqs")) as client:
        url = new_queue(client, fifo=True)
        mixed = rows(of_sqs)
        for number, content in enumerate(in_order(mixed)):
            client.send_message(
                QueueUrl=url,
                MessageBody=content.decode(),
                MessageGroupId="all",
                MessageDeduplicationId=str(number),
            )
        yield Carried({"type": "aws_sqs", "queue_url": url, "endpoint_url": server.url, **_AWS}, mixed)


@contextmanager
def pubsub(server: servers.LocalServer) -> Iterator[Carried]:
    """A subscription in order; a message of Pub/Sub is not empty."""
    with clients(server.address) as cloud:
        topic = cloud.topic()
        subscription = cloud.subscription(topic, enable_message_ordering=True)
        mixed = rows(lambda name: bool(body(name)))
        for content in in_order(mixed):
            cloud.send(topic, {"data": content, "ordering_key": "all"})
        options = {"type": "gcp_pubsub", "project": PROJECT, "subscription": subscription.rpartition("/")[2]}
        yield Carried({**options, "endpoint_url": f"http://{server.address}"}, mixed)


@contextmanager
def rabbitmq(server: servers.RabbitMq) -> Iterator[Carried]:
    queue = new_rabbit_queue(server.port)
    mixed = rows()
    send(server.port, queue, *in_order(mixed))
    yield Carried({"type": "rabbitmq", "url": f"amqp://127.0.0.1:{server.port}", "queue": queue}, mixed)


@contextmanager
def redis(server: servers.LocalServer, kind: str) -> Iterator[Carried]:
    """A list, or a stream with its group."""
    name, mixed = new_name(kind), rows()
    with closing(redis_client(server.port)) as client:
        for content in in_order(mixed):
            if kind == "list":
                client.lpush(name, content)
            else:
                client.xadd(name, {"document": content})
        more = {"group": "all"} if kind == "stream" else {}
        yield Carried({"type": "redis", "url": f"redis://127.0.0.1:{server.port}", kind: name, **more}, mixed)


@contextmanager
def dynamodb(server: servers.LocalServer) -> Iterator[Carried]:
    """Items with the whole scan compressed in `document`, under keys of their own."""
    with closing(aws_client(server.url, "dynamodb")) as client:
        table = new_table(client, key="S")
        mixed = rows(ordered=False)
        for number, content in enumerate(in_order(mixed)):
            whole = zstandard.compress(content)
            client.put_item(TableName=table, Item={"scan_id": {"S": f"item {number}"}, "document": {"B": whole}})
        yield Carried({"type": "aws_dynamodb", "table": table, "endpoint_url": server.url, **_AWS}, mixed)


@contextmanager
def table(server: servers.BigQuery) -> Iterator[Carried]:
    """A table with the scans in a column of text."""
    with closing(warehouse.client(server.url)) as client:
        dataset = warehouse.new_dataset(client)
        fields = [bigquery.SchemaField("number", "INT64"), bigquery.SchemaField("document", "STRING")]
        place = f"{warehouse.PROJECT}.{dataset}.odd"
        client.create_table(bigquery.Table(place, schema=fields))
        mixed = rows(of_text)
        pending = [{"number": number, "document": content.decode()} for number, content in enumerate(in_order(mixed))]
        for start in range(0, len(pending), 50):
            assert not client.insert_rows_json(place, pending[start : start + 50])
        options = {"type": "gcp_bigquery", "project": warehouse.PROJECT, "dataset": dataset, "table": "odd"}
        yield Carried({**options, "endpoint_url": server.url, "order_by": ["number"]}, mixed)
