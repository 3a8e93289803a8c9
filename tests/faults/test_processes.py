"""Two processes on one state folder, and a process that is asked to stop."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from support.oracle import GrowingFiles, Oracle, held_in
from support.pipeline import Pipeline, until
from support.stored import bodies

from scribe_local.proxy import Mode, Proxy
from scribe_local.servers import LocalServer

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

pytestmark = pytest.mark.timeout(120)
ARCHIVE: dict[str, Any] = {
    "type": "file",
    "directory": "archive",
    "key": "rest/{batch_id}.{ext}",
    "batch": {"max_age": "50ms"},
}
SPOOL = {"scans": {"type": "file", "path": "scans/*.jsonl", "poll_interval": "20ms"}}


def _give(folder: Path, oracle: Oracle, first: int, last: int) -> None:
    (folder / "scans").mkdir(exist_ok=True)
    data = b"".join(oracle.give(number) + b"\n" for number in range(first, last + 1))
    (folder / "scans" / f"{first:05d}.jsonl").write_bytes(data)


@pytest.mark.fault("F-24")
def test_a_second_process_on_a_state_folder_ends_at_once_with_3_and_names_the_owner(tmp_path: Path) -> None:
    oracle = Oracle()
    with Pipeline(tmp_path / "it", {"rest": ARCHIVE}, sources=SPOOL) as pipeline:
        first = pipeline.start()
        first.ready()
        second = pipeline.call("run")
        assert second.returncode == 3
        assert f"process {first.process.pid}" in second.stderr
        assert "Traceback" not in second.stderr

        _give(tmp_path / "it", oracle, 1, 100)
        until(lambda: pipeline.status()["rest"].delivered == 100, what="delivering beside the second")
        first.kill()
        third = pipeline.start()
        third.ready()
        _give(tmp_path / "it", oracle, 101, 200)
        until(lambda: pipeline.status()["rest"].delivered == 200, what="delivering by the third")
        third.terminate()
        assert third.ended() == 0
    assert str(oracle.compare(held_in(tmp_path / "it" / "archive"))) == "no difference"


def _hanging(url: str, bucket: str) -> dict[str, Any]:
    return {
        "type": "aws_s3",
        "bucket": bucket,
        "key": "each/{scan_id}.json",
        "endpoint_url": url,
        "region": "us-east-1",
        "auth": {"access_key_id": "test", "secret_access_key": "test"},
        "timeout": "60s",
    }


@pytest.mark.fault("F-20")
def test_sigterm_with_a_hung_destination_ends_with_0_in_time_and_the_next_run_delivers_the_rest(
    tmp_path: Path, ministack: LocalServer, s3: S3Client, bucket: str
) -> None:
    oracle = Oracle()
    with Proxy(ministack.port) as proxy:
        destinations = {"rest": ARCHIVE, "hung": _hanging(proxy.url, bucket)}
        with Pipeline(tmp_path / "it", destinations, sources=SPOOL, drain_timeout="2s") as pipeline:
            _give(tmp_path / "it", oracle, 1, 100)
            run = pipeline.start()
            until(lambda: run.said("ready") != [] and pipeline.status()["hung"].delivered == 100, what="delivering")
            proxy.set(Mode.HANG)
            _give(tmp_path / "it", oracle, 101, 1500)
            until(lambda: pipeline.status()["rest"].delivered > 200, what="delivering beside the hung one")
            asked = time.monotonic()
            run.terminate()
            assert run.ended() == 0
            took = time.monotonic() - asked
            assert took < 2.0 + 2.0
            assert run.said("stopping")
            assert pipeline.status()["hung"].pending > 0

            proxy.set(Mode.PASS)
            finished = pipeline.until_idle()
            assert finished.returncode == 0, finished.stderr[-2000:]
    assert str(oracle.compare(held_in(tmp_path / "it" / "archive"))) == "no difference"
    assert str(oracle.compare(bodies(s3, bucket, "each/"))) == "no difference"


@pytest.mark.fault("F-19")
def test_sigterm_under_load_ends_with_0_in_time_reads_nothing_more_and_loses_nothing(
    tmp_path: Path, record_property: Callable[[str, object], None]
) -> None:
    oracle = Oracle()
    main = (sys.executable, "-m", "support.mutant_main", "slow_writes")
    with Pipeline(tmp_path / "it", {"rest": ARCHIVE}, sources=SPOOL, main=main, drain_timeout="3s") as pipeline:
        with GrowingFiles(tmp_path / "it" / "scans", oracle, rate=300, seed=4):
            run = pipeline.start()
            until(lambda: run.said("ready") != [] and pipeline.status()["rest"].delivered > 100, what="delivering")
            asked = time.monotonic()
            run.terminate()
            run.wait_for("stopping")
            told = time.time()
            assert run.ended() == 0
            took = time.monotonic() - asked
        ((late,),) = pipeline.query(f"SELECT count(*) FROM scan WHERE at > {told + 0.5}")
        finished = pipeline.until_idle()
        assert finished.returncode == 0, finished.stderr[-2000:]
    assert took < 3.0 + 2.0
    assert late == 0
    assert str(oracle.compare(held_in(tmp_path / "it" / "archive"))) == "no difference"
    record_property("seconds to the end", took)


@pytest.mark.fault("F-20")
def test_a_second_sigterm_ends_it_at_once(tmp_path: Path, ministack: LocalServer, bucket: str) -> None:
    oracle = Oracle()
    with Proxy(ministack.port) as proxy:
        destinations = {"hung": _hanging(proxy.url, bucket)}
        with Pipeline(tmp_path / "it", destinations, sources=SPOOL, drain_timeout="50s") as pipeline:
            _give(tmp_path / "it", oracle, 1, 10)
            run = pipeline.start()
            until(lambda: run.said("ready") != [] and pipeline.status()["hung"].delivered == 10, what="delivering")
            proxy.set(Mode.HANG)
            _give(tmp_path / "it", oracle, 11, 100)
            until(lambda: bool(pipeline.query("SELECT 1 FROM batch")), what="a batch in flight")
            run.terminate()
            run.wait_for("stopping")
            asked = time.monotonic()
            run.terminate()
            assert run.ended() == 0
            assert time.monotonic() - asked < 2.0
