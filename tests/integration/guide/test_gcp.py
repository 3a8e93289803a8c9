"""The guide's Google Cloud class on the local servers, while a running exporter reads and performs what it left there.

Its section does not import Dict, so that it ends with a NameError; with that one name given the class works.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any
from uuid import uuid4

import google.auth
import pytest
from google.api_core.exceptions import AlreadyExists, Conflict
from google.auth.credentials import AnonymousCredentials
from google.cloud import bigquery as bigquery_sdk
from support.filed import FILES, filed
from support.gcs import new_bucket
from support.guide import load
from support.guide_program import example
from support.guide_verdicts import expected_failure
from support.pipeline import Pipeline, until
from support.topics import PROJECT, Clients, SubscriptionContents, clients

from scribe_local import servers

TITLE = "Google Cloud Integration"
SCAN = {
    "timestamp": "2026-05-06T19:00:00Z",
    "features": {"rms": 0.25},
    "interpretation": {
        "confidence_scores": {"overall": 0.85},
        "pattern_matches": {"materials": [{"material": "oak"}]},
    },
}


@pytest.fixture(scope="module")
def variables(fake_gcs: servers.LocalServer, pubsub: servers.LocalServer, bigquery: servers.BigQuery) -> dict[str, str]:
    return {
        "STORAGE_EMULATOR_HOST": fake_gcs.url,
        "PUBSUB_EMULATOR_HOST": pubsub.address,
        "BIGQUERY_EMULATOR_HOST": bigquery.url,
    }


@pytest.fixture(scope="module")
def guide(variables: dict[str, str]) -> Iterator[Any]:
    with pytest.MonkeyPatch.context() as patch:
        for name, value in variables.items():
            patch.setenv(name, value)
        patch.setattr(google.auth, "default", lambda *_, **__: (AnonymousCredentials(), PROJECT))
        module = load(TITLE, Dict=dict)
        module.integration = made = module.ScribeGCPIntegration(PROJECT)
    yield module
    made.storage_client.close()
    made.bigquery_client.close()
    made.publisher.stop()


class Place:
    """A bucket and two topics, and a run between them."""

    def __init__(
        self, folder: Path, guide: Any, variables: dict[str, str], cloud: Clients, simulator: servers.Simulator
    ) -> None:
        self.bucket = new_bucket(guide.integration.storage_client)
        asks, results = cloud.topic(), cloud.topic()
        self.topic = asks.rpartition("/")[2]
        self.told = SubscriptionContents(cloud, cloud.subscription(results))
        storage = {"type": "gcp_storage", "project": PROJECT, "endpoint_url": variables["STORAGE_EMULATOR_HOST"]}
        pubsub = {"type": "gcp_pubsub", "project": PROJECT}
        pubsub["endpoint_url"] = f"http://{variables['PUBSUB_EMULATOR_HOST']}"
        sources = {
            "archive": storage | {"bucket": self.bucket, "prefix": "scans/", "poll_interval": "100ms"},
            "asks": pubsub | {"subscription": cloud.subscription(asks).rpartition("/")[2], "delivers": "requests"},
        }
        told = {"results": pubsub | {"topic": results.rpartition("/")[2]}}
        scanner = {"type": "scribe_api", "url": simulator.url}
        self.folder = folder / "it"
        self.pipeline = Pipeline(self.folder, told | FILES, sources=sources, scanner=scanner)


@pytest.fixture(scope="module")
def place(
    tmp_path_factory: pytest.TempPathFactory, guide: Any, variables: dict[str, str], simulator: servers.Simulator
) -> Iterator[Place]:
    with clients(variables["PUBSUB_EMULATOR_HOST"]) as cloud:
        found = Place(tmp_path_factory.mktemp("gcp"), guide, variables, cloud, simulator)
        with found.pipeline as pipeline:
            run = pipeline.start()
            run.ready()
            yield found
            run.terminate()
            assert run.ended() == 0


def test_the_section_ends_at_a_name_that_it_does_not_import() -> None:
    with expected_failure("ScribeGCPIntegration"):
        load(TITLE)
    with expected_failure("Google Cloud Integration: main"):
        load(TITLE, name="__main__")


def test_what_the_class_uploads_to_cloud_storage_is_read_and_archived(guide: Any, place: Place) -> None:
    guide.integration.upload_scan_to_gcs(SCAN | {"scan_id": 123}, place.bucket, "scans/2026/05/06/scan-123.json")
    assert filed(place.folder, 123) == SCAN | {"scan_id": 123}


def test_what_the_class_asks_for_by_pubsub_is_performed_and_told_to_a_topic(guide: Any, place: Place) -> None:
    async def ask() -> None:
        """In a loop, whose time the message tells."""
        guide.integration.publish_scan_request(guide.ScanConfig(frequency=330.0, duration=1.0), place.topic)

    asyncio.run(ask())

    def told() -> list[Any]:
        return [scan for _, body in place.told.held() if (scan := json.loads(body)).get("config")]

    until(lambda: bool(told()), what="telling of the scan")
    [scan] = told()
    assert scan["config"]["frequency"] == 330.0
    assert filed(place.folder, scan["scan_id"]) == scan


@pytest.mark.filterwarnings("ignore:Client.dataset is deprecated:PendingDeprecationWarning")  # the guide calls it
def test_the_classes_row_and_ours_stand_in_one_table(tmp_path: Path, guide: Any, bigquery: servers.BigQuery) -> None:
    client, dataset = guide.integration.bigquery_client, f"d{uuid4().hex}"
    columns = {"scan_id": "INT64", "timestamp": "TIMESTAMP", "confidence": "FLOAT64", "material": "STRING"}
    columns |= {"features_json": "STRING", "interpretation_json": "STRING"}
    client.create_dataset(dataset)
    schema = [bigquery_sdk.SchemaField(name, kind) for name, kind in columns.items()]
    client.create_table(bigquery_sdk.Table(f"{PROJECT}.{dataset}.scans", schema=schema))
    guide.integration.store_scan_in_bigquery(SCAN | {"scan_id": 123}, dataset, "scans")

    warehouse: dict[str, Any] = {
        "type": "gcp_bigquery",
        "project": PROJECT,
        "endpoint_url": bigquery.url,
        "dataset": dataset,
    }
    warehouse |= {"table": "scans", "row": "guide", "column_types": {"scan_id": "INT64"}}
    source = {"type": "file", "path": "scan.json"}
    with Pipeline(tmp_path / "it", {"warehouse": warehouse}, sources={"scan": source}) as pipeline:
        (pipeline.folder / "scan.json").write_text(json.dumps(SCAN | {"scan_id": 124}))
        ended = pipeline.until_idle()
        assert ended.returncode == 0, ended.stderr[-3000:]
    theirs, ours = (dict(row.items()) for row in client.query(f"SELECT * FROM {dataset}.scans ORDER BY scan_id"))
    for name in ("features_json", "interpretation_json"):
        theirs[name], ours[name] = json.loads(theirs[name]), json.loads(ours[name])
    assert (theirs.pop("scan_id"), ours.pop("scan_id")) == (123, 124)
    assert theirs == ours


def test_its_main_uploads_a_scan_and_asks_for_one_once_the_name_is_imported(
    guide: Any, variables: dict[str, str]
) -> None:
    made = guide.integration
    with suppress(Conflict):
        made.storage_client.create_bucket("scribe-scans")
    with suppress(AlreadyExists):
        made.publisher.create_topic(name="projects/your-project-id/topics/scan-requests")
    ended = example(TITLE, google="your-project-id", imports={"Dict": "typing"}, variables=variables)
    assert ended.returncode == 0, ended.stderr
    uploaded, published = ended.stdout.splitlines()
    assert uploaded == "Uploaded scan to GCS: gs://scribe-scans/scans/2026/05/06/scan-123.json"
    assert published.startswith("Published scan request: ")
    stored = made.storage_client.bucket("scribe-scans").blob("scans/2026/05/06/scan-123.json").download_as_bytes()
    assert json.loads(stored)["scan_id"] == 123


def test_a_request_from_another_thread_fails(guide: Any, place: Place) -> None:
    with (
        ThreadPoolExecutor(1) as pool,
        expected_failure("ScribeGCPIntegration.publish_scan_request: in a thread of its own"),
    ):
        pool.submit(guide.integration.publish_scan_request, guide.ScanConfig(), place.topic).result(30)
