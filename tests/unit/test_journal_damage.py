"""A journal with damaged pages opens, and of what can still be read nothing is silently gone."""

import random
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest
from support.journals import body_of, destinations, journalled, new_scan, opened, sealed

from scribe_export.journal import recover as recovering
from scribe_export.journal.batches import batches, members_of
from scribe_export.journal.collect import prune
from scribe_export.journal.database import FILE_NAME, PAGE_SIZE, Database
from scribe_export.journal.dead import dead_letters
from scribe_export.journal.opening import DAMAGE_MARK, mark_damaged, open_journal
from scribe_export.journal.receipts import receipts
from scribe_export.journal.settle import dead_letter, delivered, die, partly
from scribe_export.journal.status import journal_status

SCANS = 500
NAMES = ("archive", "lake")


def body(number: int) -> bytes:
    return body_of(f"scan-{number}", text=random.Random(number).randbytes(900).hex())


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """A journal of two destinations: much is delivered, some is open, divided, refused or dead, the rest waits."""
    folder = tmp_path_factory.mktemp("whole") / "state"
    with opened(folder) as db:
        destinations(db, *NAMES)
        for start in range(1, SCANS + 1, 50):
            journalled(db, *(new_scan(f"scan-{n}", body(n), mask=0b11) for n in range(start, start + 50)))
        for bit, upto in ((0, 400), (1, 240)):
            for after in range(0, upto, 20):
                (batch,) = sealed(db, bit, after, limit=20)
                with db.transaction():
                    _settle(db, batch.id, after // 20)
        before = journal_status(db.connection, 0.0)
        assert [(row.pending > 80, row.delivered > 80, row.dead > 20) for row in before.destinations] == [
            (True,) * 3
        ] * 2
    return (folder / FILE_NAME).read_bytes()


def _settle(db: Database, number: int, turn: int) -> None:
    batch = next(batch for batch in batches(db) if batch.id == number)
    seqs = [member.seq for member in members_of(db, batch)]
    if turn % 5 == 1:
        partly(db, batch, seqs[::2], {seqs[1]: ("rejected", "no")}, answer="some", next_at=0.0, unknown=True)
    elif turn % 5 == 2:
        die(db, batch, "poison", "never")
    elif turn % 5 != 3:
        delivered(db, batch, "put")


def _copy(whole: bytes, folder: Path) -> Path:
    folder.mkdir(mode=0o700)
    (folder / FILE_NAME).write_bytes(whole)
    return folder


def _overwrite(file: Path, rng: random.Random) -> list[int]:
    data = bytearray(file.read_bytes())
    pages = rng.sample(range(len(data) // PAGE_SIZE), rng.choice([1, 1, 2, 5]))
    for page in pages:
        start, length = rng.choice([(0, PAGE_SIZE), (0, 100), (rng.randrange(PAGE_SIZE - 600), 600), (8, 16)])
        noise = rng.choice([rng.randbytes(length), bytes(length)])
        data[page * PAGE_SIZE + start : page * PAGE_SIZE + start + length] = noise
    file.write_bytes(data)
    return pages


def _readable(file: Path) -> set[str]:
    """The scans whose bodies SQLite still finds, and finds whole."""
    found = set()
    with closing(sqlite3.connect(file)) as connection:
        for number in range(1, SCANS + 1):
            try:
                row = connection.execute("SELECT bytes FROM body WHERE seq=?", (number,)).fetchone()
            except sqlite3.Error:
                continue
            if row and row[0] == body(number):
                found.add(f"scan-{number}")
    return found


def _accounted(db: Database) -> dict[str, set[str]]:
    """By destination the scans that wait, are dead or have a receipt; each as operators and lanes see them."""
    names = dict(db.connection.execute("SELECT seq, scan_id FROM scan").fetchall())
    found: dict[str, set[str]] = {}
    dead = list(dead_letters(db))
    written = list(receipts(db))
    for row in journal_status(db.connection, 0.0).destinations:
        bit, cursor = db.connection.execute(
            "SELECT id, sealed_seq FROM destination WHERE name=?", (row.name,)
        ).fetchone()
        waiting = [
            seq
            for (seq,) in db.connection.execute("SELECT seq FROM scan WHERE seq > ? AND routes & ?", (cursor, 1 << bit))
        ]
        waiting += [member.seq for batch in batches(db, bit) for member in members_of(db, batch)]
        assert row.pending == len(waiting), f"{row.name}: status counts {row.pending}, a lane finds {len(waiting)}"
        letters = [letter for letter in dead if letter.destination == row.name]
        assert row.dead == len(letters), f"{row.name}: status counts {row.dead} dead, {len(letters)} can be listed"
        arrived = [
            seq for receipt in written if receipt.destination == row.name for seq in names if receipt.covers(seq)
        ]
        found[row.name] = {names[seq] for seq in [*waiting, *arrived]} | {letter.scan_id for letter in letters}
    return found


@pytest.mark.parametrize("seed", [*range(40), 210, 283, 558, 587])
@pytest.mark.fault("F-22")
def test_whatever_pages_are_overwritten_nothing_readable_is_silently_gone(
    seed: int, whole: bytes, tmp_path: Path
) -> None:
    folder = _copy(whole, tmp_path / "state")
    pages = _overwrite(folder / FILE_NAME, random.Random(seed))
    readable = _readable(folder / FILE_NAME)
    with opened(folder) as db:
        assert db.connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        destinations(db, *NAMES)
        for name, found in _accounted(db).items():
            assert readable <= found, f"pages {pages}: {name} has nothing of {sorted(readable - found)[:5]}"
        journalled(db, new_scan("another", mask=0b11))
    with opened(folder) as db:
        assert len(list(folder.glob("*.damaged*"))) <= 1, "recovered again at the next start"
        assert db.connection.execute("SELECT count(*) FROM scan WHERE scan_id='another'").fetchone() == (1,)


def test_a_sound_journal_is_not_set_aside(whole: bytes, tmp_path: Path) -> None:
    folder = _copy(whole, tmp_path / "state")
    with opened(folder) as db:
        destinations(db, *NAMES)
        assert {name: len(found) for name, found in _accounted(db).items()} == dict.fromkeys(NAMES, SCANS)
    assert not list(folder.glob("*.damaged*"))


def test_a_journal_marked_as_damaged_is_recovered_at_the_next_start_with_everything_in_it(
    whole: bytes, tmp_path: Path
) -> None:
    folder = _copy(whole, tmp_path / "state")
    mark_damaged(folder, "a page could not be read")
    with opened(folder) as db:
        rows = destinations(db, *NAMES)
        assert {name: len(found) for name, found in _accounted(db).items()} == dict.fromkeys(NAMES, SCANS)
        assert [row.delivered > 80 for row in rows] == [True, True]
        assert not any(letter.kind == "recovered" for letter in dead_letters(db))
        assert journalled(db, new_scan("another"))[0].seq == SCANS + 1
    assert not (folder / DAMAGE_MARK).exists()


@pytest.mark.parametrize("moment", ["set aside", "copied", "marked done"])
@pytest.mark.fault("F-22")
def test_a_recovery_that_was_killed_is_done_again(
    moment: str, whole: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Killed(BaseException):
        pass

    def killed(*arguments: object, **options: object) -> None:
        raise Killed

    folder = _copy(whole, tmp_path / "state")
    mark_damaged(folder, "a page could not be read")
    target: dict[str, tuple[object, str]] = {
        "set aside": (recovering, "_copy"),
        "copied": (recovering, "_dead_letter_unaccounted"),
        "marked done": (Path, "unlink"),
    }
    with monkeypatch.context() as patch:
        patch.setattr(*target[moment], killed)
        with pytest.raises(Killed):
            open_journal(folder)
    with opened(folder) as db:
        destinations(db, *NAMES)
        assert {name: len(found) for name, found in _accounted(db).items()} == dict.fromkeys(NAMES, SCANS)


@pytest.mark.parametrize(
    "damage", [lambda data: b"no journal at all" * 1000, lambda data: data[:100], lambda data: b""]
)
def test_a_file_that_is_no_journal_any_more_is_kept_aside(
    damage: Callable[[bytes], bytes], whole: bytes, tmp_path: Path
) -> None:
    folder = _copy(damage(whole), tmp_path / "state")
    with opened(folder) as db:
        destinations(db, *NAMES)
        assert journalled(db, new_scan(1))[0].outcome == "new"


def test_a_dead_letter_whose_body_is_lost_is_kept_until_an_operators_word(tmp_path: Path) -> None:
    with opened(tmp_path / "state") as db:
        destinations(db, *NAMES)
        journalled(db, new_scan(1), new_scan(2))
        with db.transaction():
            dead_letter(db, 0, {1: ("corrupt", "lost")})
            db.connection.execute("UPDATE scan SET routes=0 WHERE seq=1")
            db.connection.execute("DELETE FROM body WHERE seq=1")
            prune(db, -1.0)
        assert [letter.seq for letter in dead_letters(db)] == [1]
