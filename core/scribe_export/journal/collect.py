"""Bodies that nobody needs any more are removed, scan by scan, in slices off the delivery path.

A body is needed while a lane that the scan was routed to is still before it, an open or dead batch holds it, or it is an
exception. Lanes settle nearly in order, so below the slowest lane whole ranges go at once; above it, only scans that were
not routed to any lane still before them.
"""

import functools
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from scribe_export.journal.database import Database
from scribe_export.journal.receipts import prune_receipts

SLICE = 2000


@dataclass(frozen=True, slots=True)
class Lane:
    """How far a destination is done: all its scans up to `done_seq` are settled or exceptions."""

    bit: int
    done_seq: int


class Collector:
    """Remembers how far it has swept, so that scans held by a lane that stands still are not looked at again."""

    def __init__(self) -> None:
        self._swept: dict[int, int] = {}

    def collect(self, db: Database) -> bool:
        """Sweep one slice inside a transaction; True if there is more to sweep."""
        lanes = sorted(lanes_of(db), key=lambda lane: lane.done_seq)
        if db.released:
            released, db.released = db.released[:SLICE], db.released[SLICE:]
            for seq in released:
                remove_bodies(db, seq - 1, seq, _mask(lane for lane in lanes if lane.done_seq < seq))
            return True
        oldest, newest = db.connection.execute(
            "SELECT coalesce((SELECT min(seq) FROM body), 1), coalesce((SELECT max(seq) FROM body), 0)"
        ).fetchone()
        bounds = [oldest - 1, *(min(max(lane.done_seq, oldest - 1), newest) for lane in lanes), newest]
        for behind in range(len(lanes) + 1):
            held = _mask(lanes[:behind])
            start, end = max(bounds[behind], self._swept.get(held, 0)), bounds[behind + 1]
            if start < end:
                stop = min(end, start + SLICE)
                remove_bodies(db, start, stop, held)
                self._swept[held] = stop
                return True
        return False


def _mask(lanes: Iterable[Lane]) -> int:
    return sum(1 << lane.bit for lane in lanes)


def lanes_of(db: Database) -> list[Lane]:
    """Every destination and how far it is done; a range batch that is open holds all from its first scan on."""
    rows = db.connection.execute(
        "SELECT id, sealed_seq, (SELECT min(first_seq) FROM batch WHERE destination=destination.id AND state='open'"
        " AND NOT explicit) FROM destination"
    )
    return [Lane(bit, sealed if first is None else min(sealed, first - 1)) for bit, sealed, first in rows]


def remove_bodies(db: Database, after: int, upto: int, held: int) -> None:
    """Remove the bodies in a range that no destination of the mask `held` was routed, and no exception or batch holds."""
    keepers = set(_held_apart(db, after, upto))
    if held:
        rows = db.connection.execute(
            "SELECT seq FROM scan WHERE seq > ? AND seq <= ? AND routes & ?", (after, upto, held)
        )
        keepers.update(seq for (seq,) in rows)
    for first, last in _gaps(after, upto, sorted(keepers)):
        _remove_range(db, first, last)


def _held_apart(db: Database, after: int, upto: int) -> Iterator[int]:
    """The scans of a range that are exceptions, members of a divided batch, or in a batch that died."""
    for table in ("delivery", "member"):
        query = f"SELECT seq FROM {table} WHERE seq > ? AND seq <= ?"  # noqa: S608
        yield from (seq for (seq,) in db.connection.execute(query, (after, upto)))
    dead = db.connection.execute(
        "SELECT first_seq, last_seq, destination FROM batch WHERE state='dead' AND NOT explicit"
        " AND last_seq > ? AND first_seq <= ?",
        (after, upto),
    ).fetchall()
    for first, last, bit in dead:
        yield from (
            seq
            for (seq,) in db.connection.execute(
                "SELECT seq FROM scan WHERE seq BETWEEN ? AND ? AND routes & ?",
                (max(first, after + 1), min(last, upto), 1 << bit),
            )
        )


def _gaps(after: int, upto: int, keepers: Sequence[int]) -> Iterator[tuple[int, int]]:
    """The ranges between those that stay, as first and last."""
    start = after + 1
    for keeper in keepers:
        if keeper > start:
            yield start, keeper - 1
        start = keeper + 1
    if start <= upto:
        yield start, upto


def _remove_range(db: Database, first: int, last: int) -> None:
    files = db.connection.execute(
        "SELECT blob, size FROM body JOIN scan USING(seq) WHERE body.seq BETWEEN ? AND ? AND blob IS NOT NULL",
        (first, last),
    ).fetchall()
    db.connection.execute("DELETE FROM body WHERE seq BETWEEN ? AND ?", (first, last))
    if files:
        db.after_commit.append(functools.partial(db.blobs.remove, [blob for blob, _ in files]))
        db.blob_bytes = max(0, db.blob_bytes - sum(size for _, size in files))


def prune(db: Database, history: float) -> bool:
    """Forget a slice of scans, requests and receipts older than `history` seconds that hold nothing; True for more.

    The first of a scan's versions is by which the id is known, so it goes last.
    """
    before = db.clock.now() - history
    gone = db.connection.execute(
        "DELETE FROM scan WHERE seq IN (SELECT seq FROM scan WHERE at < ? AND seq NOT IN (SELECT seq FROM body)"
        " AND NOT EXISTS (SELECT 1 FROM delivery WHERE delivery.seq = scan.seq)"
        " AND NOT EXISTS (SELECT 1 FROM member WHERE member.seq = scan.seq)"
        " AND NOT EXISTS (SELECT 1 FROM scan AS next WHERE next.scan_id = scan.scan_id AND next.version > scan.version)"
        " AND seq < (SELECT max(seq) FROM scan) ORDER BY seq LIMIT ?)",
        (before, SLICE),
    ).rowcount
    gone += prune_receipts(db, before, SLICE)
    gone += db.connection.execute(
        "DELETE FROM request WHERE id IN (SELECT id FROM request WHERE at < ? AND state IN ('done', 'failed')"
        " AND owed <> 1 AND (seq IS NULL OR seq NOT IN (SELECT seq FROM body)) ORDER BY id LIMIT ?)",
        (before, SLICE),
    ).rowcount
    return gone >= SLICE
