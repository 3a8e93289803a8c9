"""Hours of trouble on simulated time: how often a failing service is asked, and a clock that is set."""

from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from itertools import pairwise
from pathlib import Path

import anyio
import pytest
from support.staged import Stage, staged

from scribe_export.journal import database
from scribe_export.testing.flaky import Attempt

pytestmark = pytest.mark.timeout(120)
DAY = 86_400.0


@pytest.fixture(autouse=True)
def _no_disk_to_wait_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is killed here, and a disk that takes seconds for a sync would have simulated time go on without it."""
    monkeypatch.setattr(database, "SYNCHRONOUS", "OFF")


async def _load(stage: Stage, first: int, seconds: int, rate: int = 20) -> list[str]:
    """So many scans a second, for so many seconds."""
    given: list[str] = []
    for second in range(seconds):
        given += await stage.give(first + second * rate, first + (second + 1) * rate - 1)
        await stage.clock.advance(1.0)
    return given


async def _all_at(stage: Stage, name: str, count: int) -> bool:
    """Let time pass until a destination has so many scans."""
    sink = stage.sink(name)
    return await stage.clock.advance_until(lambda: len(sink.held) == count, within=30.0)


def _bursts(attempts: Sequence[Attempt]) -> float:
    """The most requests in a second, over their mean in seconds that have any."""
    bins = Counter(int(attempt.at) for attempt in attempts)
    return max(bins.values()) * len(bins) / sum(bins.values())


@pytest.mark.fault("F-06")
def test_a_service_that_answers_503_is_asked_little_more_than_it_can_take(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, record_property: Callable[[str, object], None]
) -> None:
    async def scenario() -> None:
        async with staged(tmp_path, monkeypatch, {"a": {"max_records": 10}}) as stage:
            sink = stage.sink("a")
            sink.chances = {"refused": 1.0}
            given = await _load(stage, 1, 120)
            down = list(sink.attempts)
            assert len(down) <= 5 + 4 + 120 / 30, "more than the failures that open the breaker, and its trials"

            sink.chances = {"refused": 0.5, "ok": 0.5}
            given += await _load(stage, len(given) + 1, 120)
            sink.chances = {"ok": 1.0}
            assert await stage.clock.advance_until(lambda: stage.idle, within=3600.0)
            half = [attempt for attempt in sink.attempts[len(down) :] if attempt.at < 240]
            passed = sum(attempt.fate == "ok" for attempt in half)
            assert passed > 0
            assert len(half) <= 2.2 * passed + 10, (
                "of each request every second fails; few more are made than that takes"
            )
            assert _bursts(half) < 3 * stage.sink("a").options.max_in_flight
            assert sorted(sink.held, key=int) == given
            assert await stage.dead() == []
            record_property("requests while all fail", len(down))
            record_property("requests a success while half fail", len(half) / passed)

    anyio.run(scenario)


@pytest.mark.fault("F-07")
def test_a_batch_is_not_sent_again_before_the_service_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def scenario() -> None:
        async with staged(tmp_path, monkeypatch, {"a": {"max_records": 10}}) as stage:
            sink = stage.sink("a")
            sink.chances, sink.retry_after = {"throttled": 0.7, "ok": 0.3}, 7.0
            given = await _load(stage, 1, 60)
            sink.chances = {}
            assert await stage.clock.advance_until(lambda: stage.idle, within=3600.0)
            sent = defaultdict(list)
            for attempt in sink.attempts:
                sent[attempt.batch_id].append(attempt.at)
            waits = [later - sooner for times in sent.values() for sooner, later in pairwise(times)]
            assert waits
            assert min(waits) >= 7.0
            assert sorted(sink.held, key=int) == given
            assert await stage.dead() == []

    anyio.run(scenario)


@pytest.mark.fault("F-28")
@pytest.mark.parametrize("jump", [DAY, -DAY])
def test_a_clock_that_is_set_in_an_outage_changes_no_wait(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, jump: float
) -> None:
    patient = {"a": {"keeps": "log", "breaker": {"failure_threshold": 1000}, "retry": {"base_delay": "20s"}}}

    async def attempts(folder: Path, jump: float) -> list[float]:
        """When each write was begun, from an outage until its backlog is gone."""
        async with staged(folder, monkeypatch, patient) as stage:
            stage.sink("a").chances = {"refused": 1.0}
            given = await stage.give(1, 200)
            await stage.clock.advance(100.0)
            stage.clock.jump(jump)
            given += await stage.give(201, 300)
            await stage.clock.advance(100.0)
            stage.sink("a").chances = {}
            assert await stage.clock.advance_until(lambda: stage.idle, within=600.0)
            assert sorted(stage.sink("a").held, key=int) == given
            assert await stage.dead() == []
            return [attempt.at for attempt in stage.sink("a").attempts]

    async def scenario() -> None:
        plain = await attempts(tmp_path / "plain", 0.0)
        assert len(plain) > 5
        assert await attempts(tmp_path / "jumped", jump) == plain

    anyio.run(scenario)


@pytest.mark.fault("F-28")
@pytest.mark.parametrize("later", [DAY, -DAY, 0.0])
def test_after_a_restart_under_another_clock_no_retry_waits_longer_than_its_longest_delay(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, later: float
) -> None:
    slow = {"a": {"retry": {"base_delay": "60s", "max_delay": "120s"}}}

    async def scenario() -> None:
        async with staged(tmp_path, monkeypatch, slow) as stage:
            stage.sink("a").chances = {"refused": 1.0}
            given = await stage.give(1, 100)
            await stage.clock.advance(30.0)
            assert stage.sink("a").attempts
        async with staged(tmp_path, monkeypatch, slow, later=later) as stage:
            assert await stage.clock.advance_until(lambda: stage.idle, within=121.0)
            assert stage.sink("a").held == given

    anyio.run(scenario)


@pytest.mark.fault("F-28")
def test_a_clock_that_stands_still_holds_nothing_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def scenario() -> None:
        async with staged(tmp_path, monkeypatch, {"a": {}}) as stage:
            monkeypatch.setattr(stage.clock, "now", lambda: 1_778_068_800.0)
            stage.sink("a").script.extend(["refused"] * 3)
            given = await stage.give(1, 100)
            assert await stage.clock.advance_until(lambda: stage.idle, within=120.0)
            assert stage.sink("a").held == given

    anyio.run(scenario)


@pytest.mark.fault("F-05")
def test_beside_a_dead_destination_the_others_are_as_fast_as_without_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def slowest(folder: Path, *, down: bool) -> float:
        """The longest from journalled to delivered at `a`, in simulated seconds."""
        async with staged(folder, monkeypatch, {"a": {"max_records": 10}, "b": {"max_records": 10}}) as stage:
            stage.sink("a").seconds = 0.2
            if down:
                stage.sink("b").chances = {"refused": 0.9, "hang": 0.1}
            longest = 0.0
            for second in range(60):
                await stage.give(second * 20 + 1, second * 20 + 20)
                begun = stage.clock.monotonic()
                assert await _all_at(stage, "a", 20 * (second + 1))
                longest = max(longest, stage.clock.monotonic() - begun)
                await stage.clock.advance(1.0)
            return longest

    async def scenario() -> None:
        alone = await slowest(tmp_path / "alone", down=False)
        beside = await slowest(tmp_path / "beside", down=True)
        assert beside <= 1.2 * alone

    anyio.run(scenario)
