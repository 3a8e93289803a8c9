"""What alerts see of a running pipeline."""

from collections import Counter
from collections.abc import Mapping
from pathlib import Path

import anyio
import pytest
from support.staged import Stage, staged

from scribe_export.alerts.reading import Reader
from scribe_export.journal import database as journal_database
from scribe_export.journal import oldest as journal_oldest
from scribe_export.journal.database import LEAST_ROOM


def reader(stage: Stage) -> Reader:
    exporter = stage.exporter
    return Reader(exporter.store, exporter.lanes, exporter.feeds, stage.clock)


def test_the_oldest_scan_of_each_destination_is_found_sealed_or_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    destinations = {"held": {}, "filling": {"batch": {"max_age": "1h", "max_records": 1000}}, "well": {}}

    async def scenario() -> None:
        async with staged(tmp_path, monkeypatch, destinations) as stage:
            look = reader(stage).look
            assert (await look()).journal.oldest == {}
            stage.sink("held").chances = {"refused": 1.0}
            await stage.give(1, 5)
            await stage.clock.advance(100.0)
            await stage.give(6, 9)
            await stage.clock.advance(20.0)
            seen = await look()
            assert seen.journal.oldest == {"held": 120.0, "filling": 120.0}
            by_name = {one.name: one for one in seen.destinations}
            assert (by_name["held"].held or 0.0) > 100.0
            assert by_name["well"].held is None
            assert "refused" in by_name["held"].reason
            assert (by_name["held"].rest, by_name["filling"].max_age) == (30.0, 3600.0)
            stage.sink("held").chances = {}
            await stage.clock.advance(3600.0)
            assert (await look()).journal.oldest == {}

    anyio.run(scenario)


def test_what_was_passed_over_is_not_looked_at_again_and_each_command_looks_at_little(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(journal_oldest, "SLICE", 10)
    rare = {"when": 'scan_id == "96"', "batch": {"max_age": "1d"}}

    async def scenario() -> None:
        async with staged(tmp_path, monkeypatch, {"all": {}, "rare": rare}) as stage:
            looking, connection = reader(stage), stage.exporter.store.database.connection
            queries: list[str] = []

            async def looked() -> tuple[Mapping[str, float], int]:
                queries.clear()
                connection.set_trace_callback(queries.append)
                seen = await looking.look()
                connection.set_trace_callback(None)
                return seen.journal.oldest, sum("SELECT seq FROM scan" in query for query in queries)

            await stage.give(1, 95)
            await stage.clock.advance(50.0)
            oldest, searches = await looked()
            assert oldest == {}
            assert 10 <= searches <= 20
            assert await looked() == ({}, 2)
            await stage.give(96, 97)
            await stage.clock.advance(30.0)
            assert await looked() == ({"rare": 30.0}, 2)
            await stage.clock.advance(30.0)
            assert await looked() == ({"rare": 60.0}, 2)

    anyio.run(scenario)


def test_dead_letters_are_counted_whether_they_died_alone_or_with_their_batch(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    batches = {"keeps": "batches", "max_records": 10, "batch": {"max_age": "1s"}}

    async def scenario() -> None:
        async with staged(tmp_path, monkeypatch, {"alone": {}, "whole": batches}) as stage:
            stage.sink("alone").script.append("rejected")
            stage.sink("whole").poison = {"5"}
            await stage.give(1, 1)
            for first in (2, 12, 22):
                await stage.give(first, first + 9)
                await stage.clock.advance(3600.0)
            assert stage.idle
            letters = await stage.dead()
            assert {letter.batch is None for letter in letters} == {True, False}
            dead = Counter(letter.destination for letter in letters)
            seen = await reader(stage).look()
            assert seen.journal.dead == dead
            assert {one.name: one.dead for one in seen.destinations} == dead
            assert seen.journal.unplaced == 0

    anyio.run(scenario)


def test_a_journal_is_full_from_its_quota_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def scenario() -> None:
        async with staged(tmp_path, monkeypatch, {"a": {}}) as stage:
            looking, database = reader(stage), stage.exporter.store.database
            seen = (await looking.look()).journal
            assert (seen.full, seen.roomy) == ("", True)
            database.quota = database.used() + 1
            seen = (await looking.look()).journal
            assert (seen.full, seen.roomy) == ("", False)
            database.quota = database.used()
            seen = (await looking.look()).journal
            assert (seen.full, seen.roomy) == ("the journal's quota is used up: sources pause", False)
            database.quota = 100 * database.used()
            monkeypatch.setattr(journal_database, "room", lambda _: LEAST_ROOM - 1)
            assert (await looking.look()).journal.full == "the disk is full: sources pause"

    anyio.run(scenario)
