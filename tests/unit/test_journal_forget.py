"""What forgetting a scan does to the ledger's rows."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from support.journals import body_of, destinations, journalled, new_scan, opened, sealed

from scribe_export.errors import ScribeExportError
from scribe_export.journal import database
from scribe_export.journal.audit import Wanted, audit_lines
from scribe_export.journal.batches import batches, members_of
from scribe_export.journal.collect import Collector
from scribe_export.journal.database import Database
from scribe_export.journal.dead import dead_letters
from scribe_export.journal.destinations import forget as remove
from scribe_export.journal.forget import BeingSent, Forgotten, forget_scan
from scribe_export.journal.glance import Glancer
from scribe_export.journal.receipts import receipts
from scribe_export.journal.requests import NewRequest, accept_from, fail, finish, owed, replied, start
from scribe_export.journal.settle import delivered, die, refuse
from scribe_export.model import ScanRequest
from scribe_export.requests.message import reply_of


@pytest.fixture
def db(tmp_path: Path) -> Iterator[Database]:
    with opened(tmp_path) as found:
        destinations(found, "archive", "lake")
        yield found


def forgotten(db: Database, scan_id: str, **more: Any) -> Forgotten:
    with db.transaction():
        return forget_scan(db, scan_id, **more)


def test_a_dead_batch_dies_anew_without_it_and_the_others_keep_their_reason(db: Database) -> None:
    journalled(db, *(new_scan(number) for number in (1, 2, 3)))
    (batch,) = sealed(db, 0, by_record=False)
    with db.transaction():
        die(db, batch, "poison", "it fails")
    told = forgotten(db, "2")
    assert (told.dead_letters, told.taken_out, told.gone, told.bodies) == (1, [], [], 1)
    assert [(letter.scan_id, letter.kind, letter.error) for letter in dead_letters(db)] == [
        ("1", "poison", "it fails"),
        ("3", "poison", "it fails"),
    ]
    collector = Collector()
    while collector.collect(db):
        pass
    assert db.connection.execute("SELECT seq FROM body").fetchall() == [(1,), (3,)]


def test_every_version_and_every_exception_goes(db: Database) -> None:
    journalled(db, new_scan(1), new_scan(1, body_of(1, again=True)), dead_letter=1)
    journalled(db, new_scan(2))
    (batch,) = sealed(db, 0)
    with db.transaction():
        refuse(db, batch, {1: ("rejected", "quotes its content")})
    told = forgotten(db, "1")
    assert (told.versions, told.bodies, told.dead_letters, told.went) == (2, 2, 2, [])
    assert list(dead_letters(db)) == []
    assert [member.scan_id for batch in batches(db) for member in members_of(db, batch)] == ["2"]
    last = list(receipts(db))[-1]
    assert (last.outcome, last.destination, last.name, last.members) == ("forgotten", "", "1", (1, 2))
    assert last.answer == "by an operator: 2 bodies, 2 dead letters, 0 destinations that will not get it, 0 requests"


def test_nothing_is_changed_where_it_cannot_be_forgotten(db: Database) -> None:
    journalled(db, *(new_scan(number, mask=3) for number in (1, 2)))
    (whole,) = sealed(db, 1, by_record=False)
    before = list(db.connection.iterdump())
    with pytest.raises(BeingSent, match="lake"):
        forgotten(db, "1", in_flight=[whole.id])
    db.connection.execute("UPDATE batch SET unknown=1")
    with pytest.raises(ScribeExportError, match=r"nothing was: .* lake .open. as "):
        forgotten(db, "1")
    with pytest.raises(ScribeExportError, match="scan 9 is not known here"):
        forgotten(db, "9")
    db.connection.execute("UPDATE batch SET unknown=0")
    assert list(db.connection.iterdump()) == before
    assert db.connection.execute("PRAGMA secure_delete").fetchone() == (0,)


def test_where_a_range_was_delivered_only_what_was_routed_there_is_listed(db: Database) -> None:
    journalled(db, new_scan(1, mask=2), new_scan(2, mask=1), new_scan(3, mask=2))
    for bit in (0, 1):
        (batch,) = sealed(db, bit)
        with db.transaction():
            delivered(db, batch, "there")
    assert [(one.destination, one.state, one.answer) for one in forgotten(db, "2").went] == [
        ("archive", "delivered", "there")
    ]


def asked(db: Database, request_id: str) -> None:
    new = NewRequest(f"asks/{request_id}", ScanRequest("square"), b"as it came")
    accept_from(db, [new], source="asks", replies=True)
    start(db, new.request_id)


def test_a_reply_that_is_owed_says_that_its_scan_was_forgotten(db: Database) -> None:
    asked(db, "r1")
    journalled(db, new_scan(1))
    finish(db, "asks/r1", seq=1, answer=new_scan(1).body)
    told = forgotten(db, "1")
    assert (told.requests, told.went) == (1, [])
    (row,) = owed(db, "asks", 10)
    assert (row.message, row.answer, row.request) == (b"", b"", ScanRequest())
    reply = bytes(reply_of(row, 0.0)).decode()
    assert '"result":null' in reply
    assert "its scan was forgotten by an operator" in reply


def test_a_reply_that_was_sent_is_listed_and_the_request_is_not_performed_again(db: Database) -> None:
    asked(db, "r1")
    journalled(db, new_scan(1))
    finish(db, "asks/r1", seq=1, answer=new_scan(1).body)
    replied(db, owed(db, "asks", 10))
    assert [(one.destination, one.state, one.name) for one in forgotten(db, "1").went] == [
        ("asks", "replied", "asks/r1")
    ]
    assert db.connection.execute("SELECT state, owed, message FROM request").fetchall() == [("done", 2, b"")]


def test_a_dead_request_is_forgotten_by_the_name_of_its_letter(db: Database) -> None:
    asked(db, "r1")
    fail(db, "asks/r1", "why")
    told = forgotten(db, "request:asks/r1")
    assert (told.bodies, told.dead_letters, told.requests) == (1, 1, 1)
    db.connection.execute("UPDATE request SET state='accepted'")
    with pytest.raises(ScribeExportError, match="still to be performed"):
        forgotten(db, "request:asks/r1")


def test_a_file_that_cannot_be_made_anew_is_said_and_the_scan_is_forgotten_all_the_same(
    db: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    journalled(db, *(new_scan(number, body_of(number, padding="x" * 20_000)) for number in range(1, 20)))
    pages = db.connection.execute("PRAGMA page_count").fetchone()[0]
    reader = db.connection.execute("SELECT seq FROM scan")
    assert reader.fetchone() == (1,)
    told = forgotten(db, "2")
    assert (told.bodies, "SQL statements in progress" in told.unscrubbed) == (1, True)
    reader.close()
    assert forgotten(db, "2").unscrubbed == ""
    assert db.connection.execute("PRAGMA page_count").fetchone()[0] < pages


def test_a_large_journal_is_made_anew_on_the_disk_and_not_in_memory(
    db: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    said: list[tuple[str, bool]] = []
    monkeypatch.setattr(database, "LARGE_HOLE", 0)
    journalled(db, new_scan(1))
    db.connection.set_trace_callback(lambda statement: said.append((statement, db.rebuilding)))
    assert forgotten(db, "1").unscrubbed == ""
    db.connection.set_trace_callback(None)
    about = [one for one in said if "temp_store" in one[0] or one[0] == "VACUUM"]
    assert about == [("PRAGMA temp_store=FILE", True), ("VACUUM", True), ("PRAGMA temp_store=MEMORY", True)]
    assert not db.rebuilding


def test_what_went_to_a_destination_that_left_and_came_back_is_still_told(db: Database) -> None:
    journalled(db, new_scan(1), new_scan(2))
    for number in (1, 2):
        (batch,) = sealed(db, 0, number - 1, limit=1)
        with db.transaction():
            delivered(db, batch, "")
    for _ in range(2):
        destinations(db, "lake")
        with db.transaction():
            remove(db, "archive")
        destinations(db, "lake", "archive")
    lines = [line for line in audit_lines(db, Wanted(), 0.0) if line["line"] == "scan"]
    assert [(line["destination"], line["scan_id"]) for line in lines] == [("archive", "1"), ("archive", "2")]
    assert [(one.destination, one.state) for one in forgotten(db, "2").went] == [("archive", "delivered")]


def test_a_file_that_cannot_be_removed_is_told_and_stops_nothing(db: Database, tmp_path: Path) -> None:
    (one, *_) = journalled(db, new_scan(1), new_scan(2))
    name = db.blobs.write(b"{}", "ab" * 32)
    db.connection.execute("UPDATE body SET bytes=NULL, blob=? WHERE seq=?", (name, one.seq))
    path = tmp_path / "blobs" / name
    path.unlink()
    path.mkdir()
    assert forgotten(db, "1").unscrubbed == "the file of a large body could not be removed"
    path.rmdir()
    assert forgotten(db, "2").unscrubbed == ""


def test_what_waits_is_counted_without_it(db: Database) -> None:
    glancer = Glancer()
    journalled(db, *(new_scan(number, mask=3) for number in (1, 2, 3)))
    for expected in (3, 2):
        seen = glancer.look(db)
        assert seen is not None
        assert [row.waiting for row in seen.destinations] == [expected, expected]
        if expected == 3:
            forgotten(db, "2")
