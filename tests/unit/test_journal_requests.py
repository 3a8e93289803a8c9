"""Scan requests, from their acceptance to their end."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from support.journals import opened

from scribe_export.journal import requests
from scribe_export.journal.database import Database
from scribe_export.model import ScanRequest


@pytest.fixture
def db(tmp_path: Path) -> Iterator[Database]:
    with opened(tmp_path) as database:
        yield database


def test_a_request_is_accepted_once_under_its_id(db: Database) -> None:
    asked = ScanRequest("square", 220.0, 1.5, 0.25)
    with db.transaction():
        assert requests.accept(db, "r1", asked)
        assert not requests.accept(db, "r1", ScanRequest())
    found = requests.find_request(db, "r1")
    assert found is not None
    assert (found.request, found.state, found.seq, found.error) == (asked, "accepted", None, "")
    assert requests.find_request(db, "r2") is None


def test_a_restart_finds_what_was_accepted_or_started_oldest_first(tmp_path: Path) -> None:
    with opened(tmp_path) as db, db.transaction():
        for number in "4321":
            requests.accept(db, number, ScanRequest())
        requests.start(db, "4")
        requests.start(db, "3")
        requests.finish(db, "3", seq=7, answer=b"{}")
        requests.fail(db, "2", "x" * 1000)
    with opened(tmp_path) as db:
        assert [(row.request_id, row.state) for row in requests.unfinished(db)] == [("4", "started"), ("1", "accepted")]
        done, failed = requests.find_request(db, "3"), requests.find_request(db, "2")
        assert done is not None
        assert (done.state, done.seq) == ("done", 7)
        assert failed is not None
        assert (failed.state, len(failed.error)) == ("failed", 512)


def test_a_request_undone_with_its_transaction_can_be_accepted_again(db: Database) -> None:
    db.begin()
    requests.accept(db, "r1", ScanRequest())
    db.rollback()
    with db.transaction():
        assert requests.accept(db, "r1", ScanRequest())
