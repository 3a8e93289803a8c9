"""SCRIBE's database read and written while SCRIBE writes it, by a program that is killed again and again."""

import json
import sqlite3
import threading
from collections import Counter
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import httpx
import pytest
from support.crash import crash
from support.pipeline import Pipeline
from support.scribe_tables import PARTS, guide_database, new_database, query

from scribe_export.testing.records import scan_document
from scribe_local.servers import simulator

ALL = f"SELECT id, timestamp, {', '.join(PARTS)} FROM scan_results ORDER BY id"


class Working:
    """A thread that does one thing after another, numbered, until it is left; `error` is what stopped it."""

    def __init__(self, work: Callable[[int], object], *, pause: float) -> None:
        self.done = 0
        self.error: BaseException | None = None
        self._work, self._pause = work, pause
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run)

    def _run(self) -> None:
        try:
            while not self._stop.wait(self._pause):
                self._work(self.done + 1)
                self.done += 1
        except Exception as error:  # noqa: BLE001 - raised again by whoever leaves
            self.error = error

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop.set()
        self._thread.join()
        if self.error and not error:
            raise self.error


def documents(database: Path) -> dict[int, Any]:
    """By row."""
    return {
        row[0]: {"timestamp": row[1]} | {name: json.loads(text) for name, text in zip(PARTS, row[2:], strict=True)}
        for row in query(database, ALL)
    }


def content(document: Any) -> str:
    """All but the id, which is another in another database."""
    return json.dumps({name: value for name, value in document.items() if name != "scan_id"}, sort_keys=True)


@pytest.mark.timeout(300)
@pytest.mark.parametrize("kills", [8, pytest.param(60, marks=[pytest.mark.slow, pytest.mark.timeout(1200)])])
@pytest.mark.fault("F-01")
def test_nothing_is_lost_or_doubled_while_scribe_writes_both_databases(
    tmp_path: Path, kills: int, capsys: pytest.CaptureFixture[str]
) -> None:
    """The guide's class adds to one database, which is exported into that of a scanner at work, which is a source too.

    What comes back from there is the scanner's own by then: a pipeline in a circle comes to rest.
    """
    elsewhere = new_database(tmp_path / "elsewhere.db")
    guide = guide_database(elsewhere)
    with simulator(seed=6, scans=5, audio_samples=32, folder=tmp_path / "scanner") as scanner:

        def perform(_: int) -> None:
            httpx.post(f"{scanner.url}/scan", json={"duration": 0.1}, timeout=30).raise_for_status()

        sources = {
            "elsewhere": {"type": "scribe_database", "path": str(elsewhere), "poll_interval": "20ms", "scope": "other"},
            "bench": {"type": "scribe_database", "path": str(scanner.database), "poll_interval": "20ms"},
        }
        destinations: dict[str, dict[str, Any]] = {
            "scanner": {
                "type": "scribe_database",
                "path": str(scanner.database),
                "timeout": "2s",
                "batch": {"max_records": 10},
                "retry": {"base_delay": "20ms"},
            },
            "archive": {"type": "file", "directory": "archive", "key": "scans/{source}/{scan_id}.json"},
        }
        with Pipeline(tmp_path / "it", destinations, sources=sources) as pipeline:
            adding = Working(lambda number: guide.add_external_scan_data(scan_document(number)), pause=0.01)
            performing = Working(perform, pause=0.02)
            with adding, performing:
                seen = crash(pipeline, kills=kills, seed=11, destinations=["scanner", "archive"])
            # What the first look puts into the scanner's database, the second finds there.
            for _ in range(2):
                finished = pipeline.until_idle(within=120)
                assert finished.returncode == 0, finished.stdout + finished.stderr[-3000:]
            status = pipeline.status()
        held = documents(scanner.database)
        added = documents(elsewhere)
    with capsys.disabled():
        print(f"\n{len(added)} scans added, {performing.done} performed meanwhile, {seen}")
    own, came = 5 + performing.done, Counter(content(document) for document in added.values())
    assert len(added) == adding.done
    assert len(held) == own + len(added)
    assert not came - Counter(content(document) for document in held.values()), "every scan is there"
    assert not [row for row in status.values() if row.dead]
    archive = tmp_path / "it" / "archive" / "scans"
    for folder, rows in ((archive / "elsewhere", added), (archive / "bench", held)):
        found = {path.name: json.loads(path.read_bytes()) for path in folder.iterdir()}
        assert Counter(document["scan_id"] for document in found.values()) == Counter(rows.keys())
        assert all(content(document) == content(rows[document["scan_id"]]) for document in found.values())
    assert seen.in_flight, "no kill met a batch in flight, so this run shows nothing"


def test_a_broken_row_is_a_dead_letter_and_the_others_are_delivered(tmp_path: Path) -> None:
    database = new_database(tmp_path / "scribe_learning.db")
    guide = guide_database(database)
    for number in range(1, 4):
        guide.add_external_scan_data(scan_document(number))
    _break(database, 2)
    with Pipeline(
        tmp_path / "it",
        {"archive": {"type": "file", "directory": "archive", "key": "scans/{scan_id}.json"}},
        sources={"bench": {"type": "scribe_database", "path": str(database)}},
    ) as pipeline:
        finished = pipeline.until_idle()
        assert finished.returncode == 1, finished.stderr[-2000:]
        listed = json.loads(pipeline.call("dlq list", "--json").stdout)
    assert sorted(path.name for path in (tmp_path / "it" / "archive").rglob("*.json")) == ["1.json", "3.json"]
    text = json.dumps(listed)
    assert "invalid" in text
    assert "scan_results row 2" in text


def _break(database: Path, row: int) -> None:
    with closing(sqlite3.connect(database)) as connection, connection:
        connection.execute("PRAGMA ignore_check_constraints = ON")
        connection.execute("UPDATE scan_results SET features = '{\"rms\": NaN}' WHERE id = ?", (row,))
