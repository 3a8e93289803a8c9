"""Usage counts every attempt, and what is kept once, whatever becomes of the attempts between."""

from collections.abc import Callable
from datetime import date
from pathlib import Path
from typing import cast

import anyio
import pytest
import structlog
from support.oracle import small_scan
from support.staged import Stage, staged

from scribe_export.errors import PartialFailure
from scribe_export.interface import Context
from scribe_export.journal.usage import usage_since
from scribe_export.lane.spending import spent
from scribe_export.model import Encoded, Usage
from scribe_export.testing.flaky import Fate
from scribe_export.testing.memory import MemorySink, MemorySinkOptions
from scribe_export.testing.records import make_records
from scribe_export.testing.sealing import seal_one

pytestmark = pytest.mark.timeout(60)
SIZE = len(small_scan(10, 200))


async def counted(stage: Stage) -> dict[str, float]:
    found = await stage.exporter.store.do(lambda db: usage_since(db.connection, date(1970, 1, 1)))
    return found.get("a", {})


def after(
    folder: Path, monkeypatch: pytest.MonkeyPatch, script: list[Fate], scans: int
) -> tuple[dict[str, float], int]:
    """What was counted of one destination that met these fates, and in how many writes."""

    async def scenario() -> tuple[dict[str, float], int]:
        async with staged(folder, monkeypatch, {"a": {}}) as stage:
            sink = stage.sink("a")
            sink.script.extend(script)
            await stage.give(10, 9 + scans)
            assert await stage.clock.advance_until(lambda: stage.idle, within=600.0)
            assert len(sink.held) == scans
            return await counted(stage), len(sink.attempts)

    return anyio.run(scenario)


@pytest.mark.parametrize(
    "script",
    [["ok"], ["refused"], ["lost_answer"], ["lost_request", "throttled", "misconfigured"], ["bug"]],
    ids=" ".join,
)
def test_an_attempt_counts_however_it_ends_and_a_stored_byte_once(
    script: list[Fate], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    usage, attempts = after(tmp_path, monkeypatch, script, 20)
    assert attempts == len(script) + (script != ["ok"])
    assert usage["requests"] == attempts
    assert usage["bytes_sent"] == attempts * usage["stored_bytes"]
    assert usage["stored_bytes"] == 20 * SIZE
    assert usage["scans"] == 20


def test_of_a_write_that_succeeds_in_part_only_that_part_is_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    usage, attempts = after(tmp_path, monkeypatch, ["partial", "partial"], 20)
    assert usage["requests"] == attempts == 3
    assert usage["stored_bytes"] == pytest.approx(20 * SIZE)
    assert usage["scans"] == 20
    assert 20 * SIZE < usage["bytes_sent"] < 3 * 20 * SIZE


def test_what_was_acked_of_a_batch_that_comes_again_whole_counts_when_it_is_confirmed() -> None:
    sink = MemorySink(MemorySinkOptions(keeps="batches"), Context("a"))
    encoded = sink.encode(seal_one(sink, make_records(10)))
    failed = spent(sink, encoded, PartialFailure({0, 1, 2}, {}))
    assert failed.amounts.keys() == {"requests", "bytes_sent"}
    assert spent(sink, encoded).amounts["scans"] == 10


def broken(sink: MemorySink, encoded: Encoded) -> Usage:
    raise RuntimeError("cannot count")


@pytest.mark.parametrize(
    "usage",
    [
        broken,
        lambda *_: Usage({"requests": float("nan")}),
        lambda *_: Usage({"requests": -1}, {"stored_bytes": 1}),
        lambda *_: Usage({"requests": 1e300}),
        lambda *_: Usage(cast("dict[str, float]", {"requests": "many"})),
        lambda *_: Usage({"re\ud800quests": 1}),
        lambda *_: Usage(cast("dict[str, float]", {None: 1})),
        lambda *_: Usage({f"unit_{number}": 1 for number in range(40_000)}),
        lambda *_: "nothing",
    ],
)
def test_a_connector_that_cannot_count_delivers_and_is_told_of_once(
    usage: Callable[[MemorySink, Encoded], Usage], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(MemorySink, "usage", usage)
    with structlog.testing.capture_logs() as logs:
        found, attempts = after(tmp_path, monkeypatch, ["refused"], 20)
    assert attempts == 2
    assert found == {"scans": 20}
    assert len([entry for entry in logs if entry["event"] == "usage not counted"]) == 1


def test_of_a_sink_without_the_hook_scans_are_counted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(MemorySink, "usage")
    found, _ = after(tmp_path, monkeypatch, [], 20)
    assert found == {"scans": 20}
