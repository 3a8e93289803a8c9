"""Sealed batches as rows: made, read back, and divided only where nothing of them can have been applied."""

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol

from scribe_export.journal.database import Database

_COLUMNS = """batch.id, destination, first_seq, last_seq, explicit, count, size, batch_id, digest, partition, json,
  by_record, generation, attempts, next_at, state, unknown, class, error, batch.at,
  note FROM batch JOIN shape ON shape.id = batch.shape"""


@dataclass(frozen=True, slots=True)
class SealedBatch:
    """One effect to be had: its members, name and shape never change.

    `unknown` says that some attempt may have been applied; then it may only be sent again as it is, unless the
    destination tells each record by itself (`by_record`). `attempts` are those charged, `next_at` wall time.
    """

    id: int
    destination: int
    first_seq: int
    last_seq: int
    explicit: bool
    count: int
    size: int
    batch_id: str
    digest: str
    partition: str
    shape: Mapping[str, Any]
    by_record: bool
    generation: int = 0
    attempts: int = 0
    next_at: float = 0.0
    state: str = "open"
    unknown: bool = False
    kind: str = ""
    error: str = ""
    at: float = 0.0
    note: str = ""

    @property
    def name(self) -> str:
        """What the batch is called at the destination; empty where batches have no names."""
        return self.partition.replace("{batch_id}", self.batch_id)

    @property
    def divisible(self) -> bool:
        """Whether its members may be sent in other batches, under other names."""
        return self.by_record or not self.unknown


class Identified(Protocol):
    """What a batch's identity is made of: a `Record` has it, and so has a `Member` read from the journal."""

    @property
    def seq(self) -> int:
        """Its number in the journal."""

    @property
    def size(self) -> int:
        """Bytes of its body."""

    @property
    def ident(self) -> str:
        """Its id and its sha256, in one line."""


@dataclass(slots=True)
class Member:
    """A scan without its body."""

    seq: int
    scan_id: str
    sha256: str
    size: int

    @property
    def ident(self) -> str:
        """As `Record.ident`."""
        return f"{self.scan_id}\0{self.sha256}\n"


@dataclass(frozen=True, slots=True)
class FrozenShape:
    """What names and encodes batches, and the row that keeps it."""

    row: int
    values: Mapping[str, Any]


def add_batch(
    db: Database,
    destination: int,
    members: Sequence[Identified],
    *,
    partition: str,
    shape: FrozenShape,
    by_record: bool,
    explicit: bool,
    attempts: int = 0,
    next_at: float = 0.0,
    unknown: bool = False,
) -> SealedBatch:
    """Seal members into a batch of their own. `explicit` unless they are all of their range's scans routed here."""
    digest = member_digest(db.uuid, destination, members)
    first, last = members[0].seq, members[-1].seq
    row = (
        destination, first, last, explicit, len(members), sum([member.size for member in members]),
        id_of_batch(first, digest, partition, shape.row), digest, partition, shape.row, by_record, attempts, next_at,
        unknown, db.clock.now(),
    )  # fmt: skip
    cursor = db.connection.execute(
        "INSERT INTO batch(destination, first_seq, last_seq, explicit, count, size, batch_id, digest, partition, shape,"
        " by_record, attempts, next_at, unknown, at) VALUES(?,?,?,?,?,?,?,?,?,?,?,?,?,?,?)",
        row,
    )
    batch = cursor.lastrowid
    assert batch is not None
    if explicit:
        db.connection.executemany("INSERT INTO member VALUES(?,?)", [(batch, member.seq) for member in members])
    return SealedBatch(
        batch, destination, first, last, explicit, row[4], row[5], row[6], digest, partition, shape.values,
        by_record, 0, attempts, next_at, "open", unknown, "", "", row[14],
    )  # fmt: skip


def id_of_batch(first: int, digest: str, partition: str, shape: int) -> str:
    """From its first member's number, its digest, its partition and the row of its shape.

    Scans that were refused may be sealed again with the same members, but then under the options of that day.
    """
    sealing = hashlib.sha256(f"{digest}\n{shape}\n{partition}".encode())
    return f"{first:012d}-{sealing.hexdigest()[:16]}"


def member_digest(journal: str, destination: int, members: Sequence[Identified]) -> str:
    """Over the journal's uuid, the destination and the ordered ids and sha256s: no two journals share one."""
    digest = hashlib.sha256(f"{journal}\n{destination}\n".encode())
    digest.update("".join([member.ident for member in members]).encode("utf-8"))
    return digest.hexdigest()


def frozen(db: Database, shape: Mapping[str, Any]) -> FrozenShape:
    """The row of a shape, made if new; its values as they are read back, so that every attempt sees the same."""
    text = json.dumps(shape, sort_keys=True)
    row = db.connection.execute("SELECT id FROM shape WHERE json=?", (text,)).fetchone()
    if row is None:
        row = db.connection.execute("INSERT INTO shape(json) VALUES(?) RETURNING id", (text,)).fetchone()
    return FrozenShape(int(row[0]), json.loads(text))


def batches(db: Database, destination: int | None = None, state: str = "open") -> list[SealedBatch]:
    """The open (or dead) batches, oldest first."""
    where, arguments = ("AND destination=?", (state, destination)) if destination is not None else ("", (state,))
    rows = db.connection.execute(
        f"SELECT {_COLUMNS} WHERE state=? {where} ORDER BY first_seq, batch.id",
        arguments,
    )
    return [_batch(row) for row in rows]


def find_batch(db: Database, batch: int) -> SealedBatch | None:
    """A batch by its row, if it is there still."""
    row = db.connection.execute(f"SELECT {_COLUMNS} WHERE batch.id=?", (batch,)).fetchone()
    return _batch(row) if row else None


def members_of(db: Database, batch: SealedBatch) -> list[Member]:
    """The members of a batch, in order."""
    if batch.explicit:
        rows = db.connection.execute(
            "SELECT scan.seq, scan_id, sha256, size FROM member JOIN scan USING(seq) WHERE batch=? ORDER BY scan.seq",
            (batch.id,),
        )
    else:
        rows = db.connection.execute(
            "SELECT seq, scan_id, sha256, size FROM scan WHERE seq BETWEEN ? AND ? AND routes & ? ORDER BY seq",
            (batch.first_seq, batch.last_seq, 1 << batch.destination),
        )
    return [Member(seq, scan_id, sha256.hex(), size) for seq, scan_id, sha256, size in rows]


def take_note(db: Database, batch: SealedBatch, note: str) -> SealedBatch:
    """Keep the place that its sink took for a batch."""
    db.connection.execute("UPDATE batch SET note=? WHERE id=?", (note, batch.id))
    return replace(batch, note=note)


def remove_batch(db: Database, batch: SealedBatch) -> None:
    """Forget a batch whose members are settled or sealed anew."""
    if batch.explicit or batch.state == "dead":
        db.released.extend(member.seq for member in members_of(db, batch))
    db.connection.execute("DELETE FROM batch WHERE id=?", (batch.id,))
    if batch.explicit:
        db.connection.execute("DELETE FROM member WHERE batch=?", (batch.id,))


def reseal(
    db: Database,
    parent: SealedBatch,
    parts: Iterable[Sequence[Member]],
    *,
    attempts: int | None = None,
    next_at: float | None = None,
    unknown: bool = False,
) -> list[SealedBatch]:
    """Seal members of `parent` anew, in parts; the caller removes the parent in the same transaction."""
    row = db.connection.execute("SELECT shape FROM batch WHERE id=?", (parent.id,)).fetchone()[0]
    shape = FrozenShape(row, parent.shape)
    return [
        add_batch(
            db,
            parent.destination,
            part,
            partition=parent.partition,
            shape=shape,
            by_record=parent.by_record,
            explicit=True,
            attempts=parent.attempts if attempts is None else attempts,
            next_at=parent.next_at if next_at is None else next_at,
            unknown=parent.unknown or unknown,
        )
        for part in parts
        if part
    ]


def _batch(row: Sequence[Any]) -> SealedBatch:
    values = list(row)
    values[4], values[11], values[16] = bool(values[4]), bool(values[11]), bool(values[16])
    values[10] = json.loads(values[10])
    return SealedBatch(*values)
