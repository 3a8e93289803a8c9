"""The guide's database class on the simulator's file, while a running exporter archives what it adds."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx
import pytest
from support.filed import FILES, filed
from support.guide import load
from support.guide_program import example
from support.guide_verdicts import expected_failure, promised
from support.pipeline import Pipeline
from support.scribe_tables import execute, guide_database, new_database

from scribe_connectors.scribe.database import ScribeDatabase
from scribe_export.testing.records import scan_document
from scribe_local.servers import Simulator

TITLE = "Direct Database Access"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, simulator: Simulator) -> Iterator[Path]:
    """Where a run files what it finds in the database."""
    source = {"type": "scribe_database", "path": str(simulator.database), "poll_interval": "100ms"}
    with Pipeline(tmp_path_factory.mktemp("database") / "it", FILES, sources={"bench": source}) as pipeline:
        run = pipeline.start()
        run.ready()
        yield pipeline.folder
        run.terminate()
        assert run.ended() == 0


def test_every_method_works_and_what_it_adds_is_archived(simulator: Simulator, folder: Path) -> None:
    guide = load(TITLE).ScribeDatabaseIntegration(str(simulator.database))
    added = guide.add_external_scan_data(scan_document(1))
    one = guide.get_scan_by_id(added)
    assert filed(folder, added) == one
    assert httpx.get(f"{simulator.url}/scans/{added}").json() == one
    page = guide.get_scan_results(limit=2, offset=1)
    assert [filed(folder, scan["scan_id"]) for scan in page] == page
    assert guide.get_scan_by_id(10_000) is None
    insights = guide.get_learning_insights()
    assert 0 < insights.pop("recent_confidence") <= 1
    with guide.get_connection() as connection:
        tables = {"scans": "scan_results", "feedback": "user_feedback", "adaptations": "pattern_adaptations"}
        for name, table in tables.items():
            [row] = connection.execute(f"SELECT count(*) AS found FROM {table}")
            assert insights[f"total_{name}"] == row["found"]


def test_its_main_adds_a_scan_that_is_archived(simulator: Simulator, folder: Path) -> None:
    ended = example(TITLE, folder=simulator.folder)
    assert ended.returncode == 0, ended.stderr
    found, insights, added = ended.stdout.splitlines()
    assert found.startswith("Found ")
    assert insights.startswith("Learning insights: {'total_scans': ")
    scan = filed(folder, int(added.removeprefix("Added external scan with ID: ")))
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
