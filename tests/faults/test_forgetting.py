"""A scan is forgotten while lanes have it in their hands: it is sent nowhere any more, and every other scan arrives."""

import asyncio
import functools
from pathlib import Path
from random import Random
from typing import Any

import anyio
import pytest
from support.staged import Stage, staged

from scribe_export.errors import ScribeExportError
from scribe_export.journal.chain import check_chain
from scribe_export.journal.database import Database
from scribe_export.journal.forget import Forgotten, forget_scan
from scribe_export.operations import forgetting
from scribe_export.operations.forgetting import forget

pytestmark = pytest.mark.timeout(120)
HOUR = 3600.0
WHOLE = {"keeps": "batches", "max_records": 20, "batch": {"max_age": "1s"}}


def went(forgotten: Forgotten) -> list[tuple[str, str]]:
    return [(one.destination, one.state) for one in forgotten.went]


async def sound(stage: Stage) -> bool:
    return not (await stage.exporter.store.do(check_chain)).broken


def test_what_is_in_flight_is_settled_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def scenario() -> None:
        async with staged(tmp_path, monkeypatch, {"a": {}}) as stage:
            stage.sink("a").script.append("hang")
            given = await stage.give(1, 4)
            await stage.clock.advance(1.0)
            assert stage.sink("a").hanging == 1
            found: list[Forgotten] = []

            async def ask() -> None:
                found.append(await forget(stage.exporter, "2"))

            async with anyio.create_task_group() as tasks:
                tasks.start_soon(ask)
                await stage.clock.advance(5.0)
                assert found == []
                stage.sink("a").release()
                assert await stage.clock.advance_until(lambda: bool(found), within=60.0)
            assert went(found[0]) == [("a", "delivered")]
            assert (found[0].taken_out, found[0].unscrubbed) == ([], "")
            assert stage.sink("a").held == given
            assert await sound(stage)

    anyio.run(scenario)


def test_what_never_comes_back_is_not_waited_for_without_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def scenario() -> None:
        async with staged(tmp_path, monkeypatch, {"a": {}}) as stage:
            stage.sink("a").script.append("hang")
            await stage.give(1, 4)
            await stage.clock.advance(1.0)
            said: list[str] = []

            async def ask() -> None:
                try:
                    await forget(stage.exporter, "2")
                except ScribeExportError as error:
                    said.append(str(error))

            async with anyio.create_task_group() as tasks:
                tasks.start_soon(ask)
                assert await stage.clock.advance_until(lambda: bool(said), within=2 * forgetting.PATIENCE)
            assert said == ["scan 2 is being sent to a all the while, and nothing was forgotten; ask again later"]

    anyio.run(scenario)


def test_it_is_taken_out_of_what_waits_and_the_others_arrive_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def scenario() -> None:
        later = {"keeps": "batches", "max_records": 100, "batch": {"max_age": "1h"}}
        async with staged(tmp_path, monkeypatch, {"unknown": {}, "refused": WHOLE, "later": later}) as stage:
            stage.sink("unknown").chances = {"lost_request": 1.0}
            stage.sink("refused").chances = {"refused": 1.0}
            await stage.clock.advance(1.0)
            given = await stage.give(1, 10)
            await stage.clock.advance(5.0)
            attempts = {name: len(stage.sink(name).attempts) for name in ("unknown", "refused")}
            assert min(attempts.values()) > 0

            done: list[Forgotten] = []

            async def ask() -> None:
                done.append(await forget(stage.exporter, "7"))

            async with anyio.create_task_group() as tasks:
                tasks.start_soon(ask)
                assert await stage.clock.advance_until(lambda: bool(done), within=60.0)
            assert sorted(done[0].taken_out) == ["later", "refused", "unknown"]
            assert went(done[0]) == [("unknown", "may be there")]
            stage.sink("unknown").chances = stage.sink("refused").chances = {}
            assert await stage.clock.advance_until(lambda: stage.idle, within=3 * HOUR)
            for name in ("unknown", "refused", "later"):
                assert sorted(stage.sink(name).held, key=int) == [one for one in given if one != "7"]
            assert await stage.dead() == []
            assert await sound(stage)

    anyio.run(scenario)


def test_a_batch_that_may_have_been_stored_whole_is_left_alone_and_nothing_is_forgotten(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def scenario() -> None:
        async with staged(tmp_path, monkeypatch, {"a": {"keeps": "log"}, "b": WHOLE}) as stage:
            stage.sink("a").chances = {"refused": 1.0}
            stage.sink("b").chances = {"lost_answer": 1.0}
            given = await stage.give(1, 10)
            await stage.clock.advance(5.0)
            (batch,) = [batch for batch in await stage.open_batches() if batch.count == 10 and not batch.by_record]
            with pytest.raises(
                ScribeExportError, match=f"nothing was: .* b .open. as .*{batch.batch_id}.*Let them be delivered"
            ):
                await forget(stage.exporter, "7")

            stage.sink("a").chances = stage.sink("b").chances = {}
            assert await stage.clock.advance_until(lambda: stage.idle, within=HOUR)
            for name in "ab":
                assert sorted(stage.sink(name).held, key=int) == given
            assert {attempt.batch_id for attempt in stage.sink("b").attempts} == {batch.batch_id}
            assert sorted(went(await forget(stage.exporter, "7"))) == [("a", "delivered"), ("b", "delivered")]

    anyio.run(scenario)


def test_alone_in_such_a_batch_it_goes_with_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def scenario() -> None:
        async with staged(tmp_path, monkeypatch, {"b": WHOLE}) as stage:
            stage.sink("b").chances = {"lost_request": 1.0}
            await stage.give(1, 1)
            await stage.clock.advance(5.0)
            done: list[Forgotten] = []

            async def ask() -> None:
                done.append(await forget(stage.exporter, "1"))

            async with anyio.create_task_group() as tasks:
                tasks.start_soon(ask)
                assert await stage.clock.advance_until(lambda: bool(done), within=60.0)
            assert went(done[0]) == [("b", "may be there")]
            assert await stage.open_batches() == []
            attempts = len(stage.sink("b").attempts)
            await stage.clock.advance(HOUR)
            assert len(stage.sink("b").attempts) == attempts

    anyio.run(scenario)


@pytest.mark.parametrize("seed", range(4))
def test_forgetting_at_any_moment_costs_no_other_scan_its_delivery(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, seed: int
) -> None:
    async def scenario() -> None:
        rng = Random(seed)
        several = {"max_records": 5, "max_in_flight": 3}
        async with staged(
            tmp_path, monkeypatch, {"a": several, "b": {**WHOLE, "max_records": 7, "batch": {"max_age": "3s"}}}
        ) as stage:
            for name in "ab":
                stage.sink(name).chances = {"ok": 3.0, "refused": 1.0, "lost_answer": 1.0, "lost_request": 1.0}
                stage.sink(name).seconds = 0.7
            forgotten: dict[str, dict[str, int]] = {}

            async def ask(scan_id: str) -> None:
                try:
                    await forget(stage.exporter, scan_id)
                except ScribeExportError:
                    return  # a batch known only whole held it
                forgotten[scan_id] = {name: len(stage.sink(name).attempts) for name in "ab"}

            given: list[str] = []
            async with anyio.create_task_group() as tasks:
                for number in range(1, 61, 4):
                    given += await stage.give(number, number + 3)
                    tasks.start_soon(ask, str(rng.randrange(max(1, number - 8), number + 4)))
                    await stage.clock.advance(rng.choice([0.0, 0.3, 1.0, 4.0]))
                for name in "ab":
                    stage.sink(name).chances = {}
                assert await stage.clock.advance_until(lambda: stage.idle, within=12 * HOUR)
            assert len(forgotten) > 3
            assert await stage.dead() == []
            for name in "ab":
                held = stage.sink(name).held
                assert len(held) == len(set(held))
                assert set(given) - set(held) <= forgotten.keys()
                for scan_id, before in forgotten.items():
                    later = stage.sink(name).attempts[before[name] :]
                    assert [one for one in later if scan_id in one.scan_ids] == []
            assert await sound(stage)

    anyio.run(scenario)


def test_a_stop_while_it_forgets_sends_nothing_that_was_sealed_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def scenario() -> None:
        async with staged(tmp_path, monkeypatch, {"a": WHOLE}) as stage:
            lane = stage.exporter.lanes["a"]
            stage.sink("a").chances = {"refused": 1.0}
            await stage.give(1, 10)
            await stage.clock.advance(1.0)
            lane.pause(paused=True)
            await stage.clock.advance(600.0)
            stage.sink("a").chances = {}
            loop, scope = asyncio.get_running_loop(), anyio.CancelScope()

            def stop() -> None:
                stage.exporter.stop()
                scope.cancel()

            def stopped_within(db: Database, **given: Any) -> Forgotten:
                found = forget_scan(db, **given)
                # The lane has something to send and waits for its turn, when the process is told to stop.
                loop.call_soon_threadsafe(functools.partial(lane.pause, paused=False))
                loop.call_soon_threadsafe(lambda: loop.call_soon(lambda: loop.call_soon(lambda: loop.call_soon(stop))))
                return found

            monkeypatch.setattr(forgetting, "forget_scan", stopped_within)
            with scope:
                await forget(stage.exporter, "7")
            for _ in range(20):
                await anyio.lowlevel.checkpoint()
            await stage.clock.advance(60.0)
            waiting = [batch.count for batch in await stage.open_batches()]
            held = stage.sink("a").held
            assert (held, waiting) == ([], [9])

    anyio.run(scenario)


def test_a_drain_that_begins_while_it_waits_is_left_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def scenario() -> None:
        async with staged(tmp_path, monkeypatch, {"a": {}}) as stage:
            stage.sink("a").script.append("hang")
            await stage.give(1, 4)
            await stage.clock.advance(1.0)
            said: list[str] = []

            async def ask() -> None:
                with pytest.raises(ScribeExportError) as caught:
                    await forget(stage.exporter, "2")
                said.append(str(caught.value))

            async with anyio.create_task_group() as tasks:
                tasks.start_soon(ask)
                await stage.clock.advance(5.0)
                stage.exporter.draining.add("old")
                stage.sink("a").release()
                assert await stage.clock.advance_until(lambda: bool(said), within=60.0)
            assert said == ["old is being drained, and nothing was forgotten; ask again later"]

    anyio.run(scenario)
