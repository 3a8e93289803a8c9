"""The guide's own functions, one scan after another, for seven destinations: what scribe-export is measured beside.

Run with the local cloud's endpoints as JSON; prints CPU microseconds a scan and scans a second. The guide's code is run
as it stands, but for what keeps it from running at all: a name that it does not import, and its DynamoDB item's floats,
which boto3 refuses, so that scan is decoded with decimals. To SQS, Pub/Sub and Lambda it sends the scan's config alone,
a fiftieth of the scan.
"""

import contextlib
import io
import json
import os
import sys
import time
from decimal import Decimal
from types import SimpleNamespace
from typing import Any
from unittest import mock

from benchmarks.scans import bodies
from support.guide import load

SCANS = 150
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
        section = load("Google Cloud Integration", print=_silent, Dict=dict)
        google = section.ScribeGCPIntegration(endpoints["project"])
    return load("AWS Integration", print=_silent).ScribeAWSIntegration(endpoints["region"]), google


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


def measure(endpoints: dict[str, Any]) -> dict[str, float]:
    """The figures of one run."""
    import asyncio

    async def run() -> dict[str, float]:
        # Inside a loop, for the guide takes its timestamps from the running one.
        aws, gcp = integrations(endpoints)
        found = bodies(SCANS + WARM, seed=int(endpoints["seed"]))
        for body in found[:WARM]:
            deliver(aws, gcp, endpoints, body)
        cpu, wall = time.process_time(), time.monotonic()
        for body in found[WARM:]:
            deliver(aws, gcp, endpoints, body)
        return {
            "cpu": (time.process_time() - cpu) / SCANS * 1e6,
            "rate": SCANS / (time.monotonic() - wall),
        }

    with contextlib.redirect_stdout(io.StringIO()):
        return asyncio.run(run())


def _silent(*_: object) -> None:
    """The guide prints a line for every call; nobody reads them here."""


if __name__ == "__main__":
    json.dump(measure(json.loads(sys.argv[1])), sys.stdout)
