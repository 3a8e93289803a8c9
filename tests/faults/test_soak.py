"""Minutes of everything at once, with small limits: kills, network faults, a clock that is set, and then none of them."""

from __future__ import annotations

import os
import random
import statistics
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from support.oracle import GrowingFiles, Oracle, held_in
from support.pipeline import Pipeline, Run, until
from support.soundness import problems
from support.stored import bodies, versions

from scribe_local.proxy import Mode, Proxy
from scribe_local.servers import LocalServer

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

SOAK = float(os.environ.get("SOAK", "120"))
"""Seconds of trouble: the first half with kills, the second without, where memory is looked at."""
LOG_LIMIT = 4 * 2**20
"""More than 24 pages of 16 KiB, after which it is folded into the file, and what one commit can add to them."""
DAY = 86_400
TROUBLE: tuple[tuple[Mode, dict[str, Any]], ...] = (
    (Mode.REFUSE, {}),
    (Mode.HANG, {}),
    (Mode.LOSE, {}),
    (Mode.CUT, {}),
    (Mode.DELAY, {"delay": 0.2}),
    (Mode.LIMIT, {"rate": 20_000}),
    (Mode.TRICKLE, {"delay": 0.002}),
)


@dataclass(slots=True)
class Looks:
    """What was seen of the program while it ran: bytes of memory, open files, bytes of its write-ahead log."""

    memory: list[int] = field(default_factory=list)
    files: list[int] = field(default_factory=list)
    log: list[int] = field(default_factory=list)

    def look(self, run: Run, log: Path) -> None:
        """Now."""
        process = Path("/proc", str(run.process.pid))
        self.memory.append(int((process / "statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE"))
        self.files.append(len(list((process / "fd").iterdir())))
        if log.exists():
            self.log.append(log.stat().st_size)

    @staticmethod
    def growth(values: list[int]) -> float:
        """From the second third to the last one, by their medians; the first is for warming up."""
        third = len(values) // 3
        return statistics.median(values[-third:]) - statistics.median(values[third : 2 * third])


@dataclass(slots=True)
class Soak:
    """A pipeline and all that disturbs it."""

    pipeline: Pipeline
    proxy: Proxy
    clock: Path
    random: random.Random
    kills: int = 0
    looks: Looks = field(default_factory=Looks)

    def trouble(self, run: Run, seconds: float, *, kills: bool) -> Run:
        """Disturb for so long; the run that is left."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            mode, options = self.random.choice(TROUBLE)
            self.proxy.set(self.random.choice([mode, Mode.PASS]), **options)
            self.set_clock(self.random.choice([0, 0, DAY, -DAY]))
            if kills and self.random.random() < 0.5:
                run.kill()
                self.kills += 1
                run = self.pipeline.start()
                run.ready()
            self._watch(run, self.random.uniform(0.5, 2.0))
        self.proxy.set(Mode.PASS)
        self.set_clock(0)
        return run

    def set_clock(self, ahead: int) -> None:
        """The program's wall clock, in seconds before or behind the true one."""
        part = self.clock.with_suffix(".part")
        part.write_text(str(ahead))
        part.rename(self.clock)

    def _watch(self, run: Run, seconds: float) -> None:
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            assert run.process.poll() is None, run.log.read_text()[-3000:]
            self.looks.look(run, self.pipeline.journal.with_name("journal.db-wal"))
            time.sleep(0.1)  # between two looks, not for something to happen


def _destinations(url: str, bucket: str) -> dict[str, dict[str, Any]]:
    store = {
        "type": "aws_s3",
        "bucket": bucket,
        "endpoint_url": url,
        "region": "us-east-1",
        "auth": {"access_key_id": "test", "secret_access_key": "test"},
        "timeout": "3s",
        "retry": {"base_delay": "50ms", "max_delay": "1s"},
        "breaker": {"timeout": "1s"},
    }
    batch = {"max_records": 50, "max_age": "100ms"}
    return {
        "each": {**store, "key": "each/{scan_id}.json", "batch": {"max_records": 20}},
        "lake": {**store, "key": "lake/{batch_id}.{ext}", "compression": "zstd", "batch": batch},
        "local": {"type": "file", "directory": "archive", "key": "local/{batch_id}.{ext}", "batch": batch},
    }


@pytest.mark.fault("F-36")
@pytest.mark.slow
@pytest.mark.timeout(SOAK + 600)
@pytest.mark.parametrize("bucket", ["versioned"], indirect=True)
def test_nothing_is_lost_and_nothing_grows_in_long_trouble(
    tmp_path: Path,
    ministack: LocalServer,
    s3: S3Client,
    bucket: str,
    monkeypatch: pytest.MonkeyPatch,
    record_property: Callable[[str, object], None],
) -> None:
    oracle, clock = Oracle(), tmp_path / "clock"
    clock.write_text("0")
    monkeypatch.setenv("SCRIBE_TEST_CLOCK", str(clock))
    main = (sys.executable, "-m", "support.mutant_main", "small_log+odd_clock")
    spool = {"spool": {"type": "file", "path": "spool/*.jsonl", "poll_interval": "50ms"}}
    small = {"quota": "32MiB", "max_record": "1MiB"}
    with (
        Proxy(ministack.port) as proxy,
        Pipeline(
            tmp_path / "it", _destinations(proxy.url, bucket), sources=spool, main=main, journal=small
        ) as pipeline,
    ):
        soak = Soak(pipeline, proxy, clock, random.Random(11))
        with GrowingFiles(tmp_path / "it" / "spool", oracle, rate=25, seed=11):
            run = pipeline.start()
            run.ready()
            run = soak.trouble(run, SOAK / 2, kills=True)
            steady = soak.looks = Looks()
            run = soak.trouble(run, SOAK / 2, kills=False)
            given = len(oracle.given)
            until(lambda: len(oracle.given) > given, what="a new scan")
            fresh = set(oracle.given)
            until(
                lambda: all(row.delivered >= len(fresh) for row in pipeline.status().values()),
                within=120,
                what="delivering new scans once the trouble is over",
                seen=lambda: str(pipeline.status()),
            )
        run.kill()
        finished = pipeline.until_idle(within=300)
        status = {name: (row.delivered, row.dead) for name, row in pipeline.status().items()}
        sound = problems(pipeline.state, oracle.given)
    assert finished.returncode == 0, finished.stdout + finished.stderr[-3000:]
    held = {"each": bodies(s3, bucket, "each/"), "lake": bodies(s3, bucket, "lake/")}
    held["local"] = held_in(tmp_path / "it" / "archive")
    figures = {
        "scans": len(oracle.given),
        "kills": soak.kills,
        "memory grew, MiB": Looks.growth(steady.memory) / 2**20,
        "open files grew": Looks.growth(steady.files),
        "longest log, MiB": max(steady.log) / 2**20,
    }
    for name, value in figures.items():
        record_property(name, value)
    assert {name: str(oracle.compare(found)) for name, found in held.items()} == dict.fromkeys(held, "no difference")
    assert not {key for prefix in held for key, count in versions(s3, bucket, f"{prefix}/").items() if count > 1}
    assert status == dict.fromkeys(held, (len(oracle.given), 0))
    assert sound == []
    assert figures["memory grew, MiB"] < 16, figures
    assert figures["open files grew"] < 8, figures
    assert max(steady.log) < LOG_LIMIT, figures
