"""Each call of the journal's database, one after the other, fails once: nothing acknowledged is lost or doubled."""

import functools
import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import anyio
import pytest
from support.failing_calls import Fault, Moment, failing
from support.memory import folder_in_memory
from support.oracle import Oracle, held_in
from support.pipeline import Pipeline
from support.soundness import problems

from scribe_export import exporter as exporting
from scribe_export import intake
from scribe_export.errors import JournalError, JournalFull
from scribe_export.exporter import Exporter
from scribe_export.journal import database
from scribe_export.lane import lane

DESTINATIONS: dict[str, dict[str, Any]] = {
    "each": {"type": "file", "directory": "each", "key": "rest/{scan_id}.json"},
    "lake": {"type": "file", "directory": "lake", "key": "rest/{batch_id}.{ext}", "batch": {"max_age": "10ms"}},
}
SCANS = 5


@pytest.fixture
def folder(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """In memory, where nothing waits for a disk; and a full journal is tried again soon."""
    for module in (intake, lane):
        monkeypatch.setattr(module, "FULL_PAUSE", 0.002)
    monkeypatch.setattr(exporting, "POLL", 0.002)
    monkeypatch.setattr(database, "SYNCHRONOUS", "OFF")
    with folder_in_memory() as made:
        yield made


async def _delivered(pipeline: Pipeline, oracle: Oracle, acked: set[str]) -> None:
    """Scans are given one by one, each asked for anew while the journal says that it is full."""
    async with Exporter(pipeline.load()) as exporter:
        for number in range(1, SCANS + 1):
            body = oracle.give(number, 300_000 if number == 3 else 500)
            for _ in range(3):
                try:
                    await exporter.deliver(body)
                except JournalFull:
                    continue
                acked.add(str(number))
                break
        await exporter.until_idle(10)


async def _given_and_started_again(pipeline: Pipeline, oracle: Oracle, acked: set[str]) -> None:
    for run in (functools.partial(_delivered, pipeline, oracle, acked), functools.partial(_rest, pipeline)):
        try:
            await run()
        except JournalError:
            """What the operator is told; any other error would be one that nobody thought of."""


async def _rest(pipeline: Pipeline) -> bool:
    async with Exporter(pipeline.load()) as exporter:
        return await exporter.until_idle(20)


def _run(folder: Path, fault: Fault) -> None:
    oracle, acked = Oracle(), set[str]()
    pipeline = Pipeline(folder, DESTINATIONS)
    with failing(fault):
        anyio.run(_given_and_started_again, pipeline, oracle, acked)
    assert not list(pipeline.state.glob("*damaged*")), fault
    assert problems(pipeline.state, acked) == [], fault
    assert anyio.run(_rest, pipeline), fault
    for name in DESTINATIONS:
        difference = oracle.compare(held_in(folder / name))
        assert not acked & set(difference.lost), f"{fault}: {name}: {difference}"
        assert not difference.doubled + difference.altered + difference.foreign, f"{fault}: {name}: {difference}"


@pytest.mark.fault("F-29")
@pytest.mark.timeout(900)
@pytest.mark.parametrize("every", [31, pytest.param(1, marks=pytest.mark.slow)])
@pytest.mark.parametrize(
    ("code", "moment"),
    [
        pytest.param(sqlite3.SQLITE_FULL, "before", id="full"),
        pytest.param(sqlite3.SQLITE_IOERR, "before", id="I/O error", marks=pytest.mark.slow),
        pytest.param(sqlite3.SQLITE_IOERR, "after", id="I/O error when done"),
        pytest.param(sqlite3.SQLITE_BUSY, "before", id="busy", marks=pytest.mark.slow),
    ],
)
def test_a_call_of_the_store_that_fails_loses_and_doubles_nothing(
    folder: Path, code: int, moment: Moment, every: int, record_property: Callable[[str, object], None]
) -> None:
    number = 1
    while True:
        fault = Fault(number, code, moment)
        _run(folder / str(number), fault)
        if fault.calls < number:
            break
        number += every
    record_property("calls", number)
    assert number > 100
