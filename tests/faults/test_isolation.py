"""What goes wrong with one destination, or with one scan, stays with it."""

from pathlib import Path

import anyio
import pytest
from support.staged import staged

pytestmark = pytest.mark.timeout(120)
HOUR = 3600.0


@pytest.mark.fault("F-05")
def test_a_write_that_never_returns_delays_no_other_destination(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def scenario() -> None:
        async with staged(tmp_path, monkeypatch, {name: {} for name in "abc"}) as stage:
            stage.sink("b").chances = {"hang": 1.0}
            given = await stage.give(1, 500)
            await stage.clock.advance(5.0)

            assert stage.sink("b").hanging == 4
            assert stage.sink("a").held == stage.sink("c").held == given
            assert stage.sink("b").held == []
            more = await stage.give(501, 600)
            await stage.clock.advance(5.0)
            assert stage.sink("a").held == stage.sink("c").held == given + more
            assert await stage.dead() == []

    anyio.run(scenario)


@pytest.mark.parametrize("max_in_flight", [1, 4])
@pytest.mark.fault("F-05")
def test_the_backlog_of_an_hours_outage_drains_in_order_and_nothing_is_dead(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, max_in_flight: int
) -> None:
    async def scenario() -> None:
        down = {"keeps": "log", "max_records": 50, "max_in_flight": max_in_flight}
        async with staged(tmp_path, monkeypatch, {"a": {"keeps": "log"}, "b": down}) as stage:
            stage.sink("b").chances = {"refused": 1.0}
            given: list[str] = []
            for minute in range(60):
                given += await stage.give(20 * minute + 1, 20 * minute + 20)
                await stage.clock.advance(HOUR / 60)
                assert stage.sink("a").held == given

            tries = len(stage.sink("b").attempts)
            assert tries <= 5 + max_in_flight + HOUR / 30, "more than one probe for each rest of the breaker"
            assert tries >= HOUR / 300, "the destination was given up"
            stage.sink("b").chances = {}
            assert await stage.clock.advance_until(lambda: stage.idle, within=600.0)
            delivered = [attempt.scan_ids for attempt in stage.sink("b").attempts if attempt.fate == "ok"]
            assert sorted(stage.sink("b").held, key=int) == given
            _, *backlog = (
                delivered  # the first was the probe: whichever batch the breaker tried when all was well again
            )
            firsts = [int(ids[0]) for ids in backlog]
            overtaken = [abs(place - sorted(firsts).index(first)) for place, first in enumerate(firsts)]
            assert max(overtaken) < max_in_flight, "only batches in flight together may overtake one another"
            assert await stage.dead() == []

    anyio.run(scenario)


def test_one_poisonous_scan_is_isolated_and_its_499_neighbours_are_delivered(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def scenario() -> None:
        async with staged(tmp_path, monkeypatch, {"a": {}}) as stage:
            stage.sink("a").poison = {"250"}
            given = await stage.give(1, 500)
            assert await stage.clock.advance_until(lambda: stage.idle, within=6 * HOUR)

            assert [(letter.scan_id, letter.kind) for letter in await stage.dead()] == [("250", "poison")]
            assert sorted(stage.sink("a").held, key=int) == [one for one in given if one != "250"]

    anyio.run(scenario)


@pytest.mark.parametrize("keeps", ["records", "batches"])
def test_nothing_is_dead_while_every_batch_draws_a_500(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, keeps: str
) -> None:
    async def scenario() -> None:
        batch = {"max_age": "1s"}
        async with staged(tmp_path, monkeypatch, {"a": {"keeps": keeps, "batch": batch}}) as stage:
            stage.sink("a").chances = {"lost_request": 1.0}
            given = await stage.give(1, 500)
            await stage.clock.advance(2 * HOUR)
            assert await stage.dead() == []

            stage.sink("a").chances = {}
            assert await stage.clock.advance_until(lambda: stage.idle, within=HOUR)
            assert sorted(stage.sink("a").held, key=int) == given
            assert await stage.dead() == []

    anyio.run(scenario)


def test_a_batch_with_an_unknown_outcome_dies_whole_and_only_when_others_got_through(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def scenario() -> None:
        batches = {"keeps": "batches", "max_records": 20, "batch": {"max_age": "1s"}}
        async with staged(tmp_path, monkeypatch, {"a": batches}) as stage:
            sink = stage.sink("a")
            sink.poison = {"5"}
            await stage.give(1, 20)
            await stage.clock.advance(HOUR)
            assert await stage.dead() == [], "there is no other batch, so it may be an outage"

            await stage.give(21, 100)
            assert await stage.clock.advance_until(lambda: stage.idle, within=6 * HOUR)
            dead = await stage.dead()
            assert [letter.scan_id for letter in dead] == [str(number) for number in range(1, 21)]
            assert {letter.kind for letter in dead} == {"poison"}
            assert len({letter.batch for letter in dead}) == 1
            assert sorted(sink.held, key=int) == [str(number) for number in range(21, 101)]
            assert {attempt.batch_id for attempt in sink.attempts if "5" in attempt.scan_ids} == {
                attempt.batch_id for attempt in sink.attempts if "6" in attempt.scan_ids
            }, "a batch known only whole was sent in other company"

    anyio.run(scenario)


def test_a_batch_surely_not_applied_is_divided_until_one_scan_is_at_fault(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def scenario() -> None:
        batches = {"keeps": "batches", "max_records": 20, "batch": {"max_age": "1s"}}
        async with staged(tmp_path, monkeypatch, {"a": batches}) as stage:
            stage.sink("a").poison = {"5"}
            stage.sink("a").poison_applied = "no"
            given = await stage.give(1, 100)
            assert await stage.clock.advance_until(lambda: stage.idle, within=6 * HOUR)

            assert [(letter.scan_id, letter.kind) for letter in await stage.dead()] == [("5", "poison")]
            assert sorted(stage.sink("a").held, key=int) == [one for one in given if one != "5"]

    anyio.run(scenario)


def test_a_bug_in_a_sink_is_tried_a_few_times_and_then_dead(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def scenario() -> None:
        batches = {"keeps": "batches", "max_records": 20, "max_in_flight": 1, "batch": {"max_age": "1s"}}
        async with staged(tmp_path, monkeypatch, {"a": batches, "b": {}}) as stage:
            stage.sink("a").script.extend(["bug"] * 3)
            given = await stage.give(1, 20)
            await stage.clock.advance(HOUR)
            given += await stage.give(21, 60)
            assert await stage.clock.advance_until(lambda: stage.idle, within=HOUR)

            assert {letter.kind for letter in await stage.dead()} == {"bug"}
            assert [letter.scan_id for letter in await stage.dead()] == given[:20]
            assert len([attempt for attempt in stage.sink("a").attempts if "1" in attempt.scan_ids]) == 3
            assert sorted(stage.sink("a").held, key=int) == given[20:]
            assert sorted(stage.sink("b").held, key=int) == given

    anyio.run(scenario)


@pytest.mark.fault("F-07")
def test_a_throttled_lane_sends_less_at_once_and_then_more_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def scenario() -> None:
        async with staged(tmp_path, monkeypatch, {"a": {"max_records": 5}}) as stage:
            sink = stage.sink("a")
            sink.seconds = 1.0
            given = await stage.give(1, 1000)
            await stage.clock.advance(3.5)
            assert sink.most_at_once == 4

            sink.throttling = 8
            await stage.clock.advance_until(lambda: not sink.throttling, within=60.0)
            sink.most_at_once = sink.at_once
            await stage.clock.advance(1.5)
            assert sink.most_at_once <= 2
            await stage.clock.advance(30.0)
            assert sink.most_at_once == 4
            assert await stage.clock.advance_until(lambda: stage.idle, within=HOUR)
            assert sorted(sink.held, key=int) == given
            assert await stage.dead() == []

    anyio.run(scenario)


@pytest.mark.fault("F-26")
def test_a_misconfigured_destination_holds_everything_and_charges_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def scenario() -> None:
        async with staged(tmp_path, monkeypatch, {"a": {}, "b": {}}) as stage:
            stage.sink("b").chances = {"misconfigured": 1.0}
            given = await stage.give(1, 500)
            await stage.clock.advance(HOUR)

            assert stage.sink("a").held == given
            assert {batch.attempts for batch in await stage.open_batches()} == {0}
            assert stage.exporter.lanes["b"].misconfigured
            assert len(stage.sink("b").attempts) <= 4 + HOUR / 30
            stage.sink("b").chances = {}
            assert await stage.clock.advance_until(lambda: stage.idle, within=120.0)
            assert sorted(stage.sink("b").held, key=int) == given
            assert await stage.dead() == []

    anyio.run(scenario)


def test_a_restart_does_not_forget_that_a_destination_is_held(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def scenario() -> None:
        breaker = {"failure_threshold": 2, "timeout": "10m"}
        async with staged(tmp_path, monkeypatch, {"a": {"breaker": breaker}}) as stage:
            stage.sink("a").chances = {"refused": 1.0}
            await stage.give(1, 500)
            assert await stage.clock.advance_until(lambda: stage.exporter.lanes["a"].breaker.reason != "", within=HOUR)
        async with staged(tmp_path, monkeypatch, {"a": {"breaker": breaker}}) as stage:
            await stage.clock.advance(HOUR / 10)
            assert stage.sink("a").attempts == []
            assert await stage.clock.advance_until(lambda: stage.idle, within=HOUR)
            assert len(stage.sink("a").held) == 500

    anyio.run(scenario)


def test_a_body_damaged_after_its_batch_was_sealed_is_dead_and_its_neighbours_are_delivered(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def scenario() -> None:
        async with staged(tmp_path, monkeypatch, {"a": {}}) as stage:
            stage.sink("a").script.append("refused")
            await stage.give(1, 3)
            assert await stage.clock.advance_until(lambda: len(stage.sink("a").attempts) == 1, within=60.0)
            await stage.exporter.store.do(
                lambda db: db.connection.execute("UPDATE body SET bytes = CAST(bytes || ' ' AS BLOB) WHERE seq = 2")
            )
            assert await stage.clock.advance_until(lambda: stage.idle, within=HOUR)

            assert [(letter.scan_id, letter.kind) for letter in await stage.dead()] == [("2", "corrupt")]
            assert sorted(stage.sink("a").held) == ["1", "3"]

    anyio.run(scenario)
