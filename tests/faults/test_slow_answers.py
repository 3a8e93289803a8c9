"""A service that answers a byte at a time, or never ends: its calls come to an end, and nobody else waits for them."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from support.oracle import Oracle
from support.pipeline import Pipeline, until

from scribe_local.proxy import Mode, Proxy
from scribe_local.servers import LocalServer

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

TIMEOUT = 2.0


def _s3(url: str, bucket: str) -> dict[str, Any]:
    return {
        "type": "aws_s3",
        "bucket": bucket,
        "key": "each/{scan_id}.json",
        "endpoint_url": url,
        "region": "us-east-1",
        "auth": {"access_key_id": "test", "secret_access_key": "test"},
        "timeout": f"{TIMEOUT}s",
        "retry": {"base_delay": "100ms", "max_delay": "200ms"},
        "breaker": {"timeout": "500ms"},
    }


@pytest.mark.fault("F-08")
@pytest.mark.timeout(120)
def test_a_service_that_answers_a_byte_at_a_time(
    tmp_path: Path, ministack: LocalServer, s3: S3Client, bucket: str
) -> None:
    oracle = Oracle()
    local = {"type": "file", "directory": "archive", "key": "rest/{scan_id}.json"}
    with (
        Proxy(ministack.port) as proxy,
        Pipeline(tmp_path / "it", {"slow": _s3(proxy.url, bucket), "local": local}) as pipeline,
    ):
        run = pipeline.start()
        run.ready()
        proxy.set(Mode.TRICKLE, delay=1.0)
        file = tmp_path / "scans.jsonl"
        file.write_bytes(b"".join(oracle.give(number) + b"\n" for number in range(1, 21)))
        assert pipeline.call("send", str(file)).returncode == 0
        begun = time.monotonic()
        until(lambda: bool(pipeline.query("SELECT 1 FROM batch WHERE attempts > 0 AND unknown")), within=60)
        print("TOOK", time.monotonic() - begun)
        proxy.set(Mode.PASS)
        until(lambda: pipeline.status()["slow"].delivered == 20, within=30, what="all")
