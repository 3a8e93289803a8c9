"""Destinations of every kind on their local servers, through which the corpus goes, and what they hold then."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from support import places
from support import redis_looks as looks
from support.bigquery import client as warehouse_client
from support.functions import KEEPS, new_function
from support.places import Place
from support.queues import QueueContents, new_queue
from support.rabbit import Contents
from support.rabbit import new_queue as new_rabbit_queue
from support.s3 import aws_client, new_bucket
from support.scribe_tables import new_database, query
from support.stored import bodies
from support.tables import items

from scribe_export.testing.destination import Destination
from scribe_local import servers

EACH = "scans/{scan_id}.json"
BATCH = "scans/{batch_id}.{ext}"
LARGEST = 2**20
"""Bytes of a message, where the operator says how large it may be."""


@dataclass(frozen=True)
class Sink:
    """`bodies` are what it holds byte for byte, or None where its form is another; then `ids` says which scans."""

    options: Mapping[str, Any]
    traits: tuple[str, ...] = ()
    bodies: Callable[[], Iterable[bytes]] | None = None
    ids: Callable[[], Iterable[str]] | None = None


def _of(place: Place, *traits: str) -> Sink:
    return Sink(place.destination, traits, bodies=place.held)


@contextmanager
def aws(server: servers.LocalServer) -> Iterator[dict[str, Sink]]:
    """S3, SQS and DynamoDB."""
    with ExitStack() as stack:
        sqs = stack.enter_context(closing(aws_client(server.url, "sqs")))
        fifo = QueueContents(sqs, url := new_queue(sqs, fifo=True))
        queue = stack.enter_context(places.sqs(server))
        table = stack.enter_context(places.dynamodb(server, item="guide"))
        dynamodb = stack.enter_context(closing(aws_client(server.url, "dynamodb")))
        yield {
            "each": _of(stack.enter_context(places.s3(server, EACH))),
            "zipped": _of(stack.enter_context(places.s3(server, BATCH, compression="gzip"))),
            "queue": _of(queue, "sqs"),
            "fifo": Sink({**queue.destination, "queue_url": url}, ("sqs",), lambda: [body for _, body in fifo.held()]),
            "documents": _of(stack.enter_context(places.dynamodb(server))),
            "items": Sink(
                table.destination,
                ("items",),
                ids=lambda: [str(one["scan_id"]) for one in items(dynamodb, table.destination["table"])],
            ),
        }


@contextmanager
def functions(server: servers.LocalServer) -> Iterator[dict[str, Sink]]:
    """A function that keeps every scan."""
    with closing(aws_client(server.url, "lambda")) as client, closing(aws_client(server.url, "s3")) as s3:
        bucket = new_bucket(s3)
        common = {"region": servers.REGION, "endpoint_url": server.url}
        auth = {"access_key_id": servers.ACCESS_KEY, "secret_access_key": servers.SECRET_KEY}
        options = {"type": "aws_lambda", "function": new_function(client, KEEPS, bucket), **common, "auth": auth}
        yield {
            "function": Sink(
                {**options, "payload": "batch"}, ("function",), ids=lambda: _ids(bodies(s3, bucket, "effects/"))
            )
        }


def _ids(found: Iterable[bytes]) -> list[str]:
    return [str(json.loads(body)["scan_id"]) for body in found]


@contextmanager
def google(
    gcs: servers.LocalServer, pubsub: servers.LocalServer, warehouse: servers.BigQuery
) -> Iterator[dict[str, Sink]]:
    """Cloud Storage, Pub/Sub and BigQuery by all of its methods."""
    with ExitStack() as stack:
        client = stack.enter_context(closing(warehouse_client(warehouse.url)))
        found = {
            "each": _of(stack.enter_context(places.gcs(gcs, EACH))),
            "topic": _of(stack.enter_context(places.pubsub(pubsub))),
        }
        for method in ("load", "storage_write", "insert_rows"):
            place = stack.enter_context(places.bigquery(warehouse, method))
            dataset = place.destination["dataset"]

            typed = {**place.destination, "row": "typed", "table": "typed"}
            text = {**typed, "table": "text", "column_types": {"document": "STRING"}}
            found[f"{method}-typed"] = Sink(typed, ("day", "json"), ids=partial(_rows, client, dataset, "typed"))
            found[f"{method}-text"] = Sink(text, ("day",), ids=partial(_rows, client, dataset, "text"))
        yield found


def _rows(client: Any, dataset: str, table: str) -> list[str]:
    # Rows are asked for their ids alone: Google's client copies values level by level, and runs out of levels.
    found = client.query_and_wait(f"SELECT scan_id FROM `{dataset}.{table}`")
    return [row["scan_id"] for row in found]


def _bodies(contents: Destination) -> list[bytes]:
    return [body for _, body in contents.held()]


@contextmanager
def queues(redis: servers.LocalServer, rabbitmq: servers.RabbitMq) -> Iterator[dict[str, Sink]]:
    """Redis in all of its kinds, and RabbitMQ."""
    with closing(looks.client(redis.port)) as client:
        names = {kind: looks.new_name(kind) for kind in ("list", "stream", "channel", "key")}
        heard = looks.Heard(client, names["channel"])
        contents: dict[str, Destination] = {
            "list": looks.Elements(client, names["list"]),
            "stream": looks.Entries(client, names["stream"]),
            "channel": heard,
            "key": looks.Keys(client, names["key"]),
        }
        at = {"type": "redis", "url": f"redis://127.0.0.1:{redis.port}", "max_value_bytes": "8MiB"}
        found = {
            kind: Sink(
                {**at, kind: name + (":{scan_id}" if kind == "key" else "")},
                bodies=partial(_bodies, contents[kind]),
            )
            for kind, name in names.items()
        }
        queue = new_rabbit_queue(rabbitmq.port)
        rabbit = Contents(rabbitmq.port, queue)
        found["rabbitmq"] = Sink(
            {"type": "rabbitmq", "url": f"amqp://127.0.0.1:{rabbitmq.port}", "queue": queue},
            bodies=lambda: [body for _, body in rabbit.held()],
        )
        yield found
        heard.close()


def database(folder: Path) -> dict[str, Sink]:
    """SCRIBE's own."""
    made = new_database(folder / "scribe_learning.db")

    def ids() -> list[str]:
        return [key for (key,) in query(made, "SELECT scan_key FROM scribe_export_delivered")]

    return {"database": Sink({"type": "scribe_database", "path": str(made)}, ("rows",), ids=ids)}
