"""Destinations that ask for order get it within each partition, and a partition that waits holds up no other."""

from pathlib import Path

import anyio
import pytest
from support.staged import StagedSink, staged

from scribe_export.journal.batches import SealedBatch
from scribe_export.lane import lane
from scribe_export.model import Batch, Encoded, Record

pytestmark = pytest.mark.timeout(120)
HOUR = 3600.0
KEYS = 3


@pytest.fixture(autouse=True)
def _ordered(monkeypatch: pytest.MonkeyPatch) -> None:
    def partition(_: StagedSink, record: Record) -> str:
        return f"key {int(record.scan_id) % KEYS}"

    monkeypatch.setattr(StagedSink, "ordered", True)
    monkeypatch.setattr(StagedSink, "partition", partition)


def of_key(scan_ids: list[str], key: int) -> list[str]:
    return [one for one in scan_ids if int(one) % KEYS == key]


@pytest.mark.fault("F-15")
def test_retries_keep_the_order_within_a_key_and_keys_go_side_by_side(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def scenario() -> None:
        options = {"keeps": "log", "max_records": 10, "max_in_flight": 8}
        async with staged(tmp_path, monkeypatch, {"a": options}) as stage:
            sink = stage.sink("a")
            sink.seconds = 0.2
            sink.throttling = 30
            given = await stage.give(1, 300)
            assert await stage.clock.advance_until(lambda: stage.idle, within=HOUR)

            assert sorted(sink.held, key=int) == given
            for key in range(KEYS):
                assert of_key(sink.held, key) == of_key(given, key)
            assert sink.most_at_once == KEYS

    anyio.run(scenario)


@pytest.mark.fault("F-15")
def test_a_key_that_fails_holds_up_no_other(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def scenario() -> None:
        options = {"keeps": "log", "max_records": 10, "retry": {"base_delay": "1m", "max_delay": "1m"}}
        async with staged(tmp_path, monkeypatch, {"a": options}) as stage:
            sink = stage.sink("a")
            sink.poison = {"3"}
            given = await stage.give(1, 300)
            await stage.clock.advance(30.0)
            assert of_key(sink.held, 1) == of_key(given, 1)
            assert of_key(sink.held, 2) == of_key(given, 2)
            assert of_key(sink.held, 0) == []

            sink.poison = set()
            assert await stage.clock.advance_until(lambda: stage.idle, within=HOUR)
            assert of_key(sink.held, 0) == of_key(given, 0)
            assert await stage.dead() == []

    anyio.run(scenario)


def test_no_place_costs_no_commit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    noted: list[str] = []

    async def prepare(*_: object) -> str:
        return ""

    def noting(_: object, batch: SealedBatch, note: str) -> SealedBatch:
        noted.append(note)
        return batch

    monkeypatch.setattr(StagedSink, "prepare", prepare)
    monkeypatch.setattr(lane, "take_note", noting)

    async def scenario() -> None:
        async with staged(tmp_path, monkeypatch, {"a": {"max_records": 10}}) as stage:
            await stage.give(1, 30)
            assert await stage.clock.advance_until(lambda: stage.idle, within=HOUR)
            assert sorted(map(int, stage.sink("a").held)) == list(range(1, 31))

    anyio.run(scenario)
    assert noted == []


def test_a_place_is_taken_once_and_is_there_at_every_attempt_also_after_a_restart(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    taken: list[str] = []
    notes: dict[str, set[str]] = {}
    write = StagedSink.write

    async def prepare(_: StagedSink, batch: Batch) -> str:
        taken.append(batch.id)
        return f"place {len(taken)}"

    async def noting(sink: StagedSink, encoded: Encoded) -> str | None:
        notes.setdefault(encoded.batch.id, set()).add(encoded.batch.note)
        return await write(sink, encoded)

    monkeypatch.setattr(StagedSink, "prepare", prepare)
    monkeypatch.setattr(StagedSink, "write", noting)

    async def scenario() -> None:
        options = {"a": {"max_records": 10}}
        async with staged(tmp_path, monkeypatch, options) as stage:
            stage.sink("a").chances = {"lost_request": 1.0}
            await stage.give(1, 30)
            await stage.clock.advance(30.0)
        before = dict(notes)
        assert before
        async with staged(tmp_path, monkeypatch, options) as stage:
            assert await stage.clock.advance_until(lambda: stage.idle, within=HOUR)
            assert sorted(map(int, stage.sink("a").held)) == list(range(1, 31))
        assert len(taken) == len(set(taken)) == len(notes)
        assert {batch: notes[batch] for batch in before} == before, "a batch lost its place"
        assert all(len(places) == 1 and "" not in places for places in notes.values())

    anyio.run(scenario)
