"""Receipts hold each other, so that what was done to one afterwards is seen."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from support.journals import body_of, destinations, journalled, new_scan, opened, sealed
from support.stepped_clock import SteppedClock

from scribe_export.journal import chain
from scribe_export.journal.chain import check_chain
from scribe_export.journal.collect import prune
from scribe_export.journal.database import Database
from scribe_export.journal.receipts import Link, prune_receipts, receipts
from scribe_export.journal.settle import delivered, partly

DAY = 86400.0


def deliver(db: Database, number: int) -> None:
    (result,) = journalled(db, new_scan(number))
    (batch,) = sealed(db, 0, result.seq - 1)
    with db.transaction():
        delivered(db, batch, f"answer {number}")


def deliver_days(db: Database, clock: SteppedClock, *numbers: int) -> None:
    for number in numbers:
        clock.pass_time(DAY)
        deliver(db, number)


@pytest.fixture
def db(tmp_path: Path) -> Iterator[Database]:
    with opened(tmp_path / "state") as database:
        destinations(database, "archive")
        for number in range(1, 6):
            deliver(database, number)
        yield database


def broken(db: Database, head: str = "") -> list[int]:
    return [one.number for one in check_chain(db, Link.parse(head) if head else None).broken]


def test_an_untouched_chain_holds_and_says_who_got_what(db: Database) -> None:
    assert broken(db) == []
    third = list(receipts(db))[2]
    assert (third.destination, third.outcome, third.count, third.answer) == ("archive", "delivered", 1, "answer 3")
    assert [receipt.id for receipt in receipts(db, 3)] == [3]
    assert third.covers(3)
    assert not third.covers(4)


@pytest.mark.parametrize(
    ("tampering", "seen_at"),
    [
        ("UPDATE receipt SET answer='another' WHERE id=3", [3]),
        ("UPDATE receipt SET answer=CAST(x'ff' AS TEXT) WHERE id=3", [3]),
        ("UPDATE receipt SET answer=x'00' WHERE id=3", [3]),
        ("UPDATE receipt SET at=at+1 WHERE id=3", [3]),
        ("UPDATE receipt SET count=2 WHERE id=5", [5]),
        ("UPDATE receipt SET members='[1, 3]' WHERE id=3", [3]),
        ("DELETE FROM receipt WHERE id=3", [4]),
        ("DELETE FROM receipt WHERE id<3", [3]),
        ("DELETE FROM receipt WHERE id>3", [4]),
        ("DELETE FROM receipt", [1]),
        ("UPDATE receipt SET hash=x'00' WHERE id=3", [3, 4]),
        ("UPDATE receipt SET hash='text' WHERE id=5", [5]),
        ("UPDATE receipt SET id=9 WHERE id=2", [3, 9]),
        ("UPDATE receipt SET id=-id WHERE id IN (2, 3); UPDATE receipt SET id=5+id WHERE id<0", [2, 3, 4]),
    ],
)  # fmt: skip
def test_a_receipt_changed_removed_or_put_in_is_seen(db: Database, tampering: str, seen_at: list[int]) -> None:
    db.connection.executescript(tampering)
    assert broken(db) == seen_at


def test_a_head_noted_earlier_shows_a_chain_that_was_cut_or_made_anew(db: Database) -> None:
    noted = str(check_chain(db).head)
    assert noted.startswith("5:")
    assert broken(db, noted) == []
    (third,) = [receipt for receipt in receipts(db) if receipt.id == 3]
    assert broken(db, f"3:{third.hash.hex()}") == []
    db.connection.executescript(
        "DELETE FROM receipt WHERE id > 3; UPDATE sqlite_sequence SET seq=3 WHERE name='receipt'"
    )
    assert broken(db) == []
    assert broken(db, noted) == [5]
    deliver(db, 6)
    deliver(db, 7)
    assert broken(db) == []
    assert broken(db, noted) == [5]


def test_receipts_out_of_the_history_go_and_the_rest_holds(tmp_path: Path) -> None:
    clock = SteppedClock()
    with opened(tmp_path, clock=clock) as db:
        destinations(db, "archive")
        deliver_days(db, clock, 1, 2, 3, 4)
        noted = str(check_chain(db).head)
        for _ in range(2):
            with db.transaction():
                prune(db, 1.5 * DAY)
        found = check_chain(db, Link.parse(noted))
        assert (found.receipts, found.pruned.number, found.broken) == (2, 2, ())
        with db.transaction():
            prune(db, -1.0)
        assert list(receipts(db)) == []
        assert str(check_chain(db).pruned) == str(check_chain(db).head) == noted
        assert broken(db, noted) == []
        deliver_days(db, clock, 5)
        assert broken(db, noted) == []
        # What is pruned cannot be vouched for, and a check that cannot be made is not passed.
        assert broken(db, f"2:{noted[2:]}") == [2]
        db.connection.execute("DELETE FROM meta WHERE key='receipts_pruned'")
        assert broken(db) == [5]


def test_what_is_pruned_while_the_chain_is_read_is_no_gap(db: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(chain, "PAGE", 2)
    looked = chain.linked(db)
    assert [next(looked).number for _ in range(2)] == [1, 2]
    with db.transaction():
        prune_receipts(db, db.clock.now() + 1, 4)
    assert [(one.number, one.anew, one.holds) for one in looked] == [(5, True, True)]


def test_a_partial_delivery_has_a_receipt_of_those_that_arrived(db: Database) -> None:
    journalled(db, new_scan(6), new_scan(7), new_scan(8))
    (batch,) = sealed(db, 0, 5)
    with db.transaction():
        (rest,) = partly(db, batch, {6, 8}, {}, answer="two", next_at=0.0, unknown=True)
    last = list(receipts(db))[-1]
    assert (last.members, last.count, last.batch_id) == ((6, 8), 2, batch.batch_id)
    assert not last.covers(7)
    assert (rest.first_seq, rest.count, rest.unknown) == (7, 1, True)


@pytest.mark.parametrize("acked", [set[int](), {6}])
def test_a_batch_known_only_whole_stays_whole_after_a_partial_failure(db: Database, acked: set[int]) -> None:
    journalled(db, new_scan(6), new_scan(7))
    (batch,) = sealed(db, 0, 5, by_record=False)
    with db.transaction():
        (kept,) = partly(db, batch, acked, {}, answer="", next_at=0.0, unknown=True)
    assert (kept.id, kept.batch_id, kept.count, kept.unknown) == (batch.id, batch.batch_id, 2, True)
    with db.transaction():
        assert partly(db, kept, set(), {6: ("rejected", "never")}, answer="", next_at=0.0, unknown=False) == []
    assert db.connection.execute("SELECT state, class, count FROM batch").fetchall() == [("dead", "rejected", 2)]
    assert db.connection.execute("SELECT count(*) FROM delivery").fetchone() == (0,)


@pytest.mark.fault("F-28")
def test_receipts_go_in_their_order_though_the_clock_was_set_back(tmp_path: Path) -> None:
    clock = SteppedClock()
    with opened(tmp_path, clock=clock) as db:
        destinations(db, "archive")
        for number, step in enumerate((0.0, -2 * DAY, 2 * DAY), 1):
            clock.pass_time(step)
            deliver(db, number)
        with db.transaction():
            prune(db, DAY)
        assert [receipt.id for receipt in receipts(db)] == [1, 2, 3]
        assert broken(db) == []


def test_a_scan_is_known_by_its_id_as_long_as_any_version_of_it_is(tmp_path: Path) -> None:
    clock = SteppedClock()
    with opened(tmp_path, clock=clock) as db:
        destinations(db, "archive")
        journalled(db, new_scan(1, mask=0))
        clock.pass_time(2 * DAY)
        other = body_of(1, again=True)
        journalled(db, new_scan(1, other, mask=0), new_scan(2, mask=0))
        with db.transaction():
            prune(db, DAY)
        (result,) = journalled(db, new_scan(1, other))
        assert result.outcome == "duplicate"
