"""What Cloud Storage's sink refuses before it sends anything, and what it leaves alone."""

import os
import subprocess
import sys
from typing import Any

import pytest
from support.gcs import new_bucket
from support.loop import in_loop
from support.records import record, sealed

from scribe_connectors.gcp.storage import GcsSink, GcsSinkOptions
from scribe_export.errors import Rejected
from scribe_export.interface import Context
from scribe_local.servers import LocalServer


def sink(url: str, bucket: str, **options: Any) -> GcsSink:
    given = {"bucket": bucket, "key": "scans/{timestamp:%Y/%m/%d}/{scan_id}.json", "endpoint_url": url, **options}
    return GcsSink(GcsSinkOptions.model_validate(given), Context("archive"))


@pytest.fixture
def bucket(gcs: Any) -> str:
    return new_bucket(gcs)


def test_names_that_the_service_refuses_are_refused_before(bucket: str) -> None:
    archive = sink("http://127.0.0.1:1", bucket)
    encoded = archive.encode(sealed(archive, [record(1, scan_id="é" * 200), record(2)]))
    assert {index: error.kind for index, error in encoded.refused.items()} == {0: "name"}
    archive.check_key("é" * 512)
    for name in ("é" * 512 + "x", "a\nb", "a\rb", ".", "..", ".well-known/acme-challenge/x"):
        with pytest.raises(Rejected) as caught:
            archive.check_key(name)
        assert caught.value.kind == "name"


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        ({"key": ".well-known/acme-challenge/{scan_id}.json"}, "change the key"),
        ({"metadata": {"scribe-sha256": "x"}}, "exporter's own"),
        ({"bucket": "Not A Bucket"}, "bucket"),
        ({"encryption": {"kms_key": "scans"}}, "kms_key"),
    ],
)
def test_wrong_options_are_refused(options: dict[str, Any], complaint: str) -> None:
    with pytest.raises(ValueError, match=complaint):
        sink("http://127.0.0.1:1", **{"bucket": "scribe-scans", **options})


@in_loop
async def test_closing_is_safe_twice_and_before_opening(fake_gcs: LocalServer, bucket: str) -> None:
    archive = sink(fake_gcs.url, bucket)
    await archive.close()
    await archive.open()
    await archive.close()
    await archive.close()


def test_no_other_cloud_and_no_other_service_is_loaded() -> None:
    code = (
        "import sys, scribe_connectors.gcp.storage\n"
        "print(sorted({m.split('.')[0] for m in sys.modules} & {'boto3', 'botocore', 'grpc'}),"
        " [m for m in sys.modules if m.startswith('google.cloud.')])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=os.environ, check=True)
    assert done.stdout == "[] []\n"
