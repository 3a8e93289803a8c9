"""The services that a plan is compared on, each behind a server that records."""

import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

from google.cloud.bigquery_storage_v1 import types as storage
from google.pubsub_v1 import types as publishing
from support import bigquery as warehouse
from support.front import Answer, Front
from support.gcs import gcs_client
from support.gcs import new_bucket as new_gcs_bucket
from support.grpc_front import Call, GrpcFront
from support.queues import new_queue
from support.s3 import aws_client
from support.tables import new_table
from support.topics import PROJECT, clients
from support.warehouse import make_table
from support.wire import Wire

from scribe_connectors.aws import _rehearsal as of_aws
from scribe_connectors.gcp import _rehearsal as of_gcp
from scribe_connectors.gcp import _rpc_rehearsal as of_rpc
from scribe_export.model import Request
from scribe_local import servers
from scribe_local.cloud.lambda_ import make_function

TRANSPORT = frozenset({"host", "accept-encoding", "connection"})
"""Headers of HTTP's own, which say nothing of a delivery."""
_LOOKS = (".DescribeTable", ".DescribeTimeToLive", ".GetItem")
_RPC_TRANSPORT = re.compile(r"grpc-.*|te|content-type")
_MESSAGES: Mapping[str, Any] = {
    "/google.pubsub.v1.Publisher/Publish": publishing.PublishRequest,
    "/google.cloud.bigquery.storage.v1.BigQueryWrite/AppendRows": storage.AppendRowsRequest,
}
"""By method; other calls only look, or take a place."""


def _front(port: int) -> Front:
    return Front(port, unavailable=Answer(503), denied=Answer(403))


def _of_http(front: Front) -> Callable[[], list[Request]]:
    return lambda: [Request(one.method, front.url + one.path, one.headers, one.body) for one in front.received]


def _aws(front: Front, options: Mapping[str, Any], *, looks: Callable[[Request], bool]) -> Wire:
    auth = {"access_key_id": servers.ACCESS_KEY, "secret_access_key": servers.SECRET_KEY}
    return Wire(
        options={**options, "region": servers.REGION, "endpoint_url": front.url, "auth": auth},
        received=_of_http(front),
        looks=looks,
        lasting=lambda headers: of_aws.lasting({n: value for n, value in headers.items() if n not in TRANSPORT}),
    )


@contextmanager
def s3(aws: servers.LocalServer, bucket: str) -> Iterator[Wire]:
    with _front(aws.port) as front:
        yield _aws(front, {"bucket": bucket}, looks=lambda request: request.method == "HEAD")


@contextmanager
def sqs(aws: servers.LocalServer, bucket: str, *, fifo: bool) -> Iterator[Wire]:
    """With a bucket as the store for claims."""
    client = aws_client(aws.url, "sqs")
    url = new_queue(client, fifo=fifo)
    client.close()
    with _front(aws.port) as front:
        store = _aws(front, {"bucket": bucket}, looks=lambda request: request.method == "HEAD")

        def looks(request: Request) -> bool:
            return store.looks(request) or request.headers.get("x-amz-target") == "AmazonSQS.GetQueueAttributes"

        yield replace(_aws(front, {"queue_url": url}, looks=looks), store={**store.options, "type": "aws_s3"})


@contextmanager
def dynamodb(aws: servers.LocalServer) -> Iterator[Wire]:
    """A table whose key is a number."""
    client = aws_client(aws.url, "dynamodb")
    table = new_table(client)
    client.close()
    with _front(aws.port) as front:
        yield _aws(front, {"table": table}, looks=lambda one: one.headers.get("x-amz-target", "").endswith(_LOOKS))


@contextmanager
def function(aws: servers.LocalServer) -> Iterator[Wire]:
    """A function that takes everything."""
    name = "takes-everything"
    make_function(aws.url, name, "def handler(event, context): return {}", {})

    def looks(request: Request) -> bool:
        return request.method == "GET" or request.headers.get("x-amz-invocation-type") == "DryRun"

    with _front(aws.port) as front:
        yield _aws(front, {"function": name}, looks=looks)


@contextmanager
def gcs(fake_gcs: servers.LocalServer) -> Iterator[Wire]:
    client = gcs_client(fake_gcs.url)
    bucket = new_gcs_bucket(client)
    client.close()
    with _front(fake_gcs.port) as front:
        yield Wire(
            options={"bucket": bucket, "endpoint_url": front.url},
            received=_of_http(front),
            looks=lambda request: request.method == "GET",
            lasting=of_gcp.lasting,
        )


@contextmanager
def pubsub(server: servers.LocalServer) -> Iterator[Wire]:
    with clients(server.address) as cloud:
        topic = cloud.topic().rpartition("/")[2]
    with GrpcFront(server.address) as front:
        yield Wire(
            options={"topic": topic, "project": PROJECT, "endpoint_url": front.url},
            received=lambda: _of_grpc(front),
        )


@contextmanager
def bigquery(server: servers.BigQuery) -> Iterator[Wire]:
    """A table of typed rows. A job's state is looked at as often as it takes."""
    client = warehouse.client(server.url)
    dataset = warehouse.new_dataset(client)
    make_table(client, dataset)
    client.close()
    with _front(server.port) as front, GrpcFront(server.target) as storage_front:
        yield Wire(
            options={
                "project": warehouse.PROJECT,
                "dataset": dataset,
                "table": "scans",
                "endpoint_url": front.url,
                "storage_endpoint_url": storage_front.url,
                "min_table_age": "0s",
            },
            received=lambda: [*_of_http(front)(), *_of_grpc(storage_front)],
            looks=lambda request: request.method == "GET",
            lasting=of_gcp.lasting,
        )


def _of_grpc(front: GrpcFront) -> list[Request]:
    target = front.url.removeprefix("http://")
    return [
        Request(call.method.removeprefix("/"), target, _rpc_lasting(call.metadata), _message(call))
        for call in front.streamed
        if call.method in _MESSAGES
    ]


def _message(call: Call) -> bytes:
    of = _MESSAGES[call.method]
    return of_rpc.as_json(of.pb(of()).FromString(call.body))


def _rpc_lasting(metadata: Mapping[str, str]) -> Mapping[str, str]:
    return of_rpc.lasting([(name, value) for name, value in metadata.items() if not _RPC_TRANSPORT.fullmatch(name)])
