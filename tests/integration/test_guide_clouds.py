"""The guide's own AWS and Google Cloud classes, unchanged, at the other end of every queue, bucket and table."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from uuid import uuid4

import boto3
import google.auth
import pytest
from google.auth.credentials import AnonymousCredentials
from google.cloud import bigquery as bigquery_sdk
from google.cloud import pubsub_v1
from google.cloud.storage import Client as StorageClient
from support.guide import guide_classes
from support.pipeline import Pipeline
from support.queues import new_queue
from support.s3 import aws_client

from scribe_local import servers

PROJECT = "scribe-test"
CONFIG = SimpleNamespace(signal_type="sine", frequency=330.0, duration=1.0, amplitude=0.5)
FILES = {"files": {"type": "file", "directory": "archive", "key": "scans/{scan_id}.json"}}
GIVEN = {"json": json, "asyncio": asyncio, "Dict": dict, "Any": Any, "ScanConfig": SimpleNamespace}


@pytest.fixture
def scan() -> dict[str, Any]:
    return {
        "scan_id": 123,
        "timestamp": "2026-05-06T19:00:00Z",
        "features": {"rms": 0.25},
        "interpretation": {
            "confidence_scores": {"overall": 0.85},
            "pattern_matches": {"materials": [{"material": "oak"}]},
        },
    }


@pytest.fixture
def aws_guide(ministack: servers.LocalServer, monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.setenv("AWS_ENDPOINT_URL", ministack.url)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "test")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "test")
    return guide_classes("ScribeAWSIntegration", given=GIVEN | {"boto3": boto3})["ScribeAWSIntegration"](servers.REGION)


@pytest.fixture
def gcp_guide(
    fake_gcs: servers.LocalServer,
    pubsub: servers.LocalServer,
    bigquery: servers.BigQuery,
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[Any]:
    monkeypatch.setenv("STORAGE_EMULATOR_HOST", fake_gcs.url)
    monkeypatch.setenv("PUBSUB_EMULATOR_HOST", f"127.0.0.1:{pubsub.port}")
    monkeypatch.setenv("BIGQUERY_EMULATOR_HOST", bigquery.url)
    monkeypatch.setattr(google.auth, "default", lambda *_, **__: (AnonymousCredentials(), PROJECT))
    given = {"storage": SimpleNamespace(Client=StorageClient), "pubsub_v1": pubsub_v1, "bigquery": bigquery_sdk}
    guide = guide_classes("ScribeGCPIntegration", given=GIVEN | given)["ScribeGCPIntegration"](PROJECT)
    yield guide
    guide.storage_client.close()
    guide.bigquery_client.close()
    guide.publisher.stop()


@pytest.fixture
def connection(ministack: servers.LocalServer) -> dict[str, Any]:
    auth = {"access_key_id": servers.ACCESS_KEY, "secret_access_key": servers.SECRET_KEY}
    return {"region": servers.REGION, "endpoint_url": ministack.url, "auth": auth}


def exported(folder: Path, source: dict[str, Any], **settings: Any) -> list[Any]:
    """What a pipeline with this source files in a folder."""
    with Pipeline(folder / "it", FILES, sources={"it": source}, **settings) as pipeline:
        ended = pipeline.until_idle()
        assert ended.returncode == 0, ended.stderr[-3000:]
    return [json.loads(path.read_text()) for path in (folder / "it/archive/scans").glob("*.json")]


def performed(simulator: servers.Simulator) -> dict[str, Any]:
    return {"type": "scribe_api", "url": simulator.url}


async def asked(call: Any, *arguments: Any) -> None:
    """Within a loop, from which the guide takes its timestamps."""
    call(*arguments)


def test_what_the_guide_uploads_to_s3_is_read(
    tmp_path: Path, aws_guide: Any, connection: dict[str, Any], bucket: str, scan: dict[str, Any]
) -> None:
    aws_guide.upload_scan_to_s3(scan, bucket, "scans/2026/05/06/scan-123.json")
    source = {"type": "aws_s3", **connection, "bucket": bucket, "prefix": "scans/"}
    assert exported(tmp_path, source) == [scan]


def test_what_the_guide_asks_for_by_sqs_is_performed(
    tmp_path: Path,
    aws_guide: Any,
    connection: dict[str, Any],
    ministack: servers.LocalServer,
    simulator: servers.Simulator,
) -> None:
    sqs = aws_client(ministack.url, "sqs")
    url = new_queue(sqs)
    sqs.close()
    asyncio.run(asked(aws_guide.send_scan_request_to_sqs, CONFIG, url))
    source = {"type": "aws_sqs", **connection, "queue_url": url, "delivers": "requests", "wait_time": 0}
    (found,) = exported(tmp_path, source, scanner=performed(simulator))
    assert found["config"]["frequency"] == CONFIG.frequency


def test_the_guides_item_is_refused_for_its_floats_and_ours_is_that_item(
    tmp_path: Path, aws_guide: Any, connection: dict[str, Any], ministack: servers.LocalServer, scan: dict[str, Any]
) -> None:
    client = aws_client(ministack.url, "dynamodb")
    table = f"test-{uuid4()}"
    client.create_table(
        TableName=table,
        KeySchema=[{"AttributeName": "scan_id", "KeyType": "HASH"}],
        AttributeDefinitions=[{"AttributeName": "scan_id", "AttributeType": "N"}],
        BillingMode="PAY_PER_REQUEST",
    )
    client.close()
    with pytest.raises(TypeError, match="Float types are not supported"):
        aws_guide.store_scan_in_dynamodb(scan, table)
    decimals = json.loads(json.dumps(scan), parse_float=Decimal)
    aws_guide.store_scan_in_dynamodb(decimals, table)
    theirs = aws_guide.dynamodb_client.Table(table).scan()["Items"][0]
    aws_guide.dynamodb_client.Table(table).delete_item(Key={"scan_id": 123})

    (tmp_path / "scan.json").write_text(json.dumps(scan))
    with Pipeline(tmp_path / "it", {"index": {"type": "aws_dynamodb", **connection, "table": table}}) as pipeline:
        assert pipeline.call("send", str(tmp_path / "scan.json")).returncode == 0
        assert pipeline.until_idle().returncode == 0
    (ours,) = aws_guide.dynamodb_client.Table(table).scan()["Items"]
    assert {name: value for name, value in ours.items() if not name.startswith("scribe_")} == theirs


def test_what_the_guide_uploads_to_cloud_storage_is_read(
    tmp_path: Path, gcp_guide: Any, fake_gcs: servers.LocalServer, scan: dict[str, Any]
) -> None:
    name = f"test-{uuid4()}"
    gcp_guide.storage_client.create_bucket(name)
    gcp_guide.upload_scan_to_gcs(scan, name, "scans/2026/05/06/scan-123.json")
    source = {
        "type": "gcp_storage",
        "project": PROJECT,
        "endpoint_url": fake_gcs.url,
        "bucket": name,
        "prefix": "scans/",
    }
    assert exported(tmp_path, source) == [scan]


def test_what_the_guide_asks_for_by_pubsub_is_performed(
    tmp_path: Path, gcp_guide: Any, pubsub: servers.LocalServer, simulator: servers.Simulator
) -> None:
    topic, subscription = f"t-{uuid4()}", f"s-{uuid4()}"
    gcp_guide.publisher.create_topic(name=gcp_guide.publisher.topic_path(PROJECT, topic))
    subscriber: Any = pubsub_v1.SubscriberClient()
    with subscriber:
        path = subscriber.subscription_path(PROJECT, subscription)
        subscriber.create_subscription(name=path, topic=gcp_guide.publisher.topic_path(PROJECT, topic))
    asyncio.run(asked(gcp_guide.publish_scan_request, CONFIG, topic))
    source = {"type": "gcp_pubsub", "project": PROJECT, "endpoint_url": f"http://127.0.0.1:{pubsub.port}"}
    source |= {"subscription": subscription, "delivers": "requests"}
    (found,) = exported(tmp_path, source, scanner=performed(simulator))
    assert found["config"]["frequency"] == CONFIG.frequency


@pytest.mark.filterwarnings("ignore:Client.dataset is deprecated:PendingDeprecationWarning")  # the guide calls it
def test_the_guides_row_and_ours_stand_in_one_table(
    tmp_path: Path, gcp_guide: Any, bigquery: servers.BigQuery, dataset: str, scan: dict[str, Any]
) -> None:
    columns = {"scan_id": "INT64", "timestamp": "TIMESTAMP", "confidence": "FLOAT64", "material": "STRING"}
    columns |= {"features_json": "STRING", "interpretation_json": "STRING"}
    schema = [bigquery_sdk.SchemaField(name, kind) for name, kind in columns.items()]
    gcp_guide.bigquery_client.create_table(bigquery_sdk.Table(f"{PROJECT}.{dataset}.scans", schema=schema))
    gcp_guide.store_scan_in_bigquery(scan, dataset, "scans")
    ours = {
        "type": "gcp_bigquery",
        "project": PROJECT,
        "endpoint_url": bigquery.url,
        "dataset": dataset,
        "table": "scans",
    }
    (tmp_path / "scan.json").write_text(json.dumps({**scan, "scan_id": 124}))
    with Pipeline(
        tmp_path / "it", {"warehouse": ours | {"row": "guide", "column_types": {"scan_id": "INT64"}}}
    ) as pipeline:
        assert pipeline.call("send", str(tmp_path / "scan.json")).returncode == 0
        ended = pipeline.until_idle()
        assert ended.returncode == 0, ended.stderr[-3000:]
    rows = gcp_guide.bigquery_client.query(f"SELECT * FROM {dataset}.scans ORDER BY scan_id").result()
    first, second = (dict(row.items()) for row in rows)
    for name in ("features_json", "interpretation_json"):
        first[name], second[name] = json.loads(first[name]), json.loads(second[name])
    assert (first.pop("scan_id"), second.pop("scan_id")) == (123, 124)
    assert first == second
