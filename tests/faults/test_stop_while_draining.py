"""A stop lets what a drain has in flight settle, as it does for every other destination."""

from pathlib import Path

import anyio
import pytest
from support.pipeline import Pipeline
from support.staged import StagedSink, staged

from scribe_export.model import Encoded
from scribe_export.operations.leaving import drain


def test_what_is_in_flight_is_settled(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def scenario() -> None:
        async with staged(tmp_path, monkeypatch, {"a": {}, "old": {}}) as stage:
            stage.exporter.lanes["old"].pause(paused=True)
            await stage.give(1, 4)
            await stage.clock.advance(10.0)
        writing, sent = anyio.Event(), anyio.Event()

        async def write(_sink: StagedSink, _encoded: Encoded) -> str:
            writing.set()
            await sent.wait()
            return ""

        async with staged(tmp_path, monkeypatch, {"a": {}}) as stage:
            monkeypatch.setattr(StagedSink, "write", write)
            old = Pipeline(tmp_path / "before", {"old": {"type": "staged"}}).load()
            scope = anyio.CancelScope()

            async def ask() -> None:
                with scope:
                    await drain(stage.exporter, "old", old, within=600.0)

            async with anyio.create_task_group() as tasks:
                tasks.start_soon(ask)
                await stage.clock.advance_until(writing.is_set, within=60.0)
                scope.cancel()
                await anyio.lowlevel.checkpoint()
                sent.set()
            assert await stage.open_batches() == []

    anyio.run(scenario)
