"""One receipt a settled batch: who got which scans, when, under which name, with which answer.

Each carries the hash of the one before, so that a receipt changed, removed or put between others is noticed.
"""

import hashlib
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from scribe_export.journal.batches import SealedBatch
from scribe_export.journal.database import Database

GENESIS = b"\0" * 32


@dataclass(frozen=True, slots=True)
class Receipt:
    """`outcome` is ``delivered`` or an operator's word, such as ``discarded``; `at` seconds since the epoch."""

    id: int
    destination: str
    outcome: str
    first_seq: int
    last_seq: int
    members: tuple[int, ...] | None
    count: int
    batch_id: str
    name: str
    answer: str
    at: float
    hash: bytes

    def covers(self, seq: int) -> bool:
        """Whether a scan that was routed there is among its members."""
        return seq in self.members if self.members is not None else self.first_seq <= seq <= self.last_seq


def write_receipt(
    db: Database, batch: SealedBatch, outcome: str, answer: str, members: Sequence[int] | None, count: int
) -> None:
    """Write the receipt of a batch, or of those `members` of it that are settled."""
    name = db.connection.execute("SELECT name FROM destination WHERE id=?", (batch.destination,)).fetchone()
    listed = None if members is None else json.dumps(list(members))
    first = batch.first_seq if members is None else min(members)
    last = batch.last_seq if members is None else max(members)
    _append(
        db,
        (name[0] if name else "", outcome, first, last, listed, count, batch.batch_id, batch.name, answer[:512]),
    )


def write_discard(db: Database, destination: str, seqs: Sequence[int]) -> None:
    """Write the receipt of scans given up that were in no batch; `destination` is empty for bodies that were no scans."""
    _append(
        db,
        (destination, "discarded", min(seqs), max(seqs), json.dumps(list(seqs)), len(seqs), "", "", "by an operator"),
    )


def write_act(db: Database, destination: str, outcome: str) -> None:
    """Write down what an operator did to a destination: it is about no scan, and covers none."""
    _append(db, (destination, outcome, 0, 0, "[]", 0, "", "", "by an operator"))


def _append(db: Database, values: Sequence[object]) -> None:
    row = (*values, db.clock.now())
    before = db.connection.execute("SELECT hash FROM receipt ORDER BY id DESC LIMIT 1").fetchone()
    db.connection.execute(
        "INSERT INTO receipt(destination, outcome, first_seq, last_seq, members, count, batch_id, name, answer, at, hash)"
        " VALUES(?,?,?,?,?,?,?,?,?,?,?)",
        (*row, link(before[0] if before else GENESIS, row)),
    )


def link(before: bytes, row: Sequence[object]) -> bytes:
    """The hash of a receipt's values and of the receipt before it."""
    return hashlib.sha256(before + json.dumps(row).encode()).digest()


def receipts(db: Database, seq: int | None = None) -> Iterator[Receipt]:
    """All receipts in order, or those whose range holds `seq`."""
    where, arguments = ("WHERE last_seq >= ? AND first_seq <= ?", (seq, seq)) if seq is not None else ("", ())
    columns = "id, destination, outcome, first_seq, last_seq, members, count, batch_id, name, answer, at, hash"
    for row in db.connection.execute(f"SELECT {columns} FROM receipt {where} ORDER BY id", arguments):  # noqa: S608
        values = list(row)
        values[5] = None if values[5] is None else tuple(json.loads(values[5]))
        yield Receipt(*values)


def broken_links(db: Database) -> list[int]:
    """The receipts that do not carry the hash of the one before them, by row; the oldest kept is taken at its word."""
    broken: list[int] = []
    before: bytes | None = None
    columns = "id, hash, destination, outcome, first_seq, last_seq, members, count, batch_id, name, answer, at"
    for number, found, *row in db.connection.execute(f"SELECT {columns} FROM receipt ORDER BY id"):  # noqa: S608
        if before is not None and link(before, row) != found:
            broken.append(number)
        before = found
    return broken
