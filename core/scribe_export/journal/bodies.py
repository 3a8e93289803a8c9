"""Reading scans back, every body checked against its sha256 before anything is done with it."""

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, tzinfo
from typing import Any

from scribe_export.journal.database import Database
from scribe_export.model import Record

# One flipped bit of a row's header has SQLite take a blob for text: https://sqlite.org/fileformat2.html#record_format
_COLUMNS = (
    "scan.seq, scan_id, version, sha256, source, at, CAST(bytes AS BLOB), blob FROM scan LEFT JOIN body USING(seq)"
)
CHUNK = 500


@dataclass(frozen=True, slots=True)
class Fetched:
    """Records in order, and of those that cannot be sent the sequence number and why."""

    records: list[Record]
    corrupt: dict[int, str]


def read_body(db: Database, seq: int) -> bytes | None:
    """A body as it is stored, unchecked; None if it has left."""
    row = db.connection.execute("SELECT CAST(bytes AS BLOB), blob FROM body WHERE seq=?", (seq,)).fetchone()
    if row is None:
        return None
    try:
        return row[0] if row[1] is None else db.blobs.read(row[1])
    except OSError:
        return None


def fetch_next(
    db: Database, bit: int, after: int, *, max_records: int, max_bytes: int, assume: tzinfo = UTC
) -> Fetched:
    """The next scans routed to `bit` after a sequence number, within both bounds but at least one."""
    rows = db.connection.execute(
        f"SELECT {_COLUMNS} WHERE scan.seq > ? AND routes & ? ORDER BY scan.seq LIMIT ?",
        (after, 1 << bit, max_records),
    )
    return _collect(db, rows, assume, max_bytes)


def fetch_members(db: Database, seqs: Sequence[int], *, assume: tzinfo = UTC) -> Fetched:
    """The scans of a sealed batch, in order."""
    fetched = Fetched([], {})
    for start in range(0, len(seqs), CHUNK):
        chunk = seqs[start : start + CHUNK]
        marks = ",".join("?" * len(chunk))
        rows = db.connection.execute(
            f"SELECT {_COLUMNS} WHERE scan.seq IN ({marks}) ORDER BY scan.seq",
            chunk,
        )
        part = _collect(db, rows, assume, None)
        fetched.records.extend(part.records)
        fetched.corrupt.update(part.corrupt)
    return fetched


def _collect(db: Database, rows: Iterable[Sequence[Any]], assume: tzinfo, max_bytes: int | None) -> Fetched:
    records: list[Record] = []
    corrupt: dict[int, str] = {}
    size = 0
    for record, problem in _records(db, rows, assume):
        size += len(record.body)
        if max_bytes is not None and size > max_bytes and (records or corrupt):
            break
        if problem:
            corrupt[record.seq] = problem
        else:
            records.append(record)
    return Fetched(records, corrupt)


def _records(db: Database, rows: Iterable[Sequence[Any]], assume: tzinfo) -> Iterator[tuple[Record, str]]:
    for seq, scan_id, version, sha256, source, at, body, blob in rows:
        problem = ""
        if blob is not None:
            try:
                body = db.blobs.read(blob)  # noqa: PLW2901
            except OSError as error:
                problem = f"the body's file cannot be read: {error.strerror}"
        if body is None:
            problem = problem or "the body is missing from the journal"
        elif hashlib.sha256(body).digest() != sha256:
            problem = "the body in the journal does not match its sha256"
        record = Record(
            seq=seq,
            scan_id=scan_id,
            sha256=sha256.hex(),
            body=body or b"",
            source=source,
            version=version,
            received_at=at,
            assume=assume,
        )
        yield record, problem
