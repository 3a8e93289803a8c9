"""From a source's delivery to the journal: what is acknowledged, what is given back, and where the source stands then."""

from collections.abc import AsyncIterator, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

import anyio
import pytest
from support.oracle import small_scan
from support.staged import Stage, staged

from scribe_export.errors import JournalUnusable
from scribe_export.feed import Feed
from scribe_export.identify import Origin
from scribe_export.interface import Checkpoint, Context, Source
from scribe_export.journal.ingest import Ingested
from scribe_export.model import Delivery, Incoming
from scribe_export.options import Options, SourceOptions


class OneDelivery(Source):
    """`answers` are what became of it."""

    options_type: ClassVar[type[Options]] = SourceOptions

    def __init__(self, options: SourceOptions, context: Context) -> None:
        super().__init__(options, context)
        self.answers: list[str] = []

    async def deliveries(self, checkpoint: Checkpoint) -> AsyncIterator[Delivery]:
        async def ack() -> None:
            self.answers.append("ack")

        async def nack() -> None:
            self.answers.append("nack")

        yield Delivery([Incoming(small_scan(1, 200))], {"at": "1"}, ack, nack)


class Broken:
    """A journal that takes nothing."""

    async def prepare(self, incoming: Sequence[Incoming], origin: Origin) -> Any:
        return incoming

    async def commit(
        self, prepared: Any, origin: Origin, checkpoint: Mapping[str, str | None] | None = None
    ) -> list[Ingested]:
        raise JournalUnusable("the disk does not answer")


def feed(stage: Stage, intake: Any) -> tuple[Feed, OneDelivery]:
    exporter = stage.exporter
    source = OneDelivery(SourceOptions(type="one"), exporter.config.context("one", clock=stage.clock))
    return Feed("one", source, intake=intake, store=exporter.store, clock=stage.clock), source


def test_what_the_journal_does_not_take_is_given_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def scenario() -> None:
        async with staged(tmp_path, monkeypatch, {"a": {}}) as stage:
            reading, source = feed(stage, Broken())
            with pytest.raises(JournalUnusable):
                await reading.run()
            assert source.answers == ["nack"]

            reading, source = feed(stage, stage.exporter.intake)
            await reading.run()
            assert source.answers == ["ack"]

    anyio.run(scenario)


def test_a_commit_that_fails_moves_no_cursor(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(*_: object) -> None:
        raise RuntimeError("not now")

    async def scenario() -> None:
        async with staged(tmp_path, monkeypatch, {"a": {}}) as stage:
            intake, origin = stage.exporter.intake, Origin("one")
            scans = await intake.prepare([Incoming(small_scan(1, 200))], origin)
            with pytest.raises(RuntimeError, match="not now"):
                await intake.commit(scans, origin, {"at": "1"}, then=fails)
            assert await cursors(stage) == []
            await intake.commit(scans, origin, {"at": "1"})
            assert await cursors(stage) == [("one", "at", "1")]

    anyio.run(scenario)


async def cursors(stage: Stage) -> list[Any]:
    return await stage.exporter.store.do(lambda db: db.connection.execute("SELECT * FROM cursor").fetchall())


def test_equal_ids_of_two_scopes_are_two_scans(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def scenario() -> None:
        async with staged(tmp_path, monkeypatch, {"a": {}}) as stage:
            intake = stage.exporter.intake
            for origin in (Origin("one", "lab"), Origin("two", "field"), Origin("three", "lab")):
                await intake.commit(await intake.prepare([Incoming(small_scan(1, 200))], origin), origin)
            assert await stage.clock.advance_until(lambda: stage.idle, within=600.0)
            assert sorted(stage.sink("a").held) == ["field:1", "lab:1"]

    anyio.run(scenario)
