"""An hour of trouble on simulated time: each alert is told once when it begins and once when it is over."""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import anyio
import pytest
from structlog.testing import capture_logs
from support.staged import Stage, staged

from scribe_export.registry import register_source
from scribe_export.testing.memory.source import MemoryFeed, MemorySource

pytestmark = pytest.mark.timeout(120)
HOUR = 3600.0
IDLE = {"type": "memory", "poll_interval": "10s"}
register_source("memory", MemorySource)


def told(logs: Iterable[Mapping[str, Any]], name: str) -> list[str]:
    """The changes of all alerts about one destination or source, in order."""
    changes = [entry for entry in logs if entry["event"] in {"alert raised", "alert cleared"} and entry["name"] == name]
    return [f"{entry['alert']} {entry['event'].removeprefix('alert ')}" for entry in changes]


def feed(stage: Stage) -> MemoryFeed:
    [one] = stage.exporter.feeds
    assert isinstance(one.source, MemorySource)
    return one.source.feed


def test_an_outage_of_an_hour_is_told_once_and_its_end_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def scenario() -> None:
        async with staged(tmp_path, monkeypatch, {"down": {}, "well": {}}) as stage:
            stage.sink("down").chances = {"refused": 1.0}
            for minute in range(60):
                await stage.give(10 * minute + 1, 10 * minute + 10)
                await stage.clock.advance(HOUR / 60)
            assert told(logs, "down") == ["destination_held raised", "backlog_old raised"]
            assert len(stage.sink("down").attempts) > 60, "the breaker was half open many times"
            stage.sink("down").chances = {}
            assert await stage.clock.advance_until(lambda: stage.idle, within=600.0)
            await stage.clock.advance(60.0)
            assert sorted(told(logs, "down")[2:]) == ["backlog_old cleared", "destination_held cleared"]
            assert told(logs, "well") == []
            [raised] = [entry for entry in logs if entry["event"] == "alert raised" and "held" in entry["alert"]]
            assert raised["log_level"] == "error"
            assert raised["since"] < "2026-05-06T12:01:00Z"
            assert "the service refused the request" in raised["reason"]

    with capture_logs() as logs:
        anyio.run(scenario)


@pytest.mark.parametrize("fate", ["refused", "misconfigured"])
def test_a_flap_that_the_next_trial_call_ends_is_not_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fate: str
) -> None:
    async def scenario() -> None:
        async with staged(tmp_path, monkeypatch, {"a": {"retry": {"max_delay": "10s"}}}) as stage:
            number = 0
            for _ in range(20):
                stage.sink("a").chances = {fate: 1.0}  # type: ignore[dict-item]  # the parameters are fates
                for _ in range(10):
                    number += 1
                    await stage.give(number, number)
                    await stage.clock.advance(2.0)
                assert stage.exporter.lanes["a"].breaker.reason
                stage.sink("a").chances = {}
                assert await stage.clock.advance_until(lambda: stage.idle, within=100.0)
                await stage.clock.advance(7.0)
            assert len(stage.sink("a").held) == 200
            assert told(logs, "a") == []

    with capture_logs() as logs:
        anyio.run(scenario)


def test_a_destination_that_is_denied_and_mended_is_told_until_something_gets_through(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def scenario() -> None:
        async with staged(tmp_path, monkeypatch, {"a": {}}) as stage:
            stage.sink("a").chances = {"misconfigured": 1.0}
            await stage.give(1, 10)
            await stage.clock.advance(59.0)
            assert told(logs, "a") == []
            await stage.clock.advance(61.0)
            assert told(logs, "a") == ["destination_held raised"]
            stage.sink("a").chances = {"hang": 1.0}
            await stage.clock.advance(300.0)
            assert told(logs, "a") == ["destination_held raised"], "a trial call is under way"
            stage.sink("a").chances = {}
            stage.sink("a").release()
            await stage.clock.advance(60.0)
            assert told(logs, "a") == ["destination_held raised", "destination_held cleared"]

    with capture_logs() as logs:
        anyio.run(scenario)


def test_a_source_is_told_when_it_is_held_and_when_it_is_silent(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = {"type": "memory", "poll_interval": "1s", "silent_after": "30m"}

    async def scenario() -> None:
        async with staged(tmp_path, monkeypatch, {"a": {}}, sources={"scanner": source}) as stage:
            feed(stage).put(5)
            await stage.clock.advance(60.0)
            with feed(stage).down():
                await stage.clock.advance(1.0)
            await stage.clock.advance(600.0)
            assert told(logs, "scanner") == [], "it was a flap"

            with feed(stage).denying():
                await stage.clock.advance(700.0)
            assert told(logs, "scanner") == ["source_held raised"]
            await stage.clock.advance(400.0)
            assert told(logs, "scanner") == ["source_held raised", "source_held cleared"], "it is read, and has nothing"
            await stage.clock.advance(HOUR)
            assert told(logs, "scanner")[2:] == ["source_silent raised"]
            feed(stage).put(1)
            await stage.clock.advance(60.0)
            assert told(logs, "scanner")[3:] == ["source_silent cleared"]

            with feed(stage).down():
                await stage.clock.advance(300.0)
                feed(stage).put(1)
            await stage.clock.advance_until(lambda: len(stage.sink("a").held) == 7, within=60.0)
            await stage.clock.advance(30.0)
            assert told(logs, "scanner")[4:] == ["source_held raised", "source_held cleared"], "it delivered"

    with capture_logs() as logs:
        anyio.run(scenario)


def test_a_gap_is_told_once_and_over_when_there_was_no_other_for_a_while(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def scenario() -> None:
        async with staged(tmp_path, monkeypatch, {"a": {}}, sources={"scanner": IDLE}) as stage:
            [one] = stage.exporter.feeds
            for _ in range(10):
                one.source.missed("5 scans were deleted before they were read")
                await stage.clock.advance(60.0)
            assert told(logs, "scanner") == ["gap raised"]
            assert one.source.gaps == 10
            await stage.clock.advance(900.0)
            assert told(logs, "scanner") == ["gap raised", "gap cleared"]
            assert [entry["reason"] for entry in logs if entry["event"] == "alert raised"] == [
                "5 scans were deleted before they were read"
            ]

    with capture_logs() as logs:
        anyio.run(scenario)


def test_a_bug_in_what_looks_on_stops_no_delivery(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def scenario() -> None:
        async with staged(tmp_path, monkeypatch, {"a": {}}, sources={"scanner": IDLE}) as stage:
            [one] = stage.exporter.feeds
            one.source.last_gap = "not a gap"  # type: ignore[assignment]  # that is the bug
            given = await stage.give(1, 10)
            await stage.clock.advance(60.0)
            assert stage.sink("a").held == given
            one.source.last_gap = None
            one.source.missed("one")
            await stage.clock.advance(60.0)
            assert told(logs, "scanner") == ["gap raised"]

    with capture_logs() as logs:
        anyio.run(scenario)
    assert {entry["event"] for entry in logs if entry["log_level"] == "error"} == {"alerts failed", "alert raised"}
