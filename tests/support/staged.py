"""Exporters in this process, on simulated time, with destinations that fail as a test says."""

import random
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, ClassVar

import anyio
import pytest
from support.oracle import small_scan
from support.pipeline import Pipeline

from scribe_export import exporter as exporting
from scribe_export import housekeeping
from scribe_export.errors import Throttled
from scribe_export.exporter import Exporter
from scribe_export.interface import Context
from scribe_export.journal.batches import SealedBatch, batches
from scribe_export.journal.dead import DeadLetter, dead_letters
from scribe_export.journal.store import Command, Store, T
from scribe_export.model import Encoded
from scribe_export.options import Options
from scribe_export.registry import register_sink
from scribe_export.testing.clock import SimulatedClock
from scribe_export.testing.flaky import FlakySink
from scribe_export.testing.memory.sink import MemorySink, MemorySinkOptions


class StagedSink(FlakySink):
    """A memory sink behind scripted fates; `most_at_once` writes were in progress together, each `seconds` long.

    While `throttling` is above 0 a write is refused as too much and lowers it.
    """

    options_type: ClassVar[type[Options]] = MemorySinkOptions
    inner: MemorySink

    def __init__(self, options: MemorySinkOptions, context: Context) -> None:
        super().__init__(MemorySink(options, context))
        self.seconds = 0.0
        self.throttling = 0
        self.at_once = self.most_at_once = 0

    @property
    def held(self) -> list[str]:
        """Scan ids at the destination, in the order of their arrival."""
        return [scan_id for scan_id, _ in self.inner.service.held()]

    async def write(self, encoded: Encoded) -> str | None:
        self.at_once += 1
        self.most_at_once = max(self.most_at_once, self.at_once)
        try:
            await self.context.clock.sleep(self.seconds)
            if self.throttling:
                self.throttling -= 1
                raise Throttled("slow down", retry_after=1.0, applied="no")
            return await super().write(encoded)
        finally:
            self.at_once -= 1


register_sink("staged", StagedSink)


class Stage:
    """A running exporter whose time stands still until advanced."""

    def __init__(self, exporter: Exporter, clock: SimulatedClock) -> None:
        self.exporter, self.clock = exporter, clock

    def sink(self, name: str) -> StagedSink:
        found = self.exporter.sinks[name]
        assert isinstance(found, StagedSink)
        return found

    async def give(self, first: int, last: int, *, a_commit: int = 100) -> list[str]:
        """Journal the scans numbered so, `a_commit` at a time; their ids."""
        numbers = range(first, last + 1)
        for start in range(0, len(numbers), a_commit):
            await self.exporter.accept(
                [small_scan(number, 200) for number in numbers[start : start + a_commit]], source="test"
            )
        return [str(number) for number in numbers]

    async def dead(self) -> list[DeadLetter]:
        return await self.exporter.store.do(lambda db: list(dead_letters(db)))

    async def open_batches(self) -> list[SealedBatch]:
        return await self.exporter.store.do(batches)

    @property
    def idle(self) -> bool:
        """Whether nothing waits for any destination."""
        return all(lane.idle for lane in self.exporter.lanes.values())


@asynccontextmanager
async def staged(
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
    destinations: Mapping[str, Mapping[str, Any]],
    *,
    later: float = 0.0,
    **settings: Any,
) -> AsyncIterator[Stage]:
    """An exporter of staged destinations; what hangs in them is let go at the end. `later` sets its clock, in seconds."""
    waiting = 0

    class WatchedStore(Store):
        async def do(self, command: Command[T]) -> T:
            nonlocal waiting
            waiting += 1
            try:
                return await super().do(command)
            finally:
                waiting -= 1

    monkeypatch.setattr(exporting, "Store", WatchedStore)
    monkeypatch.setattr(housekeeping, "INTERVAL", 60.0)  # an hour of it, second by second, would take a minute
    clock = SimulatedClock(busy=lambda: waiting > 0)
    clock.jump(later)
    options = {name: {"type": "staged", **given} for name, given in destinations.items()}
    config = Pipeline(folder / "it", options, **settings).load()
    async with Exporter(config, clock=clock, rng=random.Random(1)) as exporter:
        stage = Stage(exporter, clock)
        yield stage
        exporter.stop()
        for _ in range(50):
            for name in exporter.sinks:
                stage.sink(name).release()
            await clock.advance(1.0)
            await anyio.lowlevel.checkpoint()
