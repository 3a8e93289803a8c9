"""Seven destinations on the local cloud: the guide's functions, one scan after another, beside scribe-export.

The servers run beside the measured process, on the same cores, so CPU a scan says more than the rate, in which the
servers' own work is. With a delay every answer of every server comes 15 ms late.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from itertools import count
from typing import Any
from urllib.parse import urlsplit

from benchmarks.measure import ROUNDS, Figures, alternated, child
from benchmarks.names import CAREFUL, EXPORT, GUIDE, GUIDE_THREADS
from google.cloud import bigquery

from scribe_local.cloud import aws, gcp
from scribe_local.cloud.bigquery import DATASET
from scribe_local.cloud.cloud import LocalCloud, local_cloud
from scribe_local.cloud.lambda_ import make_function
from scribe_local.cloud.s3 import BUCKET
from scribe_local.cloud.storage import BUCKET as LAKE
from scribe_local.proxy import Mode, Proxy
from scribe_local.servers import REGION, BigQuery

SCANS = 5000
LATE = 0.015
_seeds = count(1)


@dataclass(frozen=True, slots=True)
class Ways:
    """How each server is reached: directly, or through a proxy that makes its answers late."""

    aws: str
    storage: str
    pubsub: str
    bigquery: str
    storage_write: str


@contextmanager
def furnished() -> Iterator[LocalCloud]:
    """The local cloud, and what the guide's functions need of it."""
    with local_cloud() as cloud:
        assert not cloud.missing, cloud.missing
        url = cloud.servers[0].url
        for function in ("scribe-scan-function", "bench"):
            make_function(url, function, "def handler(event, context): return {}", {})
        with_sqs, with_tables = aws.client(url, "sqs"), aws.client(url, "dynamodb")
        with_sqs.create_queue(QueueName="guide-requests")
        with_sqs.create_queue(QueueName="bench-scans")
        for table in ("guide-scans", "bench-scans"):
            with_tables.create_table(
                TableName=table,
                KeySchema=[{"AttributeName": "scan_id", "KeyType": "HASH"}],
                AttributeDefinitions=[{"AttributeName": "scan_id", "AttributeType": "N"}],
                BillingMode="PAY_PER_REQUEST",
            )
        _make_guide_table(cloud.servers[-1].url)
        yield cloud


def _make_guide_table(url: str) -> None:
    columns = {"scan_id": "INT64", "timestamp": "TIMESTAMP", "confidence": "FLOAT64"}
    columns |= dict.fromkeys(("material", "features_json", "interpretation_json"), "STRING")
    client: Any = bigquery.Client(
        project=gcp.PROJECT, credentials=gcp.anonymous(), client_options={"api_endpoint": url}
    )
    schema = [bigquery.SchemaField(name, kind) for name, kind in columns.items()]
    client.create_table(bigquery.Table(f"{gcp.PROJECT}.{DATASET}.guide", schema=schema))
    client.close()


def ways(cloud: LocalCloud, stack: ExitStack, late: float) -> Ways:
    """The servers' addresses, with `late` seconds before every answer."""
    server = {one.name: one for one in cloud.servers}
    warehouse = server["bigquery"]
    assert isinstance(warehouse, BigQuery)
    ports = [server["ministack"].port, server["fake-gcs-server"].port, server["pubsub"].port]
    ports += [warehouse.port, warehouse.grpc_port]
    if late:
        proxies = [stack.enter_context(Proxy(port)) for port in ports]
        for proxy in proxies:
            proxy.set(Mode.DELAY, delay=late)
        ports = [proxy.port for proxy in proxies]
    return Ways(*(f"http://127.0.0.1:{port}" for port in ports))


def of_a_script(way: Ways, script: str, scans: int, threads: int = 1) -> Figures:
    """A script with so many scans, once."""
    endpoints = {
        "threads": threads,
        "scans": scans,
        "seed": next(_seeds),
        "project": gcp.PROJECT,
        "region": REGION,
        "aws": way.aws,
        "storage": way.storage,
        "pubsub": urlsplit(way.pubsub).netloc,
        "bigquery": way.bigquery,
        "bucket": BUCKET,
        "queue_url": f"{way.aws}/000000000000/guide-requests",
        "table": "guide-scans",
        "lake": LAKE,
        "topic": "scans",
        "dataset": DATASET,
        "guide_table": "guide",
    }
    return child(script, json.dumps(endpoints))


def of_ours(cloud: LocalCloud, way: Ways, names: Sequence[str] = (), **how: bool) -> Figures:
    """scribe-export with these destinations, or with all seven, once; `how` may ask for its ``stages``, or ``behind``."""
    prefix = f"bench-{next(_seeds)}"
    destinations: dict[str, Any] = {
        "s3": {"type": "aws_s3", "connection": "aws", "bucket": BUCKET, "key": prefix + "/{batch_id}.{ext}"},
        "sqs": {"type": "aws_sqs", "connection": "aws", "queue_url": f"{way.aws}/000000000000/bench-scans"},
        "dynamodb": {"type": "aws_dynamodb", "connection": "aws", "table": "bench-scans", "item": "document"},
        "lambda": {"type": "aws_lambda", "connection": "aws", "function": "bench"},
        "gcs": {"type": "gcp_storage", "bucket": LAKE, "key": prefix + "/{batch_id}.{ext}"},
        "pubsub": {"type": "gcp_pubsub", "topic": "scans"},
        "bigquery": {"type": "gcp_bigquery", "dataset": DATASET, "table": "bench"},
    }
    for name, more in _BATCHED.items():
        destinations[name] |= more
    for name, url in (("gcs", way.storage), ("pubsub", way.pubsub), ("bigquery", way.bigquery)):
        destinations[name] |= {"connection": "gcp", "endpoint_url": url}
    destinations["bigquery"]["storage_endpoint_url"] = way.storage_write
    connections = {**cloud.connections, "aws": {**cloud.connections["aws"], "endpoint_url": way.aws}}
    destinations = {name: destinations[name] for name in names or destinations}
    asked = {"scans": SCANS, "seed": next(_seeds), "destinations": destinations, "connections": connections}
    return child("cloud_export", json.dumps(asked | {"stages": False, "behind": False} | how))


_BATCHED: Mapping[str, Mapping[str, Any]] = {
    "s3": {"compression": "zstd", "batch": {"max_records": 500}},
    "dynamodb": {"writes": "batch", "on_conflict": "overwrite"},
    "lambda": {"payload": "batch", "invocation": "async", "batch": {"max_records": 100}},
    "gcs": {"compression": "zstd", "batch": {"max_records": 500}},
    "pubsub": {"batch": {"max_records": 500}},
    "bigquery": {"method": "load", "create_table": {}, "batch": {"max_records": 2500}},
}


def measure() -> dict[str, Any]:
    """The part of the report."""
    rows: list[dict[str, Any]] = []
    with furnished() as cloud:
        for late in (0.0, LATE):
            with ExitStack() as stack:
                way = ways(cloud, stack, late)
                turns = {
                    EXPORT: partial(of_ours, cloud, way),
                    CAREFUL: partial(of_a_script, way, "careful_script", SCANS),
                    GUIDE: partial(of_a_script, way, "guide_script", 80),
                    GUIDE_THREADS: partial(of_a_script, way, "guide_script", 320, threads=32),
                }
                rows += [{"late": round(late * 1000), **row} for row in alternated(turns)]
    return {"rounds": ROUNDS, "rows": rows}
