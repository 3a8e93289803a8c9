"""Members that `encode` refused, in a batch of which a crash hides whether it was ever sent."""

from pathlib import Path

import pytest
from support.journals import destinations, journalled, new_scan, opened, sealed

from scribe_export.journal import settle
from scribe_export.journal.batches import SealedBatch, batches, members_of
from scribe_export.journal.database import Database
from scribe_export.journal.dead import dead_letters

WHY = {2: ("number", "40 digits")}


def hidden_by_a_crash(folder: Path) -> None:
    """Three scans in a batch that is known only whole, which a restart finds open."""
    with opened(folder) as db:
        (archive,) = destinations(db, "archive")
        journalled(db, *(new_scan(number) for number in (1, 2, 3)))
        (batch,) = sealed(db, archive.id, by_record=False)
        with db.transaction():
            db.connection.execute("UPDATE batch SET unknown=1 WHERE id=?", (batch.id,))


def refused(db: Database, why: dict[int, tuple[str, str]]) -> list[SealedBatch]:
    (batch,) = batches(db)
    assert not batch.divisible
    with db.transaction():
        return settle.refuse(db, batch, why)


def test_a_batch_that_no_attempt_is_known_of_gives_up_only_what_was_refused(tmp_path: Path) -> None:
    hidden_by_a_crash(tmp_path)
    with opened(tmp_path) as db:
        (rest,) = refused(db, WHY)
        assert [member.seq for member in members_of(db, rest)] == [1, 3]
        assert [(letter.seq, letter.kind, letter.error) for letter in dead_letters(db)] == [(2, "number", "40 digits")]


@pytest.mark.parametrize("attempts", [1, 3])
def test_a_batch_that_was_tried_dies_whole(tmp_path: Path, attempts: int) -> None:
    hidden_by_a_crash(tmp_path)
    with opened(tmp_path) as db:
        with db.transaction():
            db.connection.execute("UPDATE batch SET attempts=?", (attempts,))
        assert refused(db, WHY) == []
        assert sorted(letter.seq for letter in dead_letters(db)) == [1, 2, 3]


def test_a_body_that_was_damaged_since_may_have_been_sent_before(tmp_path: Path) -> None:
    hidden_by_a_crash(tmp_path)
    with opened(tmp_path) as db:
        assert refused(db, {2: ("corrupt", "its sha256 does not match")}) == []
        assert sorted(letter.seq for letter in dead_letters(db)) == [1, 2, 3]


def test_a_batch_that_a_restart_finds_open_may_have_been_applied(tmp_path: Path) -> None:
    with opened(tmp_path) as db:
        (archive,) = destinations(db, "archive")
        journalled(db, new_scan(1), new_scan(2))
        (before,) = sealed(db, archive.id, by_record=False)
    with opened(tmp_path) as db:
        destinations(db, "archive")
        (found,) = batches(db)
    assert (before.unknown, before.divisible) == (False, True)
    assert (found.unknown, found.divisible, found.batch_id) == (True, False, before.batch_id)
