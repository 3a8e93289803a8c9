"""The guide's database class on the simulator's file, while a running exporter archives what it adds."""

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
from support.guide import load
from support.guide_program import example
from support.guide_verdicts import expected_failure, promised
from support.pipeline import Pipeline, until
from support.scribe_tables import execute, guide_database, new_database

from scribe_connectors.scribe.database import ScribeDatabase
from scribe_export.testing.records import scan_document
from scribe_local import servers

TITLE = "Direct Database Access"


@pytest.fixture(scope="module")
def scanner() -> Iterator[servers.Simulator]:
    with servers.simulator(seed=7, scans=4, audio_samples=16, real_clock=True) as server:
        yield server


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory, scanner: servers.Simulator) -> Iterator[Path]:
    """Where a run files what it finds in the database."""
    source = {"type": "scribe_database", "path": str(scanner.database), "poll_interval": "100ms"}
    files = {"files": {"type": "file", "directory": "archive", "key": "scans/{scan_id}.json"}}
    with Pipeline(tmp_path_factory.mktemp("database") / "it", files, sources={"bench": source}) as pipeline:
        run = pipeline.start()
        run.ready()
        yield pipeline.folder / "archive" / "scans"
        run.terminate()
        assert run.ended() == 0


def filed(archive: Path, scan_id: int) -> dict[str, Any]:
    path = archive / f"{scan_id}.json"
    until(path.exists, what=f"archiving scan {scan_id}")
    found: dict[str, Any] = json.loads(path.read_bytes())
    return found


def test_every_method_works_and_what_it_adds_is_archived(scanner: servers.Simulator, archive: Path) -> None:
    guide = load(TITLE).ScribeDatabaseIntegration(str(scanner.database))
    added = guide.add_external_scan_data(scan_document(1))
    one = guide.get_scan_by_id(added)
    assert filed(archive, added) == one
    assert httpx.get(f"{scanner.url}/scans/{added}").json() == one
    page = guide.get_scan_results(limit=2, offset=1)
    assert [filed(archive, scan["scan_id"]) for scan in page] == page
    assert guide.get_scan_by_id(10_000) is None
    insights = guide.get_learning_insights()
    assert 0 < insights.pop("recent_confidence") <= 1
    assert insights == {"total_scans": len(guide.get_scan_results()), "total_feedback": 0, "total_adaptations": 0}
    with guide.get_connection() as connection:
        assert [row["id"] for row in connection.execute("SELECT max(id) AS id FROM scan_results")] == [added]


def test_its_main_adds_a_scan_that_is_archived(scanner: servers.Simulator, archive: Path) -> None:
    ended = example(TITLE, folder=scanner.folder)
    assert ended.returncode == 0, ended.stderr
    found, insights, added = ended.stdout.splitlines()
    assert found.startswith("Found ")
    assert insights.startswith("Learning insights: {'total_scans': ")
    scan = filed(archive, int(added.removeprefix("Added external scan with ID: ")))
    assert scan["response"] == {"audio_data": [0.1, 0.2, 0.3]}


def test_its_insights_count_a_scan_that_is_older_than_a_day_and_ours_do_not(tmp_path: Path) -> None:
    """It compares texts, and a T comes behind the blank in SQLite's own timestamps."""
    path = new_database(tmp_path / "scribe_learning.db")
    guide_database(path).add_external_scan_data(scan_document(1))
    midnight = f"{datetime.now(UTC) - timedelta(days=1):%Y-%m-%d}T00:00:00+00:00"
    execute(path, f"UPDATE scan_results SET timestamp = '{midnight}'")
    assert ScribeDatabase(path).learning_insights()["recent_confidence"] == 0
    with expected_failure("ScribeDatabaseIntegration.get_learning_insights: a scan is older than a day"):
        recent = guide_database(path).get_learning_insights()["recent_confidence"]
        promised(not recent, instead="it was counted among those of the last 24 hours")
