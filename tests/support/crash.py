"""Killing the program again and again while it works, and what was seen of it."""

import random
import sqlite3
import statistics
import time
from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field

from support.pipeline import Pipeline, until

from scribe_export.errors import JournalError

OPEN_BATCHES = (
    "SELECT destination.name, count(*), max(batch.id) FROM batch JOIN destination ON destination.id = batch.destination"
    " WHERE batch.state = 'open' GROUP BY destination.name"
)


@dataclass(slots=True)
class Crashes:
    """`in_flight` counts the kills that found a sealed, unsettled batch; `ready` are seconds from start to ready."""

    kills: int = 0
    in_flight: int = 0
    ready: list[float] = field(default_factory=list)
    by_destination: Counter[str] = field(default_factory=Counter)

    @property
    def share(self) -> float:
        """Of the kills, those that found a batch in flight."""
        return self.in_flight / self.kills

    def __str__(self) -> str:
        each = ", ".join(f"{name} {count}" for name, count in sorted(self.by_destination.items()))
        return (
            f"{self.kills} kills, {self.share:.0%} of them found a sealed, unsettled batch ({each}); restart to ready: "
            f"median {statistics.median(self.ready):.2f} s, longest {max(self.ready):.2f} s of {len(self.ready)}"
        )


def open_batches(pipeline: Pipeline) -> dict[str, int]:
    """Destinations with a batch that is sealed and not settled, and the newest such row; none without a journal."""
    with suppress(JournalError, sqlite3.Error):
        return {name: newest for name, _, newest in pipeline.query(OPEN_BATCHES)}
    return {}


def crash(pipeline: Pipeline, *, kills: int, seed: int, destinations: Sequence[str], longest: float = 1.0) -> Crashes:
    """Start the program and kill it, `kills` times.

    One in four at a random moment of its start, one after up to `longest` seconds of work, two soon after a new batch is
    sealed for one of `destinations` in turn.
    """
    rng = random.Random(seed)
    seen = Crashes()
    for number in range(kills):
        before = open_batches(pipeline)
        run = pipeline.start()
        if number % 4 == 3:
            time.sleep(rng.uniform(0.0, longest + statistics.median(seen.ready)))
        else:
            seen.ready.append(run.ready())
            if number % 4 == 1:
                time.sleep(rng.uniform(0.0, longest))
            else:
                name = destinations[number // 2 % len(destinations)]
                _await_newer_batch(pipeline, name, before.get(name, 0))
                time.sleep(rng.uniform(0.0, 0.15))
        assert run.process.poll() is None, run.log.read_text()[-3000:]
        run.kill()
        seen.kills += 1
        found = open_batches(pipeline)
        seen.in_flight += bool(found)
        seen.by_destination.update(found.keys())
    return seen


def _await_newer_batch(pipeline: Pipeline, destination: str, known: int) -> None:
    until(
        lambda: open_batches(pipeline).get(destination, 0) > known,
        within=20.0,
        what=f"sealing another batch for {destination}",
    )
