"""The write-ahead log ends within its last transaction: every earlier one is whole, and of the last there is nothing."""

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from support.journals import body_of, destinations, journalled, new_scan, opened
from support.memory import folder_in_memory
from support.soundness import problems

from scribe_export.journal.database import FILE_NAME
from scribe_export.journal.ingest import NewScan

WAL = FILE_NAME + "-wal"
SAFE = [str(number) for number in range(1, 7)]
LAST = [str(number) for number in range(7, 11)]


@pytest.fixture
def memory() -> Iterator[Path]:
    with folder_in_memory() as folder:
        yield folder


def _crashed(folder: Path) -> int:
    """A journal as a killed process leaves it, its last transaction being of `LAST`; how long its log was before that."""
    source = folder / "source"
    with opened(source) as db:
        destinations(db, "archive")
        for first in range(0, len(SAFE), 2):
            journalled(db, *(_scan(scan_id) for scan_id in SAFE[first : first + 2]))
        before = (source / WAL).stat().st_size
        journalled(db, *(_scan(scan_id) for scan_id in LAST))
        shutil.copytree(source, folder / "crashed", ignore=shutil.ignore_patterns("ballast", "*-shm"))
    return before


def _scan(scan_id: str) -> NewScan:
    return new_scan(scan_id, body_of(int(scan_id), notes=scan_id * 9_000))


def _cut(log: bytes, length: int) -> Iterator[bytes]:
    """The log up to there; and then nothing, zeros, or what stood on the disk before."""
    yield log[:length]
    yield log[:length] + b"\0" * (len(log) - length)
    yield log[:length] + log[: len(log) - length]


@pytest.mark.fault("F-23")
@pytest.mark.timeout(600)
@pytest.mark.parametrize("step", [25 * 512, pytest.param(512, marks=pytest.mark.slow)])
def test_a_log_that_is_cut_within_its_last_transaction_has_every_earlier_one(
    memory: Path, step: int, record_property: Callable[[str, object], None]
) -> None:
    before = _crashed(memory)
    log = (memory / "crashed" / WAL).read_bytes()
    cuts = [*range(before, len(log), step), len(log)]
    assert len(cuts) > 5
    for length in cuts:
        for torn in _cut(log, length):
            state = memory / "state"
            shutil.copytree(memory / "crashed", state)
            (state / WAL).write_bytes(torn)
            assert problems(state, SAFE) == [], f"cut at {length} of {len(log)}"
            with opened(state) as db:
                found = [scan_id for (scan_id,) in db.connection.execute("SELECT scan_id FROM scan ORDER BY seq")]
            whole = torn == log
            assert found == SAFE + (LAST if whole else []), f"cut at {length} of {len(log)}"
            shutil.rmtree(state)
    record_property("cuts", 3 * len(cuts))
