"""The program is killed at any moment, many times, and no scan is lost or doubled."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from support.crash import Crashes, crash
from support.oracle import GrowingFiles, Oracle, held_in
from support.pipeline import Pipeline
from support.stored import bodies, versions

from scribe_local.proxy import Mode, Proxy
from scribe_local.servers import LocalServer

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

READY = 3.0
"""Seconds from a start after a kill to the line ``ready``, on a machine that does nothing else."""


@pytest.mark.parametrize("bucket", ["versioned"], indirect=True)
@pytest.mark.parametrize(
    ("kills", "rate"),
    [
        pytest.param(12, 30, id="12 kills", marks=pytest.mark.timeout(240)),
        pytest.param(200, 25, id="200 kills", marks=[pytest.mark.slow, pytest.mark.timeout(1800)]),
    ],
)
@pytest.mark.fault("F-01")
def test_no_scan_is_lost_or_doubled_by_kills_at_any_moment(
    tmp_path: Path,
    ministack: LocalServer,
    s3: S3Client,
    bucket: str,
    kills: int,
    rate: float,
    capsys: pytest.CaptureFixture[str],
    record_property: Callable[[str, object], None],
) -> None:
    oracle = Oracle()
    with Proxy(ministack.port) as proxy:
        proxy.set(Mode.DELAY, delay=0.03)
        store = {
            "type": "aws_s3",
            "bucket": bucket,
            "endpoint_url": proxy.url,
            "region": "us-east-1",
            "auth": {"access_key_id": "test", "secret_access_key": "test"},
            "retry": {"base_delay": "50ms"},
            "breaker": {"timeout": "1s"},
        }
        destinations: dict[str, dict[str, Any]] = {
            "each": {**store, "key": "each/{scan_id}.json", "batch": {"max_records": 20}},
            "lake": {
                **store,
                "key": "lake/{batch_id}.{ext}",
                "compression": "zstd",
                "batch": {"max_records": 20, "max_age": "100ms"},
            },
            "local": {
                "type": "file",
                "directory": "archive",
                "key": "local/{batch_id}.{ext}",
                "batch": {"max_records": 20, "max_age": "100ms"},
            },
        }
        sources = {"spool": {"type": "file", "path": "spool/*.jsonl", "poll_interval": "50ms"}}
        with Pipeline(tmp_path / "it", destinations, sources=sources) as pipeline:
            with GrowingFiles(tmp_path / "it" / "spool", oracle, rate=rate, seed=7):
                seen = crash(pipeline, kills=kills, seed=7, destinations=list(destinations))
            delivered_meanwhile = {name: row.delivered for name, row in pipeline.status().items()}
            proxy.set(Mode.PASS)
            finished = pipeline.until_idle(within=240)
            status = pipeline.status()
            counted = dict(
                pipeline.query("SELECT destination, sum(amount) FROM usage WHERE unit='scans' GROUP BY destination")
            )

    with capsys.disabled():
        print(f"\n{len(oracle.given)} scans, {seen}")
    record_property("kills", seen.kills)
    record_property("scans", len(oracle.given))
    record_property("with a batch in flight", f"{seen.share:.0%}")
    record_property("longest restart, s", max(seen.ready))
    assert finished.returncode == 0, finished.stdout + finished.stderr[-3000:]
    assert {
        name: str(oracle.compare(held)) for name, held in _held(tmp_path / "it", s3, bucket).items()
    } == dict.fromkeys(destinations, "no difference")
    twice = {
        key: count for prefix in ("each/", "lake/") for key, count in versions(s3, bucket, prefix).items() if count > 1
    }
    assert not twice
    assert {name: (row.delivered, row.dead) for name, row in status.items()} == dict.fromkeys(
        destinations, (len(oracle.given), 0)
    )
    assert counted == dict.fromkeys(destinations, len(oracle.given)), (
        "usage is counted with what it is of, or not at all"
    )
    assert all(delivered_meanwhile.values()), (
        f"{delivered_meanwhile}: some destination never got to work between the kills"
    )
    _counts(seen)


def _held(folder: Path, s3: S3Client, bucket: str) -> dict[str, list[bytes]]:
    return {
        "each": bodies(s3, bucket, "each/"),
        "lake": bodies(s3, bucket, "lake/"),
        "local": held_in(folder / "archive"),
    }


def _counts(seen: Crashes) -> None:
    assert seen.share >= 0.3, f"{seen}: too few kills met a batch in flight for this run to count"
    assert max(seen.ready) < READY * _crowding(), str(seen)


def _crowding() -> float:
    """How many processes share each processor now, at least one: where others work too, a start takes longer."""
    return max(1.0, os.getloadavg()[0] / (os.cpu_count() or 1))
