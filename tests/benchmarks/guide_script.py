"""The guide's own functions for seven destinations, one scan after another or in threads: what scribe-export is
measured beside.

Run with the local cloud's endpoints as JSON; prints CPU microseconds a scan and scans a second, after the clients and
their connections were made. The guide's code is run as it stands, but for what keeps it from running at all: a name that
it does not import, and its DynamoDB item's floats, which boto3 refuses, so that scan is decoded with decimals. To SQS,
Pub/Sub and Lambda it sends the scan's config alone, a fiftieth of the scan. In threads the clients are shared, and each
thread has an event loop, from which the guide takes its timestamps.
"""

import asyncio
import contextlib
import io
import json
import os
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal
from types import SimpleNamespace
from typing import Any
from unittest import mock

from benchmarks.memory import most_resident
from benchmarks.scans import bodies
from support.guide import load

WARM = 5


def integrations(endpoints: dict[str, Any]) -> tuple[Any, Any]:
    """The guide's AWS and Google Cloud classes, reaching the local cloud."""
    os.environ |= {
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
        "AWS_ENDPOINT_URL": endpoints["aws"],
        "STORAGE_EMULATOR_HOST": endpoints["storage"],
        "PUBSUB_EMULATOR_HOST": endpoints["pubsub"],
        "BIGQUERY_EMULATOR_HOST": endpoints["bigquery"],
    }
    import google.auth
    from google.auth.credentials import AnonymousCredentials

    anonymous: Any = AnonymousCredentials()
    with mock.patch.object(google.auth, "default", return_value=(anonymous, endpoints["project"])):
        section = load("Google Cloud Integration", print=silent, Dict=dict)
        google = section.ScribeGCPIntegration(endpoints["project"])
    return load("AWS Integration", print=silent).ScribeAWSIntegration(endpoints["region"]), google


def deliver(aws: Any, gcp: Any, endpoints: dict[str, Any], body: bytes) -> None:
    """One scan to all seven, as the guide's user writes it."""
    scan = json.loads(body)
    key = f"guide/{scan['scan_id']}.json"
    config = SimpleNamespace(**scan["config"])
    aws.upload_scan_to_s3(scan, endpoints["bucket"], key)
    aws.send_scan_request_to_sqs(config, endpoints["queue_url"])
    aws.store_scan_in_dynamodb(json.loads(body, parse_float=Decimal), endpoints["table"])
    aws.invoke_scribe_lambda(config)
    gcp.upload_scan_to_gcs(scan, endpoints["lake"], key)
    gcp.publish_scan_request(config, endpoints["topic"])
    gcp.store_scan_in_bigquery(scan, endpoints["dataset"], endpoints["guide_table"])


def own_loop() -> None:
    """Give the calling thread an event loop."""
    asyncio.set_event_loop(asyncio.new_event_loop())


def measure(endpoints: dict[str, Any]) -> dict[str, float]:
    """The figures of one run."""
    own_loop()
    aws, gcp = integrations(endpoints)
    scans, threads = int(endpoints["scans"]), int(endpoints["threads"])
    found = bodies(scans + WARM * threads, seed=int(endpoints["seed"]))
    with ThreadPoolExecutor(threads, initializer=own_loop) as pool:

        def all_of(bodies: list[bytes]) -> None:
            list(pool.map(lambda body: deliver(aws, gcp, endpoints, body), bodies))

        all_of(found[: WARM * threads])
        cpu, wall = time.process_time(), time.monotonic()
        all_of(found[WARM * threads :])
        cpu, wall = time.process_time() - cpu, time.monotonic() - wall
    return {"cpu": cpu / scans * 1e6, "rate": scans / wall, "peak": most_resident()}


def silent(*_: object) -> None:
    """The guide prints a line for every call; nobody reads them here."""


if __name__ == "__main__":
    with contextlib.redirect_stdout(io.StringIO()):
        figures = measure(json.loads(sys.argv[1]))
    json.dump(figures, sys.stdout)
