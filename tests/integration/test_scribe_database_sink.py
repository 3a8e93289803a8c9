"""What is particular about writing into SCRIBE's own database: the guide reads it, and SCRIBE takes no harm."""

import json
import sqlite3
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import anyio
import msgspec
import pytest
from pydantic import ValidationError
from support.mounts import make_read_only, tmpfs
from support.scribe_tables import PARTS, execute, guide_database, new_database, query

from scribe_connectors.scribe.database import ScribeDatabase, ScribeDatabaseSink, ScribeDatabaseSinkOptions
from scribe_export.errors import Conflict, Misconfigured, PartialFailure, Rejected, SinkError, Transient
from scribe_export.interface import Context
from scribe_export.model import Record
from scribe_export.testing.records import make_record, make_records, scan_document
from scribe_export.testing.sealing import seal, send_all
from scribe_local.scans import generate
from scribe_local.store import Store

COUNT = "SELECT count(*) FROM scan_results"


@pytest.fixture
def database(tmp_path: Path) -> Path:
    return new_database(tmp_path / "scribe_learning.db")


def sink(database: Path, **more: Any) -> ScribeDatabaseSink:
    options = ScribeDatabaseSinkOptions.model_validate({"path": database.name, "timeout": 0.2, **more})
    return ScribeDatabaseSink(options, Context("database", folder=database.parent))


def send(subject: ScribeDatabaseSink, *batches: Sequence[Record]) -> None:
    async def run() -> None:
        await subject.open()
        try:
            for batch in batches:
                await send_all(subject, batch)
        finally:
            await subject.close()

    anyio.run(run)


def fails(subject: ScribeDatabaseSink, *records: Record) -> SinkError:
    """What one write of them raises; a record's own error if there is one record."""
    with pytest.raises(SinkError) as caught:
        send(subject, records)
    if isinstance(caught.value, PartialFailure) and len(records) == 1:
        return caught.value.errors[0]
    return caught.value


def other(record: Record, *, seq: int = 50, moment: str = "2026-07-01T00:00:00Z") -> Record:
    """The same scan id with other content, journalled later."""
    found = make_record(record.scan_id, seq=seq, body=msgspec.json.encode({**record.document(), "timestamp": moment}))
    found.version = 2
    return found


def test_the_guide_reads_what_was_written(database: Path) -> None:
    record = make_record("bench-7", body=msgspec.json.encode(scan_document("bench-7")))
    send(sink(database), [record])
    [found] = guide_database(database).get_scan_results()
    assert found == {**record.document(), "scan_id": 1}
    assert guide_database(database).get_learning_insights()["total_scans"] == 1
    assert ScribeDatabase(database).scan(1) == found


def test_numbers_keep_their_digits(database: Path) -> None:
    text = scan_document(1)
    response = '{"audio_data":[0.1000000000000000055511151231257827,12345678901234567890123]}'
    body = msgspec.json.encode({**text, "response": msgspec.Raw(response.encode())})
    send(sink(database), [make_record(1, body=body)])
    assert query(database, "SELECT response FROM scan_results") == [(response,)]


def test_scribes_tables_and_journal_mode_stay_as_they_are(database: Path) -> None:
    look = "SELECT sql FROM sqlite_master WHERE name NOT LIKE '%scribe_export%' ORDER BY name"
    before = query(database, look)
    send(sink(database), make_records(3))
    assert query(database, look) == before
    assert query(database, "PRAGMA journal_mode") == [("wal",)]
    with closing(sqlite3.connect(database)) as connection:
        connection.execute("PRAGMA journal_mode = DELETE")
    send(sink(database), make_records(3, first=10))
    assert query(database, "PRAGMA journal_mode") == [("delete",)]


def test_scribes_own_scans_are_not_added_to_it(tmp_path: Path) -> None:
    database = tmp_path / "scribe_learning.db"
    documents = list(generate(8, audio_samples=16))
    store = Store(database)
    rows = {number: json.loads(body) for number, body in enumerate(documents, start=1)}
    store.add_scans(
        lambda number: (rows[number]["timestamp"], {name: json.dumps(rows[number][name]).encode() for name in PARTS}),
        count=8,
    )
    store.close()
    own = [make_record(number, seq=number, body=body) for number, body in enumerate(documents, start=1)]
    foreign = make_record(3, seq=9, body=msgspec.json.encode(scan_document(3)))
    foreign.scan_id = "other:3"
    send(sink(database), own, [*own, foreign])
    assert query(database, COUNT) == [(9,)]
    assert query(database, "SELECT row_id, added FROM scribe_export_delivered WHERE scan_key = '3'") == [(3, 0)]
    # What was added comes back by another source, as SCRIBE's own row 9.
    back = ScribeDatabase(database).scan_bytes(9) or b""
    send(sink(database), [make_record(9, seq=10, body=back)])
    assert query(database, COUNT) == [(9,)]


@pytest.mark.parametrize(
    ("policy", "moments"),
    [
        ("dead_letter", ["2026-05-06T00:00:01Z"]),
        ("keep", ["2026-05-06T00:00:01Z"]),
        ("version", ["2026-05-06T00:00:01Z", "2026-07-01T00:00:00Z"]),
        ("overwrite", ["2026-07-01T00:00:00Z"]),
    ],
)
def test_other_content_of_an_id_is_what_on_conflict_says(database: Path, policy: str, moments: list[str]) -> None:
    first = make_record(1)
    second = other(first)
    send(sink(database, on_conflict=policy), [first])
    for _ in range(2):
        if policy == "dead_letter":
            assert isinstance(fails(sink(database, on_conflict=policy), second), Conflict)
        else:
            send(sink(database, on_conflict=policy), [second])
    send(sink(database, on_conflict=policy), [first])
    found = [moment for (moment,) in query(database, "SELECT timestamp FROM scan_results ORDER BY id")]
    assert found == moments


def test_what_says_the_same_in_other_words_is_no_conflict(database: Path) -> None:
    record = make_record(1)
    again = make_record(1, seq=2, body=json.dumps(record.document(), indent=1).encode())
    send(sink(database), [record], [again])
    assert query(database, COUNT) == [(1,)]


def test_a_row_that_scribe_deleted_is_not_added_again(database: Path) -> None:
    records = make_records(3)
    send(sink(database), records)
    execute(database, "DELETE FROM scan_results WHERE id = 2")
    send(sink(database), records)
    assert query(database, "SELECT id FROM scan_results ORDER BY id") == [(1,), (3,)]


def test_a_scan_without_its_parts_is_refused(database: Path) -> None:
    document = scan_document(1)
    del document["features"], document["config"]
    subject = sink(database)
    [batch] = seal(subject, [make_record(1, body=msgspec.json.encode(document))])
    refused = subject.encode(batch).refused[0]
    assert refused.kind == "incomplete"
    assert "no features and no config" in str(refused)


@pytest.mark.parametrize(
    "fields", [{"exclude": ["response"]}, {"rename": {"config": "settings"}}, {"include": ["response", "features"]}]
)
def test_fields_may_not_take_a_part_away(database: Path, fields: Any) -> None:
    with pytest.raises(ValidationError, match="must stay, because a row of scan_results needs it"):
        sink(database, fields=fields)


def test_fields_shape_what_is_written(database: Path) -> None:
    send(sink(database, fields={"exclude": ["response.audio_data"]}), [make_record(1)])
    assert query(database, "SELECT response FROM scan_results") == [('{"sample_rate":8000.0}',)]


def test_a_timestamp_that_is_a_number_becomes_text(database: Path) -> None:
    document = {**scan_document(1), "timestamp": 1_780_000_000}
    del (later := dict(scan_document(2)))["timestamp"]
    send(
        sink(database),
        [make_record(1, body=msgspec.json.encode(document))],
        [make_record(2, body=json_of(later), seq=2)],
    )
    found = query(database, "SELECT timestamp FROM scan_results ORDER BY id")
    assert found == [("2026-05-28T20:26:40Z",), ("2026-05-06T00:00:00Z",)]


def json_of(document: Any) -> bytes:
    return msgspec.json.encode(document)


def test_a_file_put_in_its_place_is_written_to(database: Path) -> None:
    async def run() -> None:
        subject = sink(database)
        await subject.open()
        await send_all(subject, make_records(2))
        aside = database.parent / "aside"
        aside.mkdir()
        for file in database.parent.glob(f"{database.name}*"):
            file.rename(aside / file.name)
        new_database(database)
        await send_all(subject, make_records(2, first=10))
        await subject.close()

    anyio.run(run)
    assert query(database, COUNT) == [(2,)]


def test_a_disk_that_is_full_passes(tmp_path: Path) -> None:
    with tmpfs(tmp_path / "disk") as disk:
        database = new_database(disk / "scribe_learning.db")
        filler = disk / "filler"
        filler.write_bytes(bytes(800_000))
        records = make_records(200)
        error = fails(sink(database), *records)
        assert isinstance(error, Transient)
        assert error.applied == "no"
        assert query(database, COUNT) == [(0,)]
        filler.unlink()
        # A small file system has no room for the log and the pages of all of them.
        send(sink(database), records[:20])
        assert query(database, COUNT) == [(20,)]


def test_a_disk_that_is_read_only_needs_the_operator(tmp_path: Path) -> None:
    with tmpfs(tmp_path / "disk") as disk:
        database = new_database(disk / "scribe_learning.db")
        make_read_only(disk)
        assert isinstance(fails(sink(database), make_record(1)), Misconfigured)


def test_what_is_wrong_with_the_file_needs_the_operator(database: Path) -> None:
    execute(database, "ALTER TABLE scan_results ADD COLUMN operator TEXT NOT NULL DEFAULT 'x'")
    send(sink(database), [make_record(1)])
    execute(database, "DROP TABLE scan_results")
    missing = fails(sink(database), make_record(2))
    assert isinstance(missing, Misconfigured)
    assert "no such table: scan_results" in str(missing)
    database.write_bytes(b"no database at all, " * 500)
    assert isinstance(fails(sink(database), make_record(2)), Misconfigured)
    for left in database.parent.glob(f"{database.name}*"):
        left.unlink()
    assert "check the path" in str(fails(sink(database), make_record(2)))
    assert not database.exists()


def test_a_column_that_nobody_told_of_holds_everything(tmp_path: Path) -> None:
    database = tmp_path / "later.db"
    columns = ", ".join(f"{name} TEXT" for name in ("timestamp", *PARTS))
    execute(
        database,
        f"CREATE TABLE scan_results (id INTEGER PRIMARY KEY AUTOINCREMENT, {columns}, operator TEXT NOT NULL)",
    )
    assert isinstance(fails(sink(database), make_record(1)), Misconfigured)


def test_what_the_table_checks_is_the_records_own_fault(tmp_path: Path) -> None:
    database = tmp_path / "strict.db"
    columns = ", ".join(f"{name} TEXT" for name in ("timestamp", *PARTS))
    execute(
        database,
        f"CREATE TABLE scan_results (id INTEGER PRIMARY KEY AUTOINCREMENT, {columns}, CHECK (length(signals) < 200))",
    )
    records = [
        make_record(n, seq=n, body=json_of({**scan_document(n), "signals": [0] * length}))
        for n, length in enumerate([10, 1000, 10], start=1)
    ]
    error = fails(sink(database), *records)
    assert isinstance(error, PartialFailure)
    assert error.acked == {0, 2}
    assert isinstance(error.errors[1], Rejected)
    assert error.errors[1].kind == "constraint"
    assert query(database, COUNT) == [(2,)]


def test_a_trigger_that_rolls_everything_back_acks_nothing(database: Path) -> None:
    execute(
        database,
        "CREATE TRIGGER refused BEFORE INSERT ON scan_results WHEN NEW.timestamp LIKE '%:02Z' "
        "BEGIN SELECT RAISE(ROLLBACK, 'not this one'); END",
    )
    error = fails(sink(database), *make_records(3))
    assert isinstance(error, Rejected)
    assert query(database, COUNT) == [(0,)]


def test_a_large_batch_is_one_transaction(database: Path) -> None:
    audio = [0.12345] * 60_000
    records = [
        make_record(n, seq=n, body=json_of({**scan_document(n), "response": {"audio_data": audio}}))
        for n in range(1, 41)
    ]
    send(sink(database), records)
    assert query(database, COUNT) == [(40,)]


def test_a_preview_is_what_is_bound(database: Path) -> None:
    subject = sink(database)
    records = make_records(2)
    [batch] = seal(subject, records)
    requests = anyio.run(subject.preview, subject.encode(batch))
    send(subject, records)
    rows = query(database, f"SELECT timestamp, {', '.join(PARTS)} FROM scan_results ORDER BY id")
    assert [tuple(msgspec.json.decode(request.body)) for request in requests] == rows
    assert [list(request.records) for request in requests] == [[0], [1]]
