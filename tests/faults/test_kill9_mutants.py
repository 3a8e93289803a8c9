"""The crash test sees what it is for: a program that breaks its promise loses scans in it, and an honest one does not."""

import random
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from support.oracle import Difference, GrowingFiles, Oracle, held_in
from support.pipeline import Pipeline

KILLS = 8
ROUNDS = 5
"""Kills at random moments may all miss the moment that a broken promise needs; so many rounds of them do not."""


def _crashed(folder: Path, mutant: str, seed: int = 3) -> Difference:
    """What is missing after a few kills under load from a growing file and a spool, when all had time to arrive."""
    oracle, spooled = Oracle(), Oracle()
    main = (sys.executable, "-m", "support.mutant_main", mutant)
    sources = {
        "grown": {"type": "file", "path": "grown/*.jsonl", "poll_interval": "5ms"},
        "spool": {"type": "spool", "directory": "spool", "scope": "spool"},
    }
    archive = {
        "type": "file",
        "directory": "archive",
        "key": "local/{batch_id}.{ext}",
        "batch": {"max_records": 50, "max_age": "20ms"},
    }
    rng = random.Random(seed)
    with Pipeline(folder, {"local": archive}, sources=sources, main=main) as pipeline:
        with (
            GrowingFiles(folder / "grown", oracle, rate=400, seed=seed, size=200),
            _spooling(folder / "spool", spooled),
        ):
            for _ in range(KILLS):
                run = pipeline.start()
                run.ready()
                time.sleep(rng.uniform(0.05, 0.4))
                run.kill()
        finished = pipeline.until_idle()
    assert finished.returncode == 0, finished.stdout + finished.stderr[-2000:]
    oracle.given |= spooled.given
    return oracle.compare(held_in(folder / "archive"))


@contextmanager
def _spooling(folder: Path, oracle: Oracle) -> Iterator[None]:
    folder.mkdir()
    stop = threading.Event()

    def write() -> None:
        number = 10_000_000
        while not stop.wait(0.002):
            if len(list(folder.iterdir())) > 200:
                continue
            number += 1
            body = oracle.give(number, 200)
            part = folder / f"{number}.part"
            part.write_bytes(body)
            part.rename(part.with_suffix(".json"))

    thread = threading.Thread(target=write, name="spooling", daemon=True)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()


@pytest.mark.slow
@pytest.mark.timeout(300)
@pytest.mark.parametrize("mutant", ["ack_before_commit", "delivered_before_send", "cursor_before_rows"])
@pytest.mark.fault("F-01")
def test_a_program_that_breaks_its_promise_loses_scans(tmp_path: Path, mutant: str) -> None:
    assert any(_crashed(tmp_path / f"it{seed}", mutant, seed).lost for seed in range(3, 3 + ROUNDS))


@pytest.mark.slow
@pytest.mark.fault("F-01")
def test_the_honest_program_loses_none_in_the_same_crashes(tmp_path: Path) -> None:
    assert str(_crashed(tmp_path / "it", "none")) == "no difference"
