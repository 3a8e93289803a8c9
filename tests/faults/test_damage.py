"""A journal that is not what was written to it, or not for this release to read."""

import sqlite3
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from support.oracle import Oracle, held_in
from support.pipeline import Pipeline

from scribe_export.journal.database import PAGE_SIZE
from scribe_export.journal.schema import SCHEMA_VERSION

pytestmark = pytest.mark.timeout(120)
SCANS = 400
FLIPPED = 123


def _archive(key: str) -> dict[str, Any]:
    return {
        "type": "file",
        "directory": "mount/archive",
        "key": key,
        "batch": {"max_age": "20ms"},
        "breaker": {"timeout": "300ms"},
    }


def _backlog(folder: Path, oracle: Oracle, key: str) -> Pipeline:
    """A journal with every scan waiting for a destination whose folder is not mounted."""
    pipeline = Pipeline(folder, {"rest": _archive(key)}, sources={"scans": {"type": "file", "path": "scans.jsonl"}})
    (folder / "scans.jsonl").write_bytes(b"".join(oracle.give(n, 4000) + b"\n" for n in range(1, SCANS + 1)))
    finished = pipeline.until_idle("--max-wait", "30s")
    assert finished.returncode == 1, finished.stderr
    assert pipeline.status()["rest"].pending == SCANS
    return pipeline


def _damage(file: Path, change: Callable[[bytearray], None]) -> None:
    data = bytearray(file.read_bytes())
    change(data)
    file.write_bytes(data)


@pytest.mark.parametrize("key", ["rest/{scan_id}.json", "rest/{batch_id}.{ext}"])
@pytest.mark.fault("F-21")
def test_a_scan_with_a_flipped_byte_is_dead_as_corrupt_and_never_sent(tmp_path: Path, key: str) -> None:
    oracle = Oracle()
    folder = tmp_path / "it"
    with _backlog(folder, oracle, key) as pipeline:
        body = oracle.give(FLIPPED, 4000)

        def flip(data: bytearray) -> None:
            data[data.index(body) + 200] ^= 1

        _damage(pipeline.journal, flip)
        (folder / "mount").mkdir()
        finished = pipeline.until_idle()
        assert finished.returncode == 1
        row = pipeline.status()["rest"]
        assert (row.delivered, row.dead, row.pending) == (SCANS - 1, 1, 0)
        assert pipeline.query("SELECT scan_id, class FROM delivery JOIN scan USING(seq)") == [(str(FLIPPED), "corrupt")]
    difference = oracle.compare(held_in(folder / "mount"))
    assert difference.lost == [str(FLIPPED)]
    assert not difference.altered + difference.doubled + difference.foreign


def _middle_page(data: bytearray) -> None:
    start = len(data) // PAGE_SIZE // 2 * PAGE_SIZE
    data[start : start + PAGE_SIZE] = b"\xa5" * PAGE_SIZE


def _some_pages(data: bytearray) -> None:
    for page in range(40, len(data) // PAGE_SIZE, 23):
        data[page * PAGE_SIZE : page * PAGE_SIZE + 512] = b"\0" * 512


@pytest.mark.parametrize("damage", [_middle_page, _some_pages])
@pytest.mark.fault("F-22")
def test_a_journal_with_damaged_pages_is_set_aside_and_what_verifies_is_delivered(
    tmp_path: Path, damage: Callable[[bytearray], None]
) -> None:
    oracle = Oracle()
    folder = tmp_path / "it"
    with _backlog(folder, oracle, "rest/{scan_id}.json") as pipeline:
        _damage(pipeline.journal, damage)
        (folder / "mount").mkdir()
        run = pipeline.start()
        assert run.ready(within=20) < 10
        damaged = run.wait_for("journal damaged")
        run.terminate()
        assert run.ended() == 0
        assert Path(damaged["kept"]).exists()

        finished = pipeline.until_idle()
        assert finished.returncode in {0, 1}
        assert "journal damaged" not in finished.stderr, "recovered again at the next start"
        row = pipeline.status()["rest"]
        dead = {scan_id for (scan_id,) in pipeline.query("SELECT scan_id FROM delivery JOIN scan USING(seq)")}
        assert row.pending == 0
    difference = oracle.compare(held_in(folder / "mount"))
    assert not difference.altered + difference.doubled + difference.foreign
    assert set(difference.lost) <= dead, "neither delivered nor dead"
    assert len(difference.lost) < SCANS / 4


@pytest.mark.fault("F-22")
def test_a_journal_without_its_header_is_set_aside_and_the_program_starts(tmp_path: Path) -> None:
    oracle = Oracle()
    folder = tmp_path / "it"
    with _backlog(folder, oracle, "rest/{scan_id}.json") as pipeline:

        def erase(data: bytearray) -> None:
            data[:100] = b"\0" * 100

        _damage(pipeline.journal, erase)
        (folder / "mount").mkdir()
        started = time.monotonic()
        finished = pipeline.until_idle()
        assert finished.returncode == 0, finished.stderr
        assert time.monotonic() - started < 20
        assert "journal damaged" in finished.stderr
        assert list(pipeline.state.glob("journal.db.damaged-*"))
    assert str(oracle.compare(held_in(folder / "mount"))) == "no difference"


def test_a_journal_of_a_newer_release_is_refused_with_4_naming_both_versions(tmp_path: Path) -> None:
    oracle = Oracle()
    with _backlog(tmp_path / "it", oracle, "rest/{scan_id}.json") as pipeline:
        with closing(sqlite3.connect(pipeline.journal)) as connection:
            connection.execute("PRAGMA user_version=99")
        before = pipeline.journal.read_bytes()
        refused = pipeline.call("run")

        assert refused.returncode == 4
        assert "format 99" in refused.stderr
        assert f"up to {SCHEMA_VERSION}" in refused.stderr
        assert "Traceback" not in refused.stderr
        assert pipeline.journal.read_bytes() == before
