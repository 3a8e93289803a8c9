"""One receipt a settled batch: who got which scans, when, under which name, with which answer.

Each carries the hash of the one before, so that a receipt changed, removed or put between others is noticed. What an
operator does to scans has receipts too.
"""

import hashlib
import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Self

from scribe_export.journal.batches import SealedBatch
from scribe_export.journal.database import Database

GENESIS = b"\0" * 32
BY_OPERATOR = "by an operator"
REPLAYED = "replayed"
"""The outcome of a receipt after which the scan is on its way again."""
FORGOTTEN = "forgotten"
_PRUNED = "receipts_pruned"
COLUMNS = "destination, outcome, first_seq, last_seq, members, count, batch_id, name, answer, at"
"""What the hash of a receipt is over, in this order."""


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


@dataclass(frozen=True, slots=True)
class Link:
    """A place in the chain: a receipt's number and its hash. Before the first receipt it is 0 and zeros."""

    number: int
    hash: bytes

    def __str__(self) -> str:
        return f"{self.number}:{self.hash.hex()}"

    @classmethod
    def parse(cls, text: str) -> Self:
        """From what ``str`` gave; raises ValueError."""
        number, _, digest = text.partition(":")
        if not re.fullmatch(r"[0-9]+", number) or not re.fullmatch(rf"[0-9a-f]{{{2 * len(GENESIS)}}}", digest):
            raise ValueError("a head is a receipt's number and its hash, like 812:9f2c…, as `audit verify` prints it")
        return cls(int(number), bytes.fromhex(digest))


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


def write_act(
    db: Database, destination: str, outcome: str, seqs: Sequence[int], *, name: str = "", answer: str = BY_OPERATOR
) -> None:
    """Write the receipt of what an operator did to scans that were in no batch; nothing for no scans.

    `destination` is empty if it was not about one: for bodies that were no scans, and for what was forgotten.
    """
    if seqs:
        listed = json.dumps(sorted(seqs))
        _append(db, (destination, outcome, min(seqs), max(seqs), listed, len(seqs), "", name, answer[:512]))


def write_change(db: Database, destination: str, outcome: str) -> None:
    """Write down what an operator did to a destination itself: it is about no scan, and covers none."""
    _append(db, (destination, outcome, 0, 0, "[]", 0, "", "", BY_OPERATOR))


def _append(db: Database, values: Sequence[object]) -> None:
    row = (*values, db.clock.now())
    before = db.connection.execute("SELECT hash FROM receipt ORDER BY id DESC LIMIT 1").fetchone()
    db.connection.execute(
        f"INSERT INTO receipt({COLUMNS}, hash) VALUES(?,?,?,?,?,?,?,?,?,?,?)",
        (*row, link(before[0] if before else pruned(db).hash, row)),
    )


def link(before: bytes, row: Sequence[object]) -> bytes:
    """The hash of a receipt's values and of the receipt before it."""
    return hashlib.sha256(before + hashed(row)).digest()


def hashed(row: Sequence[object]) -> bytes:
    """The bytes of a receipt's values that its hash is over."""
    return json.dumps(row).encode()


def pruned(db: Database) -> Link:
    """The last receipt that `journal.history` has forgotten: the first one kept follows it."""
    try:
        return Link.parse(db.meta(_PRUNED))
    except ValueError:
        return Link(0, GENESIS)


def prune_receipts(db: Database, before: float, most: int) -> int:
    """Forget up to `most` receipts older than `before`, and remember the last of them; returns how many.

    They go in their order, because each carries the hash of the one before; the clock may have been set back between.
    """
    gone = db.connection.execute(
        "DELETE FROM receipt WHERE id IN (SELECT id FROM receipt WHERE id <"
        " coalesce((SELECT min(id) FROM receipt WHERE at >= ?), 1 << 62) ORDER BY id LIMIT ?) RETURNING id, hash",
        (before, most),
    ).fetchall()
    if gone:
        db.connection.execute("INSERT OR REPLACE INTO meta VALUES(?, ?)", (_PRUNED, str(Link(*max(gone)))))
    return len(gone)


def receipts(db: Database, seq: int | None = None) -> Iterator[Receipt]:
    """All receipts in order, or those whose range holds `seq`."""
    where, arguments = ("WHERE last_seq >= ? AND first_seq <= ?", (seq, seq)) if seq is not None else ("", ())
    for row in db.connection.execute(f"SELECT id, {COLUMNS}, hash FROM receipt {where} ORDER BY id", arguments):  # noqa: S608 - constants
        values = list(row)
        values[5] = None if values[5] is None else tuple(json.loads(values[5]))
        yield Receipt(*values)
