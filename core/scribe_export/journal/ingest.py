"""A scan enters: journalled with its routing decision, known as a duplicate, or found in conflict."""

import functools
import sqlite3
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from scribe_export.archives.codec import same_json
from scribe_export.errors import JournalFull
from scribe_export.journal.bodies import read_body
from scribe_export.journal.database import Database
from scribe_export.model import Record

NO_DESTINATION = -1
"""In `delivery.destination`: the body was no scan, so no rule could route it."""

Outcome = Literal["new", "duplicate", "conflict", "invalid"]


@dataclass(slots=True)
class NewScan:
    """A body on its way in.

    `mask` has a bit for each destination it was routed to, `failed` a message for each bit whose rule raised. A body
    that is no scan has `invalid`, the dead letter's class and reason. `blob` names the file of a large body.
    `record` is what lanes will share, once it has its number.
    """

    scan_id: str
    sha256: str
    body: bytes
    source: str
    mask: int = 0
    failed: Mapping[int, str] = field(default_factory=dict)
    invalid: tuple[str, str] | None = None
    blob: str | None = None
    record: Record | None = None


@dataclass(frozen=True, slots=True)
class Ingested:
    """What became of it; `mask` is where it is going, after conflicts were judged."""

    seq: int
    outcome: Outcome
    version: int = 1
    mask: int = 0


@dataclass(frozen=True, slots=True)
class ConflictMasks:
    """Destinations by what they do with a known id that has other content; the others take it as a new version."""

    dead_letter: int = 0
    keep: int = 0


def ingest(
    db: Database,
    scans: Sequence[NewScan],
    *,
    conflicts: ConflictMasks,
    source: str = "",
    checkpoint: Mapping[str, str | None] | None = None,
) -> list[Ingested]:
    """Journal the bodies a source delivered, and what it will remember, in one transaction.

    Raises `JournalFull` at the quota.
    """
    if scans and db.used() >= db.quota:
        raise JournalFull(f"the journal's quota of {db.quota} bytes is used up")
    now = db.clock.now()
    first = last_seq(db) + 1
    try:
        results = _insert_all(db, scans, first, now)
    except sqlite3.IntegrityError:
        results = _insert_each(db, scans, conflicts, now)
    remember(db, source, checkpoint)
    return results


def remember(db: Database, source: str, checkpoint: Mapping[str, str | None] | None) -> None:
    """Keep a source's checkpoints; a value of None forgets its key."""
    for key, value in (checkpoint or {}).items():
        if value is None:
            db.connection.execute("DELETE FROM cursor WHERE source=? AND key=?", (source, key))
        else:
            db.connection.execute("INSERT OR REPLACE INTO cursor VALUES(?,?,?)", (source, key, value))


def last_seq(db: Database) -> int:
    """The highest sequence number ever given; they are never given again."""
    row = db.connection.execute("SELECT seq FROM sqlite_sequence WHERE name='scan'").fetchone()
    return int(row[0]) if row else 0


def _insert_all(db: Database, scans: Sequence[NewScan], first: int, now: float) -> list[Ingested]:
    run = db.connection
    run.execute("SAVEPOINT ingest")
    try:
        run.executemany(
            "INSERT INTO scan VALUES(?,?,1,?,?,?,?,?)",
            [
                (seq, scan.scan_id, bytes.fromhex(scan.sha256), len(scan.body), scan.mask, scan.source, now)
                for seq, scan in enumerate(scans, first)
            ],
        )
        kept = [(seq, scan) for seq, scan in enumerate(scans, first) if scan.mask or scan.failed or scan.invalid]
        run.executemany("INSERT INTO body VALUES(?,?,?)", _body_rows(db, kept))
        for seq, scan in kept:
            if scan.failed or scan.invalid:
                _note_failures(db, seq, scan, now)
    except sqlite3.IntegrityError:
        run.execute("ROLLBACK TO ingest")
        run.execute("RELEASE ingest")
        raise
    run.execute("RELEASE ingest")
    if len(kept) < len(scans):
        db.count("unrouted", len(scans) - len(kept))
        for scan in scans:
            if not (scan.mask or scan.failed or scan.invalid):
                _forget_blob(db, scan)
    return [Ingested(seq, "invalid" if scan.invalid else "new", 1, scan.mask) for seq, scan in enumerate(scans, first)]


def _insert_each(db: Database, scans: Sequence[NewScan], conflicts: ConflictMasks, now: float) -> list[Ingested]:
    return [_insert_one(db, scan, conflicts, now) for scan in scans]


def _insert_one(db: Database, scan: NewScan, conflicts: ConflictMasks, now: float) -> Ingested:
    known = db.connection.execute(
        "SELECT seq, version, sha256 FROM scan WHERE scan_id=? ORDER BY version", (scan.scan_id,)
    ).fetchall()
    for seq, version, sha256 in known:
        if sha256.hex() == scan.sha256 or _same_json(db, seq, scan.body):
            db.count("duplicates", 1)
            _forget_blob(db, scan)
            return Ingested(seq, "duplicate", version)
    if not known:
        return _insert_all(db, [scan], last_seq(db) + 1, now)[0]
    seq, version = last_seq(db) + 1, known[-1][1] + 1
    mask = scan.mask & ~conflicts.keep & ~conflicts.dead_letter
    dead = bits(scan.mask & conflicts.dead_letter)
    db.connection.execute(
        "INSERT INTO scan VALUES(?,?,?,?,?,?,?,?)",
        (seq, scan.scan_id, version, bytes.fromhex(scan.sha256), len(scan.body), mask, scan.source, now),
    )
    if mask or dead or scan.failed or scan.invalid:
        db.connection.executemany("INSERT INTO body VALUES(?,?,?)", _body_rows(db, [(seq, scan)]))
    else:
        _forget_blob(db, scan)
    message = f"scan {scan.scan_id} came before, as number {known[0][0]}, with other content"
    db.connection.executemany(
        "INSERT INTO delivery VALUES(?,?,'conflict',?,?)", [(bit, seq, message, now) for bit in dead]
    )
    db.after_commit.extend(db.tally.buried(bit, ["conflict"]) for bit in dead)
    _note_failures(db, seq, scan, now)
    db.count("conflicts", 1)
    return Ingested(seq, "conflict", version, mask)


def _body_rows(db: Database, kept: Iterable[tuple[int, NewScan]]) -> list[tuple[int, str | None, bytes | None]]:
    rows: list[tuple[int, str | None, bytes | None]] = []
    for seq, scan in kept:
        if scan.blob:
            db.blob_bytes += len(scan.body)
            rows.append((seq, scan.blob, None))
        else:
            rows.append((seq, None, scan.body))
    return rows


def _forget_blob(db: Database, scan: NewScan) -> None:
    """The body is not kept, so neither is its file."""
    if scan.blob:
        db.after_commit.append(functools.partial(db.blobs.remove, [scan.blob]))


def _note_failures(db: Database, seq: int, scan: NewScan, now: float) -> None:
    if scan.invalid:
        db.connection.execute("INSERT INTO delivery VALUES(?,?,?,?,?)", (NO_DESTINATION, seq, *scan.invalid, now))
        db.after_commit.append(db.tally.buried(NO_DESTINATION, [scan.invalid[0]]))
    db.after_commit.extend(db.tally.buried(bit, ["rule"]) for bit in scan.failed)
    db.connection.executemany(
        "INSERT INTO delivery VALUES(?,?,'rule',?,?)", [(bit, seq, text, now) for bit, text in scan.failed.items()]
    )


def _same_json(db: Database, seq: int, body: bytes) -> bool:
    stored = read_body(db, seq)
    return stored is not None and same_json(stored, body)


def bits(mask: int) -> list[int]:
    """The destinations of a mask, lowest first."""
    return [bit for bit in range(mask.bit_length()) if mask >> bit & 1]
