"""Killing the program again and again while it works, and what was seen of it."""

import random
import sqlite3
import statistics
import time
from contextlib import suppress
from dataclasses import dataclass, field

from scribe_export.errors import JournalError
from support.pipeline import Pipeline

OPEN_BATCHES = "SELECT count(*) FROM batch WHERE state = 'open'"


@dataclass(slots=True)
class Crashes:
    """`in_flight` counts the kills that found a sealed, unsettled batch; `ready` are seconds from start to ready."""

    kills: int = 0
    in_flight: int = 0
    ready: list[float] = field(default_factory=list)

    @property
    def share(self) -> float:
        """Of the kills, those that found a batch in flight."""
        return self.in_flight / self.kills

    def __str__(self) -> str:
        return (
            f"{self.kills} kills, {self.share:.0%} of them found a sealed, unsettled batch; restart to ready: median "
            f"{statistics.median(self.ready):.2f} s, longest {max(self.ready):.2f} s of {len(self.ready)}"
        )


def open_batches(pipeline: Pipeline) -> int:
    """How many batches are sealed and not settled; 0 if there is no journal yet."""
    with suppress(JournalError, sqlite3.Error):
        return int(pipeline.query(OPEN_BATCHES)[0][0])
    return 0


def crash(pipeline: Pipeline, *, kills: int, seed: int, longest: float = 0.8) -> Crashes:
    """Start the program and kill it, `kills` times.

    One in five at a random moment of its start, two after up to `longest` seconds of work, two as soon as a batch is
    seen in flight.
    """
    rng = random.Random(seed)
    seen = Crashes()
    for number in range(kills):
        run = pipeline.start()
        if number % 5 == 4:
            time.sleep(rng.uniform(0.0, longest + statistics.median(seen.ready)))
        else:
            seen.ready.append(run.ready())
            if number % 5 in {0, 2}:
                time.sleep(rng.uniform(0.0, longest))
            else:
                _await_open_batch(pipeline, longest)
                time.sleep(rng.uniform(0.0, 0.02))
        assert run.process.poll() is None, run.log.read_text()[-3000:]
        run.kill()
        seen.kills += 1
        seen.in_flight += open_batches(pipeline) > 0
    return seen


def _await_open_batch(pipeline: Pipeline, longest: float) -> None:
    until = time.monotonic() + longest
    while not open_batches(pipeline) and time.monotonic() < until:
        time.sleep(0.002)
