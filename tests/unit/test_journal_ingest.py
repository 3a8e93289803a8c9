"""What becomes of a body that a source delivered."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from support.journals import body_of, destinations, journalled, new_scan, opened, sealed

from scribe_export.errors import JournalFull
from scribe_export.journal.bodies import fetch_members, read_body
from scribe_export.journal.collect import Collector
from scribe_export.journal.database import Database
from scribe_export.journal.dead import dead_letters
from scribe_export.journal.ingest import ConflictMasks, NewScan, ingest, last_seq
from scribe_export.journal.settle import dead_letter, delivered
from scribe_export.journal.status import journal_status


@pytest.fixture
def db(tmp_path: Path) -> Iterator[Database]:
    with opened(tmp_path / "state") as database:
        destinations(database, "archive", "lake", "queue")
        yield database


def outcomes(db: Database, *scans: NewScan, dead_letter: int = 0, keep: int = 0) -> list[str]:
    return [result.outcome for result in journalled(db, *scans, dead_letter=dead_letter, keep=keep)]


def pending(db: Database) -> list[int]:
    return [row.pending for row in journal_status(db.connection, 0.0).destinations]


def test_the_same_body_twice_is_a_duplicate_within_one_delivery_and_across_two(db: Database) -> None:
    assert outcomes(db, new_scan(1), new_scan(2), new_scan(1)) == ["new", "new", "duplicate"]
    assert outcomes(db, new_scan(2)) == ["duplicate"]
    assert pending(db) == [2, 0, 0]
    assert journal_status(db.connection, 0.0).duplicates == 2


def test_a_body_that_is_no_scan_keeps_its_bytes_though_a_scan_has_taken_its_name(db: Database) -> None:
    broken = new_scan("", b"no scan", mask=0, invalid=("invalid", "not JSON"))
    broken.scan_id = f"sha256:{broken.sha256}"
    journalled(db, new_scan(broken.scan_id))
    (result,) = journalled(db, broken)
    assert [letter.kind for letter in dead_letters(db)] == ["invalid"]
    assert read_body(db, result.seq) == b"no scan"


@pytest.mark.parametrize(
    "other", [body_of(1, a=1, b=[2], indent=4), b'{"b": [2.0], "a": 1e0, "scan_id": 1}'], ids=["spaced", "reordered"]
)
def test_equal_json_is_a_duplicate_however_it_is_written(db: Database, other: bytes) -> None:
    assert outcomes(db, new_scan(1, body_of(1, a=1, b=[2])), new_scan(1, other)) == ["new", "duplicate"]


def test_a_number_is_not_the_same_as_true(db: Database) -> None:
    assert outcomes(db, new_scan(1, body_of(1, a=1)), new_scan(1, body_of(1, a=True))) == ["new", "conflict"]


def test_numbers_that_a_float_cannot_tell_apart_are_not_the_same(db: Database) -> None:
    near = b'{"scan_id": 1, "a": 0.10000000000000000555}'
    assert outcomes(db, new_scan(1, b'{"scan_id": 1, "a": 0.1}'), new_scan(1, near)) == ["new", "conflict"]


def test_each_destination_decides_what_becomes_of_other_content(db: Database) -> None:
    journalled(db, new_scan(1, body_of(1, a=1), mask=0b111))
    (result,) = journalled(db, new_scan(1, body_of(1, a=2), mask=0b111), dead_letter=0b001, keep=0b010)
    assert (result.outcome, result.version, result.mask) == ("conflict", 2, 0b100)
    assert pending(db) == [1, 1, 2]
    (letter,) = dead_letters(db)
    assert (letter.destination, letter.kind, letter.seq) == ("archive", "conflict", result.seq)
    assert "came before, as number 1" in letter.error
    assert read_body(db, 1) == body_of(1, a=1)


def test_a_body_that_is_no_scan_is_kept_as_a_dead_letter_of_no_destination(db: Database) -> None:
    scan = NewScan("sha256:x", "00" * 32, b"no scan", "test", invalid=("invalid", "not JSON"))
    assert outcomes(db, scan) == ["invalid"]
    (letter,) = dead_letters(db)
    assert (letter.destination, letter.kind, letter.error) == ("", "invalid", "not JSON")
    assert read_body(db, letter.seq) == b"no scan"


def test_a_rule_that_raised_is_a_dead_letter_there_and_the_scan_goes_to_the_others(db: Database) -> None:
    journalled(db, new_scan(1, mask=0b010, failed={0: "no such key"}))
    assert pending(db) == [0, 1, 0]
    assert [(letter.destination, letter.kind, letter.error) for letter in dead_letters(db)] == [
        ("archive", "rule", "no such key")
    ]


def test_an_unrouted_scan_is_counted_and_known_again_without_its_body(db: Database) -> None:
    assert outcomes(db, new_scan(1, mask=0), new_scan(1, mask=0)) == ["new", "duplicate"]
    assert journal_status(db.connection, 0.0).unrouted == 1
    assert read_body(db, 1) is None


def test_a_delivered_scan_is_known_again_after_its_body_is_gone(db: Database) -> None:
    journalled(db, new_scan(1))
    (batch,) = sealed(db, 0)
    with db.transaction():
        delivered(db, batch, "put")
    with db.transaction():
        Collector().collect(db)
    assert read_body(db, 1) is None
    assert outcomes(db, new_scan(1)) == ["duplicate"]


def test_a_checkpoint_is_committed_with_its_scans_or_not_at_all(db: Database) -> None:
    def cursors() -> list[tuple[str, str]]:
        return db.connection.execute("SELECT key, value FROM cursor ORDER BY key").fetchall()

    with db.transaction():
        ingest(db, [new_scan(1)], conflicts=ConflictMasks(), source="s", checkpoint={"a": "1", "b": "2"})
    db.begin()
    ingest(db, [new_scan(2)], conflicts=ConflictMasks(), source="s", checkpoint={"a": "9", "b": None})
    db.rollback()
    assert cursors() == [("a", "1"), ("b", "2")]
    with db.transaction():
        ingest(db, [], conflicts=ConflictMasks(), source="s", checkpoint={"b": None})
    assert cursors() == [("a", "1")]


def test_a_full_journal_takes_no_scan_and_still_settles(tmp_path: Path) -> None:
    with opened(tmp_path / "small", quota=2**20) as db:
        destinations(db, "archive")
        while db.used() < db.quota:
            journalled(db, new_scan(last_seq(db), body_of(last_seq(db), text="x" * 20_000)))
        assert 30 <= last_seq(db) <= 60
        with pytest.raises(JournalFull, match="quota of 1048576 bytes"):
            journalled(db, new_scan("one too many"))
        for batch in sealed(db, 0):
            with db.transaction():
                delivered(db, batch, "put")
        collector = Collector()
        with db.transaction():
            while collector.collect(db):
                pass
        assert outcomes(db, new_scan(10_000)) == ["new"]


def test_beyond_the_quota_there_is_room_to_say_why_every_scan_was_refused(tmp_path: Path) -> None:
    with opened(tmp_path / "small", quota=2**20) as db:
        destinations(db, "archive")
        while db.used() < db.quota:
            journalled(db, *(new_scan(f"{last_seq(db)}-{number}") for number in range(100)))
        refused = dict.fromkeys(range(1, last_seq(db) + 1), ("rejected", "x" * 500))
        with db.transaction():
            dead_letter(db, 0, refused)
        assert len(list(dead_letters(db))) == last_seq(db) > 1000


@pytest.mark.parametrize("where", ["row", "blob"])
def test_a_flipped_byte_makes_a_body_corrupt_and_its_neighbours_stay_sound(db: Database, where: str) -> None:
    large = new_scan(2, blob=db.blobs.write(body_of(2), new_scan(2).sha256))
    journalled(db, new_scan(1), large if where == "blob" else new_scan(2), new_scan(3))
    flipped = body_of(2).replace(b"2", b"7")
    if where == "blob":
        (db.path.parent / "blobs" / str(large.blob)).write_bytes(flipped)
    else:
        db.connection.execute("UPDATE body SET bytes=? WHERE seq=2", (flipped,))
    fetched = fetch_members(db, [1, 2, 3])
    assert [record.seq for record in fetched.records] == [1, 3]
    assert fetched.corrupt == {2: "the body in the journal does not match its sha256"}


@pytest.mark.parametrize(
    ("content", "sound"), [(body_of(2), [1, 2, 3]), (b"\xff\xfe", [1, 3])], ids=["itself", "no text"]
)
def test_a_body_that_a_flipped_bit_made_text_is_judged_by_its_bytes(
    db: Database, content: bytes, sound: list[int]
) -> None:
    journalled(db, new_scan(1), new_scan(2), new_scan(3))
    db.connection.execute("UPDATE body SET bytes=CAST(? AS TEXT) WHERE seq=2", (content,))
    fetched = fetch_members(db, [1, 2, 3])
    assert [record.seq for record in fetched.records] == sound
    assert read_body(db, 2) == content


def test_a_body_whose_file_is_gone_is_corrupt(db: Database) -> None:
    name = db.blobs.write(body_of(1), new_scan(1).sha256)
    journalled(db, new_scan(1, blob=name))
    db.blobs.remove([name])
    assert "cannot be read" in fetch_members(db, [1]).corrupt[1]


def test_the_file_of_a_body_that_is_not_kept_is_removed(db: Database) -> None:
    def files() -> int:
        return len(list((db.path.parent / "blobs").glob("*/*")))

    journalled(db, new_scan(1, blob=db.blobs.write(body_of(1), new_scan(1).sha256)))
    assert files() == 1
    journalled(db, new_scan(1, blob=db.blobs.write(body_of(1), new_scan(1).sha256)))
    journalled(db, new_scan(2, mask=0, blob=db.blobs.write(body_of(2), new_scan(2).sha256)))
    other = new_scan(1, body_of(1, a=1), blob=db.blobs.write(body_of(1, a=1), "ab" * 32))
    journalled(db, other, keep=1)
    assert files() == 1
    assert read_body(db, 1) == body_of(1)
