"""The power is cut at any moment: what was acknowledged is in the journal, whatever of the rest the disk kept."""

import os
import shutil
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any

import pytest
from support.oracle import Oracle, held_in
from support.pipeline import Pipeline, until
from support.power import OPTIONS, TRACED, Disk
from support.soundness import problems
from support.tracing import Call, calls, strace

from scribe_export.journal.database import FILE_NAME
from scribe_export.journal.status import open_read_only

SCANS = 60
LARGE = 15
"""Each so many-th scan is a file beside the journal."""
DESTINATIONS: dict[str, dict[str, Any]] = {
    "now": {
        "type": "file",
        "directory": "now",
        "key": "rest/{batch_id}.{ext}",
        "batch": {"max_records": 10, "max_age": "20ms"},
    },
    "later": {"type": "file", "directory": "later", "key": "rest/{batch_id}.{ext}", "batch": {"max_age": "1h"}},
}


@dataclass(frozen=True, slots=True)
class Recording:
    """A program's calls, and what it was given."""

    trace: list[Call]
    oracle: Oracle
    pipeline: Pipeline

    def acked(self) -> Iterator[tuple[int, str]]:
        """When its source let go of each scan for ever, and the scan's id."""
        for call in self.trace:
            if call.name == "unlink":
                path = Path(bytes.fromhex(call.text.split('"')[1].replace("\\x", "")).decode())
                if path.parent.name == "spool":
                    yield call.begun, str(int(path.stem))


@pytest.fixture(scope="module")
def record(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Recording]:
    """The program's calls while it takes all scans from a spool; with a promise broken, or ``none``."""
    recorded: dict[str, Recording] = {}

    def run(mutant: str) -> Recording:
        if mutant not in recorded:
            recorded[mutant] = _recorded(tmp_path_factory.mktemp("power"), mutant)
        return recorded[mutant]

    return run


def _recorded(folder: Path, mutant: str) -> Recording:
    oracle, spool = Oracle(), folder / "it" / "spool"
    spool.mkdir(parents=True)
    for number in range(1, SCANS + 1):
        body = oracle.give(number, 300_000 if number % LARGE == 0 else 3_000)
        (spool / f"{number:04d}.json").write_bytes(body)
    sources = {"spool": {"type": "spool", "directory": "spool", "records": 3}}
    main = (sys.executable, "-m", "support.mutant_main", f"small_log+{mutant}")
    with Pipeline(folder / "it", DESTINATIONS, sources=sources, main=main) as pipeline:
        run = pipeline.start(before=strace(folder / "trace", TRACED, *OPTIONS))
        until(lambda: not any(spool.iterdir()), within=90, what="taking all", seen=run.log.read_text)
        until(lambda: pipeline.status()["now"].delivered == SCANS, within=30, what="delivering all")
        # Killed itself, and not only strace, which it would outlive.
        os.kill(pipeline.owner, signal.SIGKILL)
        run.ended()
    return Recording(calls(folder / "trace"), oracle, pipeline)


def _cuts(recording: Recording, count: int, seed: int) -> Iterator[tuple[Path, set[str]]]:
    """Folders as a cut leaves them, each gone when the next comes, and the scans that were acknowledged by then."""
    rng = Random(seed)
    acked = list(recording.acked())
    moments = {rng.randrange(acked[0][0], recording.trace[-1].begun) for _ in range(count)}
    folder = recording.pipeline.folder
    disk, there = Disk(folder), folder.with_name("cut")
    for moment in disk.events(recording.trace):
        if passed := {one for one in moments if one <= moment}:
            moments -= passed
            shutil.rmtree(there, ignore_errors=True)
            disk.cut(there, rng)
            yield there, {scan_id for at, scan_id in acked if at <= moment}


def _found(recording: Recording, there: Path, acked: set[str]) -> list[str]:
    """What is not as promised after a cut: in the journal, and of what it says the destination `now` has."""
    state = there / "state" / "default"
    wrong = problems(state, acked)
    with closing(open_read_only(state / FILE_NAME)) as journal:
        rows = journal.execute(
            "SELECT scan_id FROM scan JOIN receipt ON seq BETWEEN first_seq AND last_seq WHERE destination = 'now'"
        ).fetchall()
    difference = recording.oracle.compare(held_in(there / "now"))
    missing = {scan_id for (scan_id,) in rows} & set(difference.lost)
    damaged = difference.doubled + difference.altered + difference.foreign
    return wrong + [f"{scan_id} was settled and is not at its destination" for scan_id in missing] + damaged


@pytest.mark.fault("F-03")
@pytest.mark.timeout(600)
@pytest.mark.parametrize("cuts", [20, pytest.param(300, marks=pytest.mark.slow)])
def test_what_was_acknowledged_outlives_a_power_cut(
    record: Callable[[str], Recording], cuts: int, record_property: Callable[[str, object], None]
) -> None:
    recording, seen, known = record("none"), 0, 0
    for there, acked in _cuts(recording, cuts, seed=5):
        seen, known = seen + 1, known + len(acked)
        assert _found(recording, there, acked) == [], f"{len(acked)} acknowledged"
    record_property("cuts", seen)
    record_property("acknowledged", known)
    assert seen > cuts / 2
    assert known > 5 * seen, "most cuts came before anything was acknowledged"


@pytest.mark.fault("F-03")
@pytest.mark.slow
@pytest.mark.timeout(120)
def test_the_program_goes_on_after_a_power_cut_and_delivers_what_was_acknowledged(
    record: Callable[[str], Recording],
) -> None:
    recording = record("none")
    *_, (there, acked) = _cuts(recording, 3, seed=8)
    pipeline = recording.pipeline
    shutil.rmtree(pipeline.folder / "state")
    shutil.move(there / "state", pipeline.folder / "state")
    finished = pipeline.until_idle()
    difference = recording.oracle.compare(held_in(pipeline.folder / "later"))

    assert finished.returncode == 0, finished.stderr
    assert acked
    assert acked & set(difference.lost) == set()
    assert not difference.doubled + difference.altered + difference.foreign


@pytest.mark.fault("F-03")
@pytest.mark.slow
@pytest.mark.timeout(300)
@pytest.mark.parametrize(
    "mutant", ["synchronous_normal", "blob_not_synced", "folder_not_synced", "state_folder_not_synced"]
)
def test_a_program_that_syncs_too_little_loses_scans_in_a_power_cut(
    record: Callable[[str], Recording], mutant: str
) -> None:
    recording = record(mutant)

    assert any(_found(recording, there, acked) for there, acked in _cuts(recording, 60, seed=5))
