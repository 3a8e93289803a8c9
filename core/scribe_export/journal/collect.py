"""Bodies that nobody needs any more are removed, scan by scan, in slices off the delivery path.

A body is needed while a lane that the scan was routed to is still before it, an open or dead batch holds it, or it is an
exception. Lanes settle nearly in order, so below the slowest lane whole ranges go at once; above it, only scans that were
not routed to any lane still before them.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from scribe_export.journal.database import Database

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
        if db.released is not None:
            # Explicit batches and exceptions do not hold the sweep back, so it may have passed what they held.
            self._swept = {held: min(upto, db.released - 1) for held, upto in self._swept.items()}
            db.released = None
        lanes = sorted(lanes_of(db), key=lambda lane: lane.done_seq)
        newest = int(db.connection.execute("SELECT coalesce(max(seq), 0) FROM body").fetchone()[0])
        bounds = [0, *(min(lane.done_seq, newest) for lane in lanes), newest]
        for behind in range(len(lanes) + 1):
            start, end = bounds[behind], bounds[behind + 1]
            held = 0
            for lane in lanes[:behind]:
                held |= 1 << lane.bit
            start = max(start, self._swept.get(held, 0))
            if start < end:
                stop = min(end, start + SLICE)
                remove_bodies(db, start, stop, held)
                self._swept[held] = stop
                return True
        return False

    def look_again(self) -> None:
        """Exceptions or batches that held scans are gone: sweep from the beginning once."""
        self._swept.clear()


def lanes_of(db: Database) -> list[Lane]:
    """Every destination and how far it is done; a range batch that is open holds all from its first scan on."""
    rows = db.connection.execute(
        "SELECT id, sealed_seq, (SELECT min(first_seq) FROM batch WHERE destination=destination.id AND state='open'"
        " AND NOT explicit) FROM destination"
    )
    return [Lane(bit, sealed if first is None else min(sealed, first - 1)) for bit, sealed, first in rows]


def remove_bodies(db: Database, after: int, upto: int, held: int) -> int:
    """Remove the bodies in a range that no destination of the mask `held` was routed, and no exception or batch holds."""
    dead_ranges = db.connection.execute(
        "SELECT first_seq, last_seq, destination FROM batch WHERE state='dead' AND NOT explicit"
        " AND last_seq > ? AND first_seq <= ?",
        (after, upto),
    ).fetchall()
    candidates = db.connection.execute(
        "SELECT body.seq, blob, routes FROM body JOIN scan USING(seq) WHERE body.seq > ?1 AND body.seq <= ?2"
        " AND NOT routes & ?3 AND body.seq NOT IN (SELECT seq FROM delivery WHERE seq > ?1 AND seq <= ?2)"
        " AND body.seq NOT IN (SELECT seq FROM member WHERE seq > ?1 AND seq <= ?2)",
        (after, upto, held),
    ).fetchall()
    gone = [(seq, blob) for seq, blob, routes in candidates if not _in_ranges(seq, routes, dead_ranges)]
    _delete(db, [seq for seq, _ in gone])
    blobs = [blob for _, blob in gone if blob]
    if blobs:
        db.after_commit.append(lambda: db.blobs.remove(blobs))
        db.blob_bytes = max(0, db.blob_bytes - _sizes(db, [seq for seq, blob in gone if blob]))
    return len(gone)


def prune(db: Database, history: float) -> bool:
    """Forget, in one slice, scans and receipts older than `history` seconds that hold nothing; True if there is more."""
    before = db.clock.now() - history
    gone = db.connection.execute(
        "DELETE FROM scan WHERE seq IN (SELECT seq FROM scan WHERE at < ? AND seq NOT IN (SELECT seq FROM body)"
        " AND seq < (SELECT max(seq) FROM scan) ORDER BY seq LIMIT ?)",
        (before, SLICE),
    ).rowcount
    gone += db.connection.execute(
        "DELETE FROM receipt WHERE id IN (SELECT id FROM receipt WHERE at < ? ORDER BY id LIMIT ?)", (before, SLICE)
    ).rowcount
    return gone >= SLICE


def _in_ranges(seq: int, routes: int, ranges: Sequence[tuple[int, int, int]]) -> bool:
    return any(first <= seq <= last and routes >> bit & 1 for first, last, bit in ranges)


def _delete(db: Database, seqs: Sequence[int]) -> None:
    """By ranges where the numbers have no gaps, which is the usual case and by far the cheapest."""
    start = 0
    for index in range(1, len(seqs) + 1):
        if index == len(seqs) or seqs[index] != seqs[index - 1] + 1:
            db.connection.execute("DELETE FROM body WHERE seq BETWEEN ? AND ?", (seqs[start], seqs[index - 1]))
            start = index


def _sizes(db: Database, seqs: Sequence[int]) -> int:
    query = "SELECT size FROM scan WHERE seq=?"
    return sum(int(db.connection.execute(query, (seq,)).fetchone()[0]) for seq in seqs)
