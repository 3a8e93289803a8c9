"""A service that answers a byte at a time: its calls end at the deadline as unknown, and nobody else waits for them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from support.oracle import Oracle, held_in
from support.pipeline import Pipeline, Run, until
from support.stored import bodies

from scribe_local.proxy import Mode, Proxy
from scribe_local.servers import LocalServer

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

SCANS = 20


def _destinations(url: str, bucket: str) -> dict[str, dict[str, Any]]:
    slow = {
        "type": "aws_s3",
        "bucket": bucket,
        "key": "each/{scan_id}.json",
        "endpoint_url": url,
        "region": "us-east-1",
        "auth": {"access_key_id": "test", "secret_access_key": "test"},
        "timeout": "1s",
        "batch": {"max_records": 4},
        "retry": {"base_delay": "100ms", "max_delay": "200ms"},
        "breaker": {"timeout": "500ms"},
    }
    return {"slow": slow, "local": {"type": "file", "directory": "archive", "key": "rest/{scan_id}.json"}}


def _send(pipeline: Pipeline, oracle: Oracle, first: int, last: int) -> None:
    file = pipeline.folder / "scans.jsonl"
    file.write_bytes(b"".join(oracle.give(number) + b"\n" for number in range(first, last + 1)))
    assert pipeline.call("send", str(file)).returncode == 0


def _threads(run: Run) -> int:
    return len(list(Path("/proc", str(run.process.pid), "task").iterdir()))


@pytest.mark.fault("F-08")
@pytest.mark.slow
@pytest.mark.timeout(120)
def test_a_service_that_answers_a_byte_at_a_time_is_given_up_and_holds_nobody_up(
    tmp_path: Path, ministack: LocalServer, s3: S3Client, bucket: str
) -> None:
    oracle = Oracle()
    with (
        Proxy(ministack.port) as proxy,
        Pipeline(tmp_path / "it", _destinations(proxy.url, bucket)) as pipeline,
    ):
        run = pipeline.start()
        run.ready()
        _send(pipeline, oracle, 1, 1)
        until(lambda: pipeline.status()["slow"].delivered == 1, what="delivering while all is well")
        proxy.set(Mode.TRICKLE, delay=0.7)
        _send(pipeline, oracle, 2, SCANS)
        until(lambda: pipeline.status()["local"].delivered == SCANS, within=15, what="delivering beside it")
        until(
            lambda: bool(pipeline.query("SELECT 1 FROM batch WHERE attempts > 0")),
            within=25,
            what="giving up calls that would take minutes",
        )
        assert pipeline.status()["slow"].delivered == 1
        assert _threads(run) < 64

        proxy.set(Mode.PASS)
        until(lambda: pipeline.status()["slow"].delivered == SCANS, within=30, what="delivering the rest")
        assert pipeline.status()["slow"].dead == 0
        run.terminate()
        assert run.ended() == 0
    assert str(oracle.compare(bodies(s3, bucket, "each/"))) == "no difference"
    assert str(oracle.compare(held_in(tmp_path / "it" / "archive"))) == "no difference"
