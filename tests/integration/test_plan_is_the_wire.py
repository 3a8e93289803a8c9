"""What `plan --json` prints is what goes over the wire, date and signature aside.

A connector adds its sinks' variants to `CASES` and, if none reaches its service yet, a wire to `support.wires`.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from support import wires
from support.wire import Told, Wire, delivered, on_the_wire, planned, told

from scribe_export.cli.main import main
from scribe_export.planning import Place
from scribe_local import servers


def scan(scan_id: int | str, *, day: int = 1, audio: int = 20, **more: Any) -> bytes:
    document: dict[str, Any] = {"scan_id": scan_id, "timestamp": f"2026-03-{day:02d}T09:30:00", **more}
    document["interpretation"] = {
        "confidence_scores": {"overall": 0.9},
        "pattern_matches": {"materials": [{"material": "oak"}]},
    }
    return json.dumps(document | {"response": {"audio_data": [0.25] * audio}}, ensure_ascii=False).encode()


SCANS = [scan(1), scan(2, day=2), scan("Eiche/ä b"), scan(4, note="木\n")]


@dataclass(frozen=True)
class Case:
    """A sink's options, beside those that reach its service; `wire` names the fixture that does."""

    wire: str
    options: Mapping[str, Any]
    scans: Sequence[bytes] = field(default_factory=lambda: SCANS)
    claims: bool = False
    """Scans that are too large are kept in an archive at the same service."""


PER_SCAN: dict[str, Any] = {"type": "aws_s3", "key": "scans/{timestamp:%Y/%m/%d}/scan-{scan_id}.json"}
PER_BATCH: dict[str, Any] = {"type": "aws_s3", "key": "scans/dt={timestamp:%Y-%m-%d}/{batch_id}.{ext}"}
SQS: dict[str, Any] = {"type": "aws_sqs"}
LAMBDA: dict[str, Any] = {"type": "aws_lambda"}
DYNAMODB: dict[str, Any] = {"type": "aws_dynamodb"}
PUBSUB: dict[str, Any] = {"type": "gcp_pubsub"}
BIGQUERY: dict[str, Any] = {"type": "gcp_bigquery"}
PARTS: dict[str, Any] = {"multipart_threshold": "5MiB", "part_size": "5MiB"}
SMALL: dict[str, Any] = {"max_message_bytes": "4KiB"}
CLAIM: dict[str, Any] = {"action": "claim_check", "destination": "archive"}
MANY = [scan(number, audio=number) for number in range(1, 24)]
LARGE = [scan(1), scan(2, audio=2000), scan(3)]
CASES = {
    "aws_s3 one object a scan": Case("s3_wire", PER_SCAN),
    "aws_s3 every setting": Case(
        "s3_wire",
        PER_SCAN
        | {
            "encryption": {"kms_key": "alias/scribe"},
            "storage_class": "STANDARD_IA",
            "tags": {"app": "scribe", "zwei": "ä ="},
            "expected_bucket_owner": "000000000000",
            "fields": {"exclude": ["response.audio_data"]},
        },
    ),
    "aws_s3 one object a batch": Case("s3_wire", PER_BATCH),
    "aws_s3 one compressed object a batch": Case(
        "s3_wire", PER_BATCH | {"compression": "zstd", "encryption": "AES256"}
    ),
}

CASES |= {
    "aws_s3 Parquet": Case("s3_wire", PER_BATCH | {"format": "parquet", "compression": "zstd"}),
    "aws_s3 a large object in parts": Case("s3_wire", PER_BATCH | PARTS, [scan(n, audio=400_000) for n in range(4)]),
}
CASES |= {
    "aws_sqs standard queue": Case(
        "sqs_wire", SQS | {"message_group": "{source}", "attributes": {"material": "{material}"}, "delay": "5s"}, MANY
    ),
    "aws_sqs requests within their bytes": Case(
        "sqs_wire", SQS | {"max_request_bytes": "1KiB", "max_message_bytes": "1KiB"}, MANY
    ),
    "aws_sqs FIFO queue": Case("fifo_wire", SQS),
    "aws_sqs FIFO queue in order": Case("fifo_wire", SQS | {"ordering_key": "{timestamp:%d}"}),
    "aws_sqs trimmed": Case("sqs_wire", SQS | SMALL | {"oversize": {"action": "trim"}}, LARGE),
    "aws_sqs claim check": Case("sqs_wire", SQS | SMALL | {"oversize": CLAIM}, LARGE, claims=True),
}
CASES |= {
    "aws_dynamodb conditional": Case(
        "dynamodb_wire", DYNAMODB | {"ttl": {"attribute": "gone_at", "after": "1d"}}, MANY
    ),
    "aws_dynamodb insert": Case("dynamodb_wire", DYNAMODB | {"writes": "insert", "item": "document"}, MANY),
    "aws_dynamodb batch": Case("dynamodb_wire", DYNAMODB | {"writes": "batch", "on_conflict": "overwrite"}, MANY),
}
CASES |= {
    "aws_lambda an event a scan": Case("lambda_wire", LAMBDA | {"client_context": {"app": "scribe"}}, MANY),
    "aws_lambda many scans an event": Case("lambda_wire", LAMBDA | {"payload": "batch", "invocation": "async"}, MANY),
}
CASES |= {
    "gcp_storage one object a scan": Case("gcs_wire", PER_SCAN | {"type": "gcp_storage"}),
    "gcp_storage every setting": Case(
        "gcs_wire",
        PER_SCAN
        | {
            "type": "gcp_storage",
            "storage_class": "NEARLINE",
            "metadata": {"app": "scribe"},
            "fields": {"exclude": ["response.audio_data"]},
        },
    ),
    "gcp_storage one compressed object a batch": Case(
        "gcs_wire", PER_BATCH | {"type": "gcp_storage", "compression": "gzip"}
    ),
    "gcp_pubsub without order": Case("pubsub_wire", PUBSUB, MANY),
    "gcp_pubsub requests within their bytes": Case(
        "pubsub_wire", PUBSUB | {"max_request_bytes": "2KiB", "max_message_bytes": "1KiB"}, MANY
    ),
    "gcp_pubsub in order": Case(
        "pubsub_wire", PUBSUB | {"ordering_key": "{timestamp:%d}", "attributes": {"material": "{material}"}}
    ),
    "gcp_pubsub trimmed": Case("pubsub_wire", PUBSUB | SMALL | {"oversize": {"action": "trim"}}, LARGE),
    "gcp_bigquery load": Case("bigquery_wire", BIGQUERY),
    "gcp_bigquery load, compressed": Case("bigquery_wire", BIGQUERY | {"compression": "gzip"}),
    "gcp_bigquery storage_write": Case("bigquery_wire", BIGQUERY | {"method": "storage_write"}, MANY),
    "gcp_bigquery insert_rows": Case("bigquery_wire", BIGQUERY | {"method": "insert_rows"}, MANY),
}


@pytest.fixture
def s3_wire(ministack: servers.LocalServer, bucket: str) -> Iterator[Wire]:
    with wires.s3(ministack, bucket) as wire:
        yield wire


@pytest.fixture
def sqs_wire(ministack: servers.LocalServer, bucket: str) -> Iterator[Wire]:
    with wires.sqs(ministack, bucket, fifo=False) as wire:
        yield wire


@pytest.fixture
def fifo_wire(ministack: servers.LocalServer, bucket: str) -> Iterator[Wire]:
    with wires.sqs(ministack, bucket, fifo=True) as wire:
        yield wire


@pytest.fixture
def dynamodb_wire(ministack: servers.LocalServer) -> Iterator[Wire]:
    with wires.dynamodb(ministack) as wire:
        yield wire


@pytest.fixture
def lambda_wire(ministack: servers.LocalServer) -> Iterator[Wire]:
    with wires.function(ministack) as wire:
        yield wire


@pytest.fixture
def gcs_wire(fake_gcs: servers.LocalServer) -> Iterator[Wire]:
    with wires.gcs(fake_gcs) as wire:
        yield wire


@pytest.fixture
def pubsub_wire(pubsub: servers.LocalServer) -> Iterator[Wire]:
    with wires.pubsub(pubsub) as wire:
        yield wire


@pytest.fixture
def bigquery_wire(bigquery: servers.BigQuery) -> Iterator[Wire]:
    with wires.bigquery(bigquery) as wire:
        yield wire


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_what_was_planned_went_over_the_wire(request: pytest.FixtureRequest, tmp_path: Path, case: Case) -> None:
    wire: Wire = request.getfixturevalue(case.wire)
    destinations = {"it": {**wire.options, **case.options}}
    if case.claims:
        assert wire.store, "the service of this wire keeps no claims"
        destinations["archive"] = {**wire.store, "key": "all/{scan_id}.json", "when": "false"}
    place = delivered(tmp_path, destinations, case.scans)
    plan = planned(tmp_path, destinations, case.scans, place)
    came = on_the_wire(wire)
    assert came, "nothing was sent"
    assert told(plan) == came
    carried = [
        one for batch in plan["destinations"]["it"]["batches"] for sent in batch["requests"] for one in sent["scans"]
    ]
    assert set(carried) == {str(json.loads(body)["scan_id"]) for body in case.scans}


def test_the_command_prints_what_the_exporter_would_send(s3_wire: Wire, tmp_path: Path) -> None:
    """Only the moment of journalling differs, and what is made of a journal's own uuid."""
    destinations = {"it": {**s3_wire.options, **PER_BATCH}}
    expected = planned(tmp_path, destinations, SCANS, Place(1_790_000_000.25))
    scans = tmp_path / "scans.jsonl"
    scans.write_bytes(b"\n".join(SCANS))
    config = tmp_path / "it" / "export.yaml"
    ended = CliRunner().invoke(main, ["plan", "--json", str(config), str(scans)])
    assert ended.exit_code == 0, ended.output
    assert s3_wire.received() == []
    document = json.loads(ended.stdout)
    assert _without_order(told(document)) == _without_order(told(expected))


def _without_order(requests: Sequence[Told]) -> list[Told]:
    order = "x-amz-meta-scribe-order"
    assert all(order in one.headers for one in requests)
    return [replace(one, headers={**one.headers, order: ""}) for one in requests]
