"""How each service rounds what it charges for, by the examples of its own pages."""

import random
from collections.abc import Mapping
from typing import Any

import msgspec
import pytest

from scribe_connectors.aws._dynamodb_item import Entry
from scribe_connectors.aws._dynamodb_options import DynamoDbSinkOptions
from scribe_connectors.aws._dynamodb_usage import size_of, usage_of
from scribe_connectors.aws._dynamodb_values import item_size
from scribe_connectors.aws.dynamodb import DynamoDbSink
from scribe_connectors.aws.lambda_ import LambdaSink, LambdaSinkOptions
from scribe_connectors.aws.s3 import S3Sink, S3SinkOptions
from scribe_connectors.aws.sqs import SqsSink, SqsSinkOptions
from scribe_connectors.gcp.bigquery import BigQuerySink, BigQuerySinkOptions
from scribe_connectors.gcp.pubsub import PubsubSink, PubsubSinkOptions
from scribe_connectors.gcp.storage import GcsSink, GcsSinkOptions
from scribe_export.interface import Context, Sink
from scribe_export.model import Record, Usage
from scribe_export.testing.records import make_record, scan_body
from scribe_export.testing.sealing import seal_one

KIB, MIB = 1024, 2**20
QUEUE = "https://sqs.us-east-1.amazonaws.com/222222222222/scans"


def scans(*sizes: int) -> list[Record]:
    return [make_record(str(n), seq=n, body=scan_body(str(n), size=size)) for n, size in enumerate(sizes, start=1)]


def usage(sink: Sink, *records: Record) -> Usage:
    encoded = sink.encode(seal_one(sink, records))
    assert not encoded.refused
    return sink.usage(encoded)


def s3(**options: Any) -> S3Sink:
    given = {"bucket": "scribe-scans", "key": "scans/{scan_id}.json", "region": "us-east-1", **options}
    return S3Sink(S3SinkOptions.model_validate(given), Context("s3"))


def sqs(url: str = QUEUE, **options: Any) -> SqsSink:
    return SqsSink(SqsSinkOptions.model_validate({"queue_url": url, **options}), Context("sqs"))


@pytest.mark.parametrize(
    ("sizes", "charged"), [([256 * KIB], 4), ([64 * KIB], 1), ([64 * KIB + 1], 2), ([6_000] * 10, 1), ([100] * 11, 2)]
)
def test_each_64_kb_of_a_request_to_sqs_is_a_request(sizes: list[int], charged: int) -> None:
    """A payload of 256 KB is four requests: https://aws.amazon.com/sqs/pricing/"""
    assert usage(sqs(), *scans(*sizes)).tried["aws_sqs.standard_requests"] == charged


def test_a_request_has_the_price_of_its_kind_of_queue() -> None:
    record = make_record("1", seq=1)
    assert usage(sqs(f"{QUEUE}.fifo"), record).tried["aws_sqs.fifo_requests"] == 1
    assert usage(sqs(message_group="{source}"), record).tried["aws_sqs.fair_requests"] == 1


@pytest.mark.parametrize(
    ("invocation", "size", "charged"),
    [("async", 256 * KIB, 1), ("async", 256 * KIB + 1, 2), ("async", MIB, 13), ("sync", 5 * MIB, 1)],
)
def test_an_asynchronous_event_beyond_256_kb_is_charged_by_64_kb(invocation: str, size: int, charged: int) -> None:
    """https://aws.amazon.com/lambda/pricing/"""
    options = LambdaSinkOptions.model_validate({"function": "act", "invocation": invocation, "region": "us-east-1"})
    found = usage(LambdaSink(options, Context("act")), *scans(size))
    assert found.tried == {"requests": 1, "bytes_sent": size, "aws_lambda.requests": charged}


def item(size: int) -> Entry:
    """An item of so many bytes by DynamoDB's rules."""
    key = (("id", b'{"N":"1"}'),)  # two bytes of its name, and two
    data = msgspec.json.encode({"B": b"\0" * (size - 4 - len("data"))})
    return Entry(0, key, key, (("data", data),), "", "1")


@pytest.mark.parametrize(("sizes", "units"), [([500], 1), ([500, 3584], 5), ([1024], 1), ([1025], 2), ([3 * KIB], 3)])
def test_each_item_is_rounded_up_to_1_kb(sizes: list[int], units: int) -> None:
    """500 bytes and 3.5 KB are 1 KB and 4 KB:
    https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/read-write-operations.html
    """
    found = usage_of([item(size) for size in sizes], DynamoDbSinkOptions(table="scans", region="us-east-1"))
    assert found.tried["aws_dynamodb.write_request_units"] == units
    assert found.kept["aws_dynamodb.stored_bytes"] == sum(sizes) + 100 * len(sizes)


def difficult(seed: int) -> dict[str, Any]:
    draw = random.Random(seed)
    leaves: list[Any] = [True, None, -1.5e-9, 0, 12_000, 3.25, "", 'ä"\\\n木', "plain", [], {}]

    def value(depth: int) -> Any:
        kind = draw.random()
        if depth > 3 or kind < 0.6:
            return draw.choice(leaves)
        if kind < 0.8:
            return [value(depth + 1) for _ in range(draw.randrange(4))]
        return {f"{draw.choice('aä')}{number}": value(depth + 1) for number in range(draw.randrange(4))}

    return {"scan_id": seed, "features": value(0), "interpretation": {"x": value(0)}}


@pytest.mark.parametrize("form", ["guide", "document"])
def test_an_items_size_is_that_of_the_whole_item_decoded(form: str) -> None:
    options = DynamoDbSinkOptions.model_validate({"table": "scans", "region": "us-east-1", "item": form})
    sink = DynamoDbSink(options, Context("table"))
    bodies = [msgspec.json.encode(difficult(seed)) for seed in range(50)]
    records = [make_record(str(seed), seq=seed + 1, body=body) for seed, body in enumerate(bodies)]
    for entry in sink.encode(seal_one(sink, records)).payload:
        decoded: Mapping[str, Any] = {n: msgspec.json.decode(value) for n, value in (*entry.key, *entry.rest)}
        assert size_of(entry) == item_size(decoded)


def test_a_request_to_pubsub_is_charged_1000_bytes_at_least_and_not_a_message() -> None:
    """https://cloud.google.com/pubsub/pricing: a body, its attributes, 20 bytes of a timestamp and the message's id."""
    options = {"topic": "scans", "project": "lab", "attributes": {"material": "{scan_id}"}}
    sink = PubsubSink(PubsubSinkOptions.model_validate(options), Context("topic"))
    message = len("material") + 1 + 20 + 16
    assert usage(sink, *scans(300)).tried["gcp_pubsub.published_bytes"] == 1000
    assert usage(sink, *scans(300, 300)).tried["gcp_pubsub.published_bytes"] == 1000
    assert usage(sink, *scans(500, 500)).tried["gcp_pubsub.published_bytes"] == 2 * (500 + message)
    keyed = sink.options.model_copy(update={"ordering_key": "key"})
    found = usage(PubsubSink(keyed, Context("topic")), *scans(500, 500))
    assert found.tried["gcp_pubsub.published_bytes"] == 2 * (500 + message + len("key"))


def bigquery(method: str, **options: Any) -> BigQuerySink:
    given = {"project": "lab", "dataset": "scribe", "table": "scans", "method": method, **options}
    return BigQuerySink(BigQuerySinkOptions.model_validate(given), Context("rows"))


def test_a_row_that_is_inserted_is_charged_1_kb_at_least() -> None:
    """https://cloud.google.com/bigquery/pricing"""
    sink = bigquery("insert_rows", fields={"include": ["scan_id"]})
    assert usage(sink, *scans(300, 300)).kept["gcp_bigquery.inserted_bytes"] == 2 * KIB
    found = usage(bigquery("insert_rows"), *scans(5000))
    assert found.kept["gcp_bigquery.inserted_bytes"] == found.kept["gcp_bigquery.stored_bytes"] > 5000


def test_a_load_job_is_charged_nothing_whatever_its_upload_has() -> None:
    plain, packed = (
        usage(bigquery("load", compression=compression), *scans(5000, 5000)) for compression in ("none", "gzip")
    )
    assert packed.tried["bytes_sent"] < plain.tried["bytes_sent"] == plain.kept["gcp_bigquery.stored_bytes"]
    assert packed.kept == plain.kept


def test_an_upload_in_parts_to_s3_is_as_many_requests() -> None:
    """https://docs.aws.amazon.com/AmazonS3/latest/userguide/mpuoverview.html: one to begin it and one to end it."""
    sink = s3(multipart_threshold="5MiB", part_size="5MiB")
    assert usage(sink, *scans(5 * MIB)).tried["aws_s3.put_requests"] == 1
    assert usage(sink, *scans(5 * MIB + 1)).tried["aws_s3.put_requests"] == 4


@pytest.mark.parametrize(
    ("storage_class", "kept"),
    [
        ("STANDARD", {"aws_s3.stored_bytes": 300}),
        ("STANDARD_IA", {"aws_s3.standard_ia.stored_bytes": 128 * KIB}),
        ("GLACIER_IR", {"aws_s3.glacier_ir.stored_bytes": 128 * KIB}),
        ("DEEP_ARCHIVE", {"aws_s3.deep_archive.stored_bytes": 300 + 32 * KIB, "aws_s3.stored_bytes": 8 * KIB}),
    ],
)
def test_a_small_object_of_a_cheap_class_is_charged_as_a_larger_one(storage_class: str, kept: dict[str, float]) -> None:
    """https://aws.amazon.com/s3/pricing/"""
    found = usage(s3(storage_class=storage_class), *scans(300))
    assert found.kept == kept
    assert [unit.rpartition(".")[2] for unit in found.tried] == ["requests", "bytes_sent", "put_requests"]


def test_an_upload_to_cloud_storage_is_one_operation_however_many_requests_it_takes() -> None:
    """https://cloud.google.com/storage/pricing#operations-notes"""
    options = {"bucket": "lake", "key": "scans/{scan_id}.json", "project": "lab", "storage_class": "NEARLINE"}
    sink = GcsSink(GcsSinkOptions.model_validate(options), Context("lake"))
    assert usage(sink, *scans(8 * MIB)).tried["requests"] == 1
    found = usage(sink, *scans(8 * MIB + 1))
    assert found.tried["requests"] == 3
    assert found.kept == {
        "gcp_storage.nearline.class_a_operations": 1,
        "gcp_storage.nearline.stored_bytes": 8 * MIB + 1,
    }


def test_what_is_counted_of_one_object_a_batch_is_that_object() -> None:
    found = usage(s3(key="scans/{batch_id}.jsonl"), *scans(300, 400))
    assert found.tried == {"requests": 1, "bytes_sent": 702, "aws_s3.put_requests": 1}
