"""The guide's AWS class on the local AWS, while a running exporter reads, performs and tells what it left there."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from support.filed import FILES, filed
from support.functions import SCANS, new_function
from support.guide import load
from support.guide_program import example
from support.guide_verdicts import expected_failure, promised
from support.pipeline import Pipeline, until
from support.queues import QueueContents, new_queue
from support.s3 import new_bucket

from scribe_local.servers import ACCESS_KEY, SECRET_KEY, LocalServer, Simulator

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

TITLE = "AWS Integration"
REGION = "us-west-2"
"""The guide's own."""
SCAN = {
    "timestamp": "2026-05-06T19:00:00Z",
    "features": {"rms": 0.25},
    "interpretation": {
        "confidence_scores": {"overall": 0.85},
        "pattern_matches": {"materials": [{"material": "oak"}]},
    },
}


@pytest.fixture(scope="module")
def guide(ministack: LocalServer) -> Iterator[Any]:
    with pytest.MonkeyPatch.context() as patch:
        for name, value in environment(ministack).items():
            patch.setenv(name, value)
        module = load(TITLE)
        # The guide's own region.
        module.integration = made = module.ScribeAWSIntegration()
        yield module
        for client in (made.s3_client, made.lambda_client, made.sqs_client):
            client.close()


def environment(ministack: LocalServer) -> dict[str, str]:
    return {
        "AWS_ENDPOINT_URL": ministack.url,
        "AWS_ACCESS_KEY_ID": ACCESS_KEY,
        "AWS_SECRET_ACCESS_KEY": SECRET_KEY,
    }


class Place:
    """A bucket, two queues and two tables, and a run between them."""

    def __init__(self, folder: Path, guide: Any, ministack: LocalServer, s3: S3Client, simulator: Simulator) -> None:
        made = guide.integration
        self.bucket = new_bucket(s3)
        self.asks, self.results = new_queue(made.sqs_client), new_queue(made.sqs_client)
        self.told = QueueContents(made.sqs_client, self.results)
        self.tables = [new_table(made.dynamodb_client) for _ in range(2)]
        auth = {"access_key_id": ACCESS_KEY, "secret_access_key": SECRET_KEY}
        aws = {"region": REGION, "endpoint_url": ministack.url, "auth": auth}
        sources: dict[str, dict[str, Any]] = {
            "archive": {"type": "aws_s3", "bucket": self.bucket, "prefix": "scans/", "poll_interval": "100ms"},
            "asks": {"type": "aws_sqs", "queue_url": self.asks, "delivers": "requests", "wait_time": 1},
        }
        destinations: dict[str, dict[str, Any]] = {
            "results": {"type": "aws_sqs", "queue_url": self.results},
            "index": {"type": "aws_dynamodb", "table": self.tables[0].name},
        }
        for entry in (*sources.values(), *destinations.values()):
            entry.update(aws)
        scanner = {"type": "scribe_api", "url": simulator.url}
        self.folder = folder / "it"
        self.pipeline = Pipeline(self.folder, destinations | FILES, sources=sources, scanner=scanner)


@pytest.fixture(scope="module")
def place(
    tmp_path_factory: pytest.TempPathFactory, guide: Any, ministack: LocalServer, s3: S3Client, simulator: Simulator
) -> Iterator[Place]:
    found = Place(tmp_path_factory.mktemp("aws"), guide, ministack, s3, simulator)
    with found.pipeline as pipeline:
        run = pipeline.start()
        run.ready()
        yield found
        run.terminate()
        assert run.ended() == 0


@pytest.fixture(scope="module")
def function(guide: Any, s3: S3Client) -> str:
    """The guide's, which performs scans."""
    return new_function(guide.integration.lambda_client, SCANS, new_bucket(s3), name="scribe-scan-function")


def new_table(dynamodb: Any) -> Any:
    return dynamodb.create_table(
        TableName=f"guide-{len(list(dynamodb.tables.all()))}",
        KeySchema=[{"AttributeName": "scan_id", "KeyType": "HASH"}],
        AttributeDefinitions=[{"AttributeName": "scan_id", "AttributeType": "N"}],
        BillingMode="PAY_PER_REQUEST",
    )


def test_what_the_class_uploads_to_s3_is_read_and_archived(guide: Any, place: Place) -> None:
    guide.integration.upload_scan_to_s3(SCAN | {"scan_id": 123}, place.bucket, "scans/2026/05/06/scan-123.json")
    assert filed(place.folder, 123) == SCAN | {"scan_id": 123}


def test_what_the_class_asks_for_by_sqs_is_performed_and_told_to_a_queue(guide: Any, place: Place) -> None:
    async def ask() -> None:
        """In a loop, whose time the message tells."""
        guide.integration.send_scan_request_to_sqs(guide.ScanConfig(frequency=330.0, duration=1.0), place.asks)

    asyncio.run(ask())

    def told() -> list[Any]:
        return [scan for _, body in place.told.held() if (scan := json.loads(body)).get("config")]

    until(lambda: bool(told()), what="telling of the scan")
    [scan] = told()
    assert scan["config"]["frequency"] == 330.0
    assert filed(place.folder, scan["scan_id"]) == scan


def test_the_classes_item_is_refused_for_its_floats_and_ours_is_that_item(guide: Any, place: Place) -> None:
    ours, theirs = place.tables
    scan = SCAN | {"scan_id": 124}
    with expected_failure("ScribeAWSIntegration.store_scan_in_dynamodb"):
        guide.integration.store_scan_in_dynamodb(scan, theirs.name)
    guide.integration.store_scan_in_dynamodb(json.loads(json.dumps(scan), parse_float=Decimal), theirs.name)
    guide.integration.upload_scan_to_s3(scan, place.bucket, "scans/2026/05/06/scan-124.json")

    key = {"Key": {"scan_id": 124}}
    until(lambda: "Item" in ours.get_item(**key), what="indexing")
    stored = {name: value for name, value in ours.get_item(**key)["Item"].items() if not name.startswith("scribe_")}
    assert stored == theirs.get_item(**key)["Item"]


@pytest.mark.usefixtures("function")
def test_the_class_invokes_the_function_and_takes_its_error_for_a_result(guide: Any) -> None:
    scan = guide.integration.invoke_scribe_lambda(guide.ScanConfig(frequency=220.0))
    assert scan["config"]["frequency"] == 220.0
    with expected_failure("ScribeAWSIntegration.invoke_scribe_lambda: the function raises"):
        result = guide.integration.invoke_scribe_lambda(guide.ScanConfig(signal_type="broken"))
        promised("scan_id" in result, instead=f"the error was returned as a result: {result['errorMessage']}")


@pytest.mark.usefixtures("function")
def test_its_main_uploads_a_scan_and_invokes_the_function(ministack: LocalServer, s3: S3Client) -> None:
    with suppress(s3.exceptions.BucketAlreadyOwnedByYou):
        s3.create_bucket(Bucket="scribe-scans")
    ended = example(TITLE, variables=environment(ministack))
    assert ended.returncode == 0, ended.stderr
    uploaded, invoked = ended.stdout.splitlines()
    assert uploaded == "Uploaded scan to S3: s3://scribe-scans/scans/2026/05/06/scan-123.json"
    assert invoked.startswith("Lambda result: {'scan_id': ")
    stored = s3.get_object(Bucket="scribe-scans", Key="scans/2026/05/06/scan-123.json")["Body"].read()
    assert json.loads(stored)["scan_id"] == 123


def test_a_request_from_another_thread_fails(guide: Any, place: Place) -> None:
    with (
        ThreadPoolExecutor(1) as pool,
        expected_failure("ScribeAWSIntegration.send_scan_request_to_sqs: in a thread of its own"),
    ):
        pool.submit(guide.integration.send_scan_request_to_sqs, guide.ScanConfig(), place.asks).result(30)
