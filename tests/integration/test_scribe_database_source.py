"""What is particular about reading SCRIBE's own database: its digits, its accidents, and its past coming back."""

import json
import shutil
import sqlite3
from contextlib import aclosing, closing
from pathlib import Path
from typing import Any, cast

import anyio
import httpx
import pytest
from support.pipeline import Pipeline
from support.scribe_tables import PARTS, add_by_guide, execute, guide_database, locked, new_database, query
from support.source_run import Notebook, run_source

from scribe_connectors.scribe.database import ScribeDatabase, ScribeDatabaseSource, ScribeDatabaseSourceOptions
from scribe_export.errors import InvalidScan, Misconfigured, SinkError, Transient
from scribe_export.interface import Context
from scribe_export.scan import read_fields
from scribe_local.servers import simulator


@pytest.fixture
def database(tmp_path: Path) -> Path:
    return new_database(tmp_path / "scribe_learning.db")


def source(database: Path, **more: Any) -> ScribeDatabaseSource:
    options = ScribeDatabaseSourceOptions.model_validate({"path": database.name, "timeout": 0.2, **more})
    return ScribeDatabaseSource(options, Context("database", folder=database.parent, once=True))


def take(database: Path, notebook: Notebook, **more: Any) -> list[str]:
    """What one look takes: the ids, oldest first."""
    before = len(notebook.ids)

    async def run() -> None:
        subject = source(database, **more)
        await subject.open()
        await run_source(subject, notebook)
        await subject.close()

    anyio.run(run)
    return notebook.ids[before:]


def bodies(database: Path) -> list[bytes]:
    """All that one look yields, scans or not."""
    found: list[bytes] = []

    async def run() -> None:
        async with aclosing(cast("Any", source(database).deliveries(Notebook()))) as deliveries:
            async for delivery in deliveries:
                found.extend(incoming.body for incoming in delivery.incoming)
                await delivery.ack()

    anyio.run(run)
    return found


def put_row(database: Path, **columns: str) -> int:
    """A row of these texts, as nobody's `json.dumps` would write it."""
    given = {"timestamp": "2026-05-06T12:00:00Z"} | dict.fromkeys(PARTS, "{}") | columns
    with closing(sqlite3.connect(database)) as connection, connection:
        # The simulator's table checks its JSON; the guide says nothing of a check.
        connection.execute("PRAGMA ignore_check_constraints = ON")
        names = ", ".join(given)
        marks = ", ".join("?" * len(given))
        added = connection.execute(f"INSERT INTO scan_results ({names}) VALUES ({marks})", tuple(given.values()))
        return int(added.lastrowid or 0)


def backup(database: Path) -> Path:
    kept = database.with_suffix(".backup")
    with closing(sqlite3.connect(database)) as one, closing(sqlite3.connect(kept)) as other:
        one.backup(other)
    return kept


def restore(kept: Path, database: Path) -> None:
    for left in database.parent.glob(f"{database.name}-*"):
        left.unlink()
    shutil.copy(kept, database)


def test_a_scan_reads_as_the_api_serves_it(tmp_path: Path) -> None:
    with simulator(seed=3, scans=12, audio_samples=64, folder=tmp_path) as server:
        add_by_guide(server.database, 1, 2)
        notebook = Notebook()
        assert take(server.database, notebook) == [str(number) for number in range(1, 15)]
        for scan_id, body in notebook.bodies.items():
            assert body == httpx.get(f"{server.url}/scans/{scan_id}").content


def test_the_api_and_the_database_of_one_scanner_bring_each_scan_once(tmp_path: Path) -> None:
    with simulator(seed=3, scans=12, audio_samples=64, folder=tmp_path / "scanner") as server:
        add_by_guide(server.database, 1, 2)
        sources = {
            "api": {"type": "scribe_api", "url": server.url},
            "database": {"type": "scribe_database", "path": str(server.database)},
        }
        archive = {"type": "file", "directory": "archive", "key": "scans/{batch_id}.{ext}"}
        with Pipeline(tmp_path / "it", {"archive": archive}, sources=sources) as pipeline:
            finished = pipeline.until_idle()
            assert finished.returncode == 0, finished.stderr[-2000:]
            assert pipeline.status()["archive"].delivered == 14


def test_nothing_behind_a_delivery_that_was_not_taken_is_taken(database: Path) -> None:
    add_by_guide(database, *range(1, 11))
    notebook = Notebook()
    declined = iter([True, False])

    async def run() -> None:
        await run_source(source(database, max_records=2), notebook, take=lambda _: next(declined, True))

    with pytest.raises(Transient):
        anyio.run(run)
    assert notebook.ids == ["1", "2"]
    assert take(database, notebook) == [str(number) for number in range(3, 11)]


def test_no_digit_is_lost(database: Path) -> None:
    response = '{"audio_data": [0.1000000000000000055511151231257827, 1e400, 12345678901234567890123], "n": -0.0}'
    row = put_row(database, response=response)
    notebook = Notebook()
    assert take(database, notebook) == [str(row)]
    assert response.encode() in notebook.bodies[str(row)]
    assert ScribeDatabase(database).scan_bytes(row) == notebook.bodies[str(row)]


@pytest.mark.parametrize("broken", ['{"rms": NaN}', "", "{", '{}, "scan_id": 7', "0.5}"])
def test_a_broken_row_is_no_scan_and_stops_no_other(database: Path, broken: str) -> None:
    put_row(database)
    put_row(database, features=broken)
    put_row(database)
    first, second, third = bodies(database)
    assert read_fields(first).scan_id == "1"
    assert read_fields(third).scan_id == "3"
    with pytest.raises(InvalidScan):
        read_fields(second)
    assert second.startswith(b"<no JSON in features> {")
    assert broken.encode() in second


def test_text_that_is_no_unicode_is_no_scan(database: Path) -> None:
    put_row(database)
    with closing(sqlite3.connect(database)) as connection, connection:
        connection.execute("UPDATE scan_results SET timestamp = CAST(x'ff' AS TEXT)")
    [body] = bodies(database)
    assert body.startswith(b"<no JSON in timestamp>")


def test_an_older_database_put_back_loses_no_new_scan(database: Path) -> None:
    notebook = Notebook()
    add_by_guide(database, *range(1, 61))
    kept = backup(database)
    add_by_guide(database, *range(61, 81))
    assert len(take(database, notebook, max_records=3)) == 80
    restore(kept, database)
    new = add_by_guide(database, *range(1001, 1026))
    assert new == list(range(61, 86)), "the ids begin again where the backup ends"
    again = take(database, notebook)
    assert [int(one) for one in again if int(one) > 60] == new
    assert len(again) - len(new) <= 40, "little more is read again than was lost"
    assert take(database, notebook) == []


def test_a_database_put_back_and_not_grown_over_is_noticed(database: Path) -> None:
    notebook = Notebook()
    add_by_guide(database, 1, 2, 3)
    kept = backup(database)
    add_by_guide(database, 4, 5)
    take(database, notebook, max_records=1)
    restore(kept, database)
    assert take(database, notebook) == []
    assert add_by_guide(database, 6) == [4]
    assert take(database, notebook)[-1] == "4"


def test_another_database_in_its_place_is_read_whole(database: Path) -> None:
    notebook = Notebook()
    add_by_guide(database, *range(1, 11))
    take(database, notebook)
    for left in database.parent.glob(f"{database.name}*"):
        left.unlink()
    new_database(database)
    add_by_guide(database, 101, 102)
    assert take(database, notebook) == ["1", "2"]


def test_ids_that_are_given_again_are_told_apart(tmp_path: Path) -> None:
    """Without AUTOINCREMENT SQLite gives the last id again once its row is deleted."""
    database = tmp_path / "plain.db"
    columns = ", ".join(f"{name} TEXT" for name in ("timestamp", *PARTS))
    execute(database, f"CREATE TABLE scan_results (id INTEGER PRIMARY KEY, {columns})")
    notebook = Notebook()
    add_by_guide(database, *range(1, 6))
    take(database, notebook)
    execute(database, "DELETE FROM scan_results WHERE id = 5")
    assert add_by_guide(database, 100, 101) == [5, 6]
    assert take(database, notebook)[-2:] == ["5", "6"]


def test_deleted_rows_take_no_later_ones_with_them(database: Path) -> None:
    notebook = Notebook()
    add_by_guide(database, *range(1, 11))
    take(database, notebook)
    execute(database, "DELETE FROM scan_results")
    add_by_guide(database, 11)
    assert take(database, notebook) == ["11"]


def test_latest_takes_what_comes_later_also_after_an_older_one_was_put_back(database: Path) -> None:
    notebook = Notebook()
    add_by_guide(database, *range(1, 41))
    kept = backup(database)
    add_by_guide(database, *range(41, 61))
    assert take(database, notebook, start="latest") == []
    add_by_guide(database, 61)
    assert take(database, notebook, start="latest") == ["61"]
    restore(kept, database)
    add_by_guide(database, 1001)
    again = take(database, notebook, start="latest")
    assert again[-1] == "41"
    assert len(again) < 30, "not all that was passed over at the start"


def test_scribe_is_held_up_by_nothing_while_deliveries_are_out(database: Path) -> None:
    add_by_guide(database, *range(1, 11))

    async def run() -> None:
        subject = source(database, max_records=2)
        async with aclosing(cast("Any", subject.deliveries(Notebook()))) as deliveries:
            delivery = await anext(deliveries)
            with closing(sqlite3.connect(database, timeout=0)) as scribe:
                scribe.execute("INSERT INTO user_feedback VALUES (1, '', 1, '', '{}')")
                scribe.commit()
                # It needs every reader to be gone: https://www.sqlite.org/pragma.html#pragma_wal_checkpoint
                assert scribe.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()[0] == 0
            await delivery.ack()

    anyio.run(run)


def test_reading_changes_no_byte(database: Path) -> None:
    add_by_guide(database, 1, 2, 3)
    with closing(sqlite3.connect(database)) as connection:
        connection.execute("PRAGMA journal_mode = DELETE")
    before = database.read_bytes()
    take(database, Notebook())
    ScribeDatabase(database).learning_insights()
    assert database.read_bytes() == before


def _says(database: Path) -> SinkError:
    with pytest.raises(SinkError) as caught:
        anyio.run(source(database).open)
    return caught.value


def test_what_is_wrong_is_told_apart(database: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with closing(sqlite3.connect(database)) as connection:
        connection.execute("PRAGMA journal_mode = DELETE")
    with locked(database):
        assert isinstance(_says(database), Transient)
    execute(database, "ALTER TABLE scan_results RENAME TO other")
    assert isinstance(_says(database), Misconfigured)
    database.write_bytes(b"no database at all, " * 500)
    assert isinstance(_says(database), Misconfigured)
    database.unlink()
    assert "check the path" in str(_says(database))
    assert not database.exists(), "looking must not make the file"
    monkeypatch.setattr("scribe_export.filesystem.filesystem_of", lambda _: "nfs4")
    refused = _says(database)
    assert isinstance(refused, Misconfigured)
    assert "lies on nfs4" in str(refused)


def test_python_programs_read_what_the_guide_reads(tmp_path: Path) -> None:
    with simulator(seed=4, scans=7, audio_samples=32, folder=tmp_path, real_clock=True) as server:
        feedback = {"scan_id": 3, "feedback_type": "material_correction", "feedback_data": {"correct_material": "oak"}}
        assert httpx.post(f"{server.url}/feedback", json=feedback).is_success
        add_by_guide(server.database, 1)
        guide, ours = guide_database(server.database), ScribeDatabase(server.database)
        assert ours.scan_results(limit=3, offset=2) == guide.get_scan_results(limit=3, offset=2)
        assert ours.scan(5) == guide.get_scan_by_id(5) != None  # noqa: E711 - a chain, both of them
        assert ours.scan(500) is guide.get_scan_by_id(500) is ours.scan_bytes(500) is None
        insights = guide.get_learning_insights()
        assert ours.learning_insights() == pytest.approx(insights)
        assert insights["total_feedback"] == 1
        [told] = ours.feedback()
        assert told["scan_id"] == 3
        assert told["feedback_data"]["correct_material"] == "oak"
        assert len(ours.adaptations()) == insights["total_adaptations"]
        assert json.loads(ours.scan_bytes(2) or b"") == guide.get_scan_by_id(2)


def test_insights_pass_over_a_row_that_is_no_json(database: Path) -> None:
    put_row(database, interpretation="{")
    assert ScribeDatabase(database).learning_insights()["total_scans"] == 1
    assert query(database, "SELECT count(*) FROM scan_results") == [(1,)]
