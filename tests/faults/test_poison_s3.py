"""One object that S3 always answers with a 500, and S3 that always does."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from support.oracle import Oracle
from support.pipeline import Pipeline
from support.spoiling import SpoilingServer
from support.stored import bodies

from scribe_local.servers import LocalServer

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client


def _pipeline(folder: Path, oracle: Oracle, bucket: str, url: str) -> Pipeline:
    archive: dict[str, Any] = {
        "type": "aws_s3",
        "bucket": bucket,
        "key": "each/{scan_id}.json",
        "endpoint_url": url,
        "region": "us-east-1",
        "auth": {"access_key_id": "test", "secret_access_key": "test"},
        "batch": {"max_records": 100},
        "retry": {"base_delay": "20ms", "max_attempts": 3},
        "breaker": {"timeout": "200ms"},
    }
    pipeline = Pipeline(folder / "it", {"archive": archive}, sources={"scans": {"type": "file", "path": "scans.jsonl"}})
    (folder / "it" / "scans.jsonl").write_bytes(b"".join(oracle.give(number) + b"\n" for number in range(1, 501)))
    return pipeline


@pytest.mark.timeout(120)
@pytest.mark.fault("F-33")
def test_one_object_that_always_draws_a_500_is_dead_as_poison_and_499_are_stored(
    tmp_path: Path, ministack: LocalServer, s3: S3Client, bucket: str
) -> None:
    oracle = Oracle()
    spoils = lambda method, path: method == "PUT" and path.endswith("/each/250.json")  # noqa: E731
    with (
        SpoilingServer(ministack.port, spoils) as server,
        _pipeline(tmp_path, oracle, bucket, server.url) as pipeline,
    ):
        finished = pipeline.until_idle("--max-wait", "60s")
        dead = pipeline.query("SELECT scan_id, class FROM delivery JOIN scan USING(seq)")
        dead += pipeline.query(
            "SELECT scan_id, class FROM batch JOIN scan ON seq BETWEEN first_seq AND last_seq WHERE state = 'dead'"
        )
        row = pipeline.status()["archive"]

    assert finished.returncode == 1, finished.stderr[-2000:]
    assert dead == [("250", "poison")]
    assert (row.delivered, row.dead, row.pending) == (499, 1, 0)
    assert server.spoilt >= 3
    difference = oracle.compare(bodies(s3, bucket, "each/"))
    assert difference.lost == ["250"]
    assert not difference.doubled + difference.altered + difference.foreign


@pytest.mark.timeout(120)
def test_nothing_is_dead_while_s3_answers_everything_with_a_500(
    tmp_path: Path, ministack: LocalServer, s3: S3Client, bucket: str
) -> None:
    oracle = Oracle()
    broken = [True]
    with (
        SpoilingServer(ministack.port, lambda method, _: broken[0] and method == "PUT") as server,
        _pipeline(tmp_path, oracle, bucket, server.url) as pipeline,
    ):
        finished = pipeline.until_idle("--max-wait", "5s")
        row = pipeline.status()["archive"]
        assert finished.returncode == 1
        assert (row.delivered, row.dead, row.pending) == (0, 0, 500)

        broken[0] = False
        finished = pipeline.until_idle("--max-wait", "60s")
        assert finished.returncode == 0, finished.stderr[-2000:]
    assert str(oracle.compare(bodies(s3, bucket, "each/"))) == "no difference"
