"""The quota is used up, the disk is really full, and scans are large."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from support.missing import missing
from support.oracle import Oracle, held_in
from support.pipeline import Pipeline, until
from support.stored import bodies

from scribe_local.servers import LocalServer

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

pytestmark = pytest.mark.timeout(180)
MAIN = (sys.executable, "-m", "support.mutant_main", "none")
SPOOL = {"spool": {"type": "spool", "directory": "spool", "records": 10}}
SMALL = {"quota": "16MiB", "max_record": "1MiB"}


def _archive(directory: str) -> dict[str, Any]:
    return {
        "type": "file",
        "directory": directory,
        "key": "rest/{batch_id}.{ext}",
        "batch": {"max_records": 20, "max_age": "50ms"},
        "breaker": {"timeout": "300ms"},
    }


def _give(folder: Path, oracle: Oracle, first: int, last: int, size: int) -> None:
    (folder / "spool").mkdir(exist_ok=True)
    for number in range(first, last + 1):
        part = folder / "spool" / f"{number:06d}.part"
        part.write_bytes(oracle.give(number, size))
        part.rename(part.with_suffix(".json"))


def _unacked(folder: Path) -> set[str]:
    return {str(int(path.stem)) for path in (folder / "spool").glob("*.json")}


@pytest.mark.fault("F-16")
def test_at_the_quota_the_source_pauses_delivering_goes_on_and_all_resumes_once_there_is_room(tmp_path: Path) -> None:
    oracle = Oracle()
    folder = tmp_path / "it"
    destinations = {"ready": _archive("ready"), "held": _archive("mount/held")}
    with Pipeline(folder, destinations, sources=SPOOL, main=MAIN, journal=SMALL) as pipeline:
        _give(folder, oracle, 1, 800, 30_000)
        run = pipeline.start()
        run.wait_for("source paused")
        until(lambda: pipeline.status()["ready"].pending == 0, what="delivering at the quota")
        unacked = _unacked(folder)
        row = pipeline.status()["held"]
        assert unacked
        assert row.dead == 0
        assert row.pending + len(unacked) == 800
        assert len(held_in(folder / "ready")) + len(unacked) == 800
        journal = sum(path.stat().st_size for path in pipeline.state.rglob("journal.db*"))
        assert journal < 2 * 16 * 2**20

        run.kill()
        run = pipeline.start()
        run.wait_for("source paused")
        assert _unacked(folder) == unacked
        (folder / "mount").mkdir()
        run.wait_for("source goes on", within=40)
        until(lambda: {row.delivered for row in pipeline.status().values()} == {800}, within=60, what="all")
        assert not _unacked(folder)
        run.terminate()
        assert run.ended() == 0
    for place in ("ready", "mount/held"):
        assert str(oracle.compare(held_in(folder / place))) == "no difference"


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A filesystem of 96 MiB, in memory."""
    place = tmp_path / "disk"
    place.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=96m", "tmpfs", str(place)]
    if sys.platform != "linux" or os.geteuid() != 0:
        missing("a small disk needs mount, and mount needs root on Linux: run these tests as root")
    mounted = subprocess.run(command, capture_output=True, text=True)
    if mounted.returncode:
        missing(f"a small disk cannot be mounted: {mounted.stderr}")
    yield place
    subprocess.run(["umount", "--lazy", str(place)], check=True)


def _fill(disk: Path, name: str) -> None:
    with (disk / name).open("wb", buffering=0) as stream, suppress(OSError):
        for size in (2**20, 4096):
            with suppress(OSError):
                while True:
                    stream.write(b"\0" * size)


@pytest.mark.fault("F-17")
def test_on_a_really_full_disk_it_settles_pauses_and_resumes_when_space_returns(
    tmp_path: Path, small_disk: Path
) -> None:
    oracle = Oracle()
    folder = tmp_path / "it"
    destinations = {"rest": _archive("archive")}
    with Pipeline(
        folder, destinations, sources=SPOOL, main=MAIN, journal=SMALL, state=small_disk / "state"
    ) as pipeline:
        _give(folder, oracle, 1, 100, 30_000)
        run = pipeline.start()
        until(lambda: run.said("ready") != [] and pipeline.status()["rest"].delivered == 100, what="delivering")
        ballast = pipeline.state / "ballast"
        assert ballast.exists()

        _fill(small_disk, "another-tenant")
        _give(folder, oracle, 101, 400, 30_000)
        until(lambda: not ballast.exists(), what="the ballast's release")
        until(lambda: pipeline.status()["rest"].delivered > 100, what="settling on the ballast's room")
        _fill(small_disk, "another-tenant-again")
        _give(folder, oracle, 401, 600, 30_000)
        run.wait_for("source paused")
        assert run.process.poll() is None
        assert _unacked(folder)

        (small_disk / "another-tenant").unlink()
        (small_disk / "another-tenant-again").unlink()
        run.wait_for("source goes on")
        until(lambda: pipeline.status()["rest"].delivered == 600, within=60, what="delivering all")
        until(ballast.exists, what="taking the ballast back")
        assert len(pipeline.runs) == 1
        run.terminate()
        assert run.ended() == 0
        assert pipeline.query("PRAGMA integrity_check") == [("ok",)]
        assert pipeline.status()["rest"].dead == 0
    assert str(oracle.compare(held_in(folder / "archive"))) == "no difference"


def test_large_scans_reach_every_destination_whole(
    tmp_path: Path, ministack: LocalServer, s3: S3Client, bucket: str
) -> None:
    oracle = Oracle()
    folder = tmp_path / "it"
    store = {
        "type": "aws_s3",
        "bucket": bucket,
        "endpoint_url": ministack.url,
        "region": "us-east-1",
        "auth": {"access_key_id": "test", "secret_access_key": "test"},
    }
    destinations: dict[str, dict[str, Any]] = {
        "each": {**store, "key": "each/{scan_id}.json"},
        "lake": {**store, "key": "lake/{batch_id}.{ext}", "compression": "zstd", "batch": {"max_age": "50ms"}},
        "local": {"type": "file", "directory": "archive", "key": "local/{scan_id}.json"},
    }
    with Pipeline(folder, destinations, sources=SPOOL, main=MAIN) as pipeline:
        _give(folder, oracle, 1, 10, 500)
        _give(folder, oracle, 11, 30, 1_000_000)
        _give(folder, oracle, 31, 33, 12_000_000)
        run = pipeline.start()
        run.ready()
        until(lambda: any(row.delivered for row in pipeline.status().values()), what="delivering")
        run.kill()
        finished = pipeline.until_idle()
        assert finished.returncode == 0, finished.stderr[-2000:]
        assert {row.delivered for row in pipeline.status().values()} == {33}
    for held in (bodies(s3, bucket, "each/"), bodies(s3, bucket, "lake/"), held_in(folder / "archive")):
        assert str(oracle.compare(held)) == "no difference"
