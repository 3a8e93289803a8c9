"""What can be read of a damaged journal goes into a new one: rows one by one, bodies only if their sha256 agrees.

The ledger's own rows are copied as far as they can be read. Where a destination's row is lost, its scans are sent again:
a destination that knows a repeat holds each once, and none is lost for want of a row.
"""

import contextlib
import hashlib
import sqlite3
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from scribe_export.journal.database import FILE_NAME, Database

_KEYED_BY_NUMBER = ("scan", "body", "batch", "receipt", "request", "shape", "destination")
_KEYED_BY_TEXT = ("meta", "member", "delivery", "cursor")


@dataclass(frozen=True, slots=True)
class RecoveryReport:
    """How many scans with their bodies came over, and how many bodies are known to be lost."""

    scans: int
    lost: int


def set_aside(folder: Path) -> Path:
    """Rename the journal and its log; returns the new path of the journal."""
    stamp = time.strftime("%Y%m%dT%H%M%S")
    aside = folder / f"{FILE_NAME}.damaged-{stamp}"
    number = 1
    while aside.exists():
        number += 1
        aside = folder / f"{FILE_NAME}.damaged-{stamp}-{number}"
    for suffix in ("-wal", "-shm", ""):
        source = folder / (FILE_NAME + suffix)
        with contextlib.suppress(FileNotFoundError):
            source.rename(Path(str(aside) + suffix))
    return aside


def recover(database: Database, damaged: Path) -> RecoveryReport:
    """Copy what verifies from a damaged journal into a new, empty one, in one transaction."""
    try:
        old = sqlite3.connect(damaged, isolation_level=None)
        old.execute("PRAGMA schema_version").fetchone()
    except sqlite3.Error:
        return RecoveryReport(0, 0)
    try:
        with database.transaction():
            return _copy(database, old)
    finally:
        old.close()


def _copy(database: Database, old: sqlite3.Connection) -> RecoveryReport:
    new = database.connection
    highest = _highest(old)
    for table in _KEYED_BY_TEXT:
        _insert(new, table, _readable(old, f"SELECT * FROM {table}", ()))  # noqa: S608
    for table in _KEYED_BY_NUMBER:
        rows = _by_number(old, table, highest)
        _insert(new, table, (row for row in rows if table != "body" or _verifies(database, old, row)))
    uuid = new.execute("SELECT value FROM meta WHERE key='uuid'").fetchone()
    database.uuid = uuid[0]
    lost = _forget_unreadable(database)
    new.execute("DELETE FROM body WHERE seq NOT IN (SELECT seq FROM scan)")
    kept = new.execute("SELECT count(*) FROM body").fetchone()[0]
    return RecoveryReport(kept, lost)


def _forget_unreadable(database: Database) -> int:
    """Scans that were still needed but whose bodies are gone become dead letters of class ``corrupt``; returns how many."""
    new = database.connection
    lost = new.execute(
        "SELECT scan.seq, destination.id FROM scan JOIN destination ON scan.routes & (1 << destination.id)"
        " AND scan.seq > destination.sealed_seq WHERE scan.seq NOT IN (SELECT seq FROM body)"
    ).fetchall()
    for seq, destination in lost:
        new.execute(
            "INSERT OR IGNORE INTO delivery VALUES(?,?,'corrupt','lost with a damaged part of the journal',?)",
            (destination, seq, database.clock.now()),
        )
        new.execute("UPDATE scan SET routes = routes & ~(1 << ?) WHERE seq=?", (destination, seq))
    return len({seq for seq, _ in lost})


def _highest(old: sqlite3.Connection) -> int:
    for query in ("SELECT max(seq) FROM sqlite_sequence", "SELECT max(seq) FROM scan", "SELECT max(seq) FROM body"):
        with contextlib.suppress(sqlite3.Error):
            row = old.execute(query).fetchone()
            if row and row[0]:
                return int(row[0])
    return 0


def _by_number(old: sqlite3.Connection, table: str, highest: int) -> Iterator[Sequence[Any]]:
    """All rows whose page can be read: ranges first, and one by one inside a range that fails."""
    step = 256
    for start in range(0, highest + 1, step):
        query = f"SELECT * FROM {table} WHERE rowid >= ? AND rowid < ? ORDER BY rowid"  # noqa: S608
        try:
            yield from old.execute(query, (start, start + step)).fetchall()
        except sqlite3.Error:
            for number in range(start, start + step):
                yield from _readable(old, f"SELECT * FROM {table} WHERE rowid = ?", (number,))  # noqa: S608


def _readable(old: sqlite3.Connection, query: str, arguments: Sequence[Any]) -> Iterator[Sequence[Any]]:
    with contextlib.suppress(sqlite3.Error):
        cursor = old.execute(query, arguments)
        while (row := cursor.fetchone()) is not None:
            yield row


def _insert(new: sqlite3.Connection, table: str, rows: Iterator[Sequence[Any]]) -> None:
    for row in rows:
        marks = ",".join("?" * len(row))
        with contextlib.suppress(sqlite3.IntegrityError):
            new.execute(f"INSERT OR REPLACE INTO {table} VALUES({marks})", tuple(row))


def _verifies(database: Database, old: sqlite3.Connection, row: Sequence[Any]) -> bool:
    seq, body, blob = row
    try:
        sha256 = old.execute("SELECT sha256 FROM scan WHERE seq=?", (seq,)).fetchone()
        body = database.blobs.read(blob) if body is None else body
    except (sqlite3.Error, OSError):
        return False
    return sha256 is not None and hashlib.sha256(body).digest() == sha256[0]
