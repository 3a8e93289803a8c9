"""Whether a journal is whole, found out beside the exporter that uses it."""

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from scribe_export.journal.chain import check_chain
from scribe_export.journal.database import Database
from scribe_export.journal.looking import reading

SHOWN = 20
PAGE = 50
"""Bodies read at once."""


@dataclass(frozen=True, slots=True)
class Checked:
    """What was looked at, and each thing that is wrong, in words."""

    bodies: int
    bytes: int
    receipts: int
    problems: tuple[str, ...]


def check_journal(folder: Path) -> Checked:
    """Read a whole journal: its pages, every body against its sha256, the chain of receipts. Raises `JournalError`."""
    with reading(folder) as db:
        problems = _pages(db)
        bodies, size, wrong = _bodies(db, folder)
        problems += wrong
        chain = check_chain(db)
        problems += [f"receipt {one.number}: {one.why}" for one in chain.broken[:SHOWN]]
        if (more := len(chain.broken) + chain.unnamed - SHOWN) > 0:
            problems.append(f"{more} more receipts are wrong; see: scribe-export audit verify")
    return Checked(bodies, size, chain.receipts, tuple(problems))


def _pages(db: Database) -> list[str]:
    found = [str(row[0]) for row in db.connection.execute(f"PRAGMA integrity_check({SHOWN})").fetchall()]
    return [] if found == ["ok"] else [f"the file is damaged: {line}" for text in found for line in text.splitlines()]


def _bodies(db: Database, folder: Path) -> tuple[int, int, list[str]]:
    count = size = 0
    wrong = list[str]()
    for seq, scan_id, sha256, bytes_, blob in _rows(db):
        body = _read(db, blob) if bytes_ is None else bytes_
        if body is None and not _still_there(folder, seq):
            continue
        count += 1
        size += len(body or b"")
        if body is None:
            wrong.append(f"scan {scan_id} (number {seq}): its body's file blobs/{blob} is missing")
        elif hashlib.sha256(body).digest() != sha256:
            wrong.append(f"scan {scan_id} (number {seq}): its body does not match its sha256")
    return count, size, list(_shortened(wrong))


def _rows(db: Database) -> Iterator[tuple[Any, ...]]:
    """A page at a time: a long look in one transaction would keep the write-ahead log from being emptied."""
    after = 0
    while True:
        rows = db.connection.execute(
            "SELECT scan.seq, scan_id, sha256, CAST(bytes AS BLOB), blob FROM body JOIN scan USING(seq)"
            " WHERE scan.seq > ? ORDER BY scan.seq LIMIT ?",
            (after, PAGE),
        ).fetchall()
        yield from rows
        if len(rows) < PAGE:
            return
        after = rows[-1][0]


def _read(db: Database, blob: str) -> bytes | None:
    try:
        return db.blobs.read(blob)
    except OSError:
        return None


def _still_there(folder: Path, seq: int) -> bool:
    """Whether today's journal has that body: a file goes as soon as its scan is delivered everywhere."""
    with reading(folder) as now:
        return now.connection.execute("SELECT 1 FROM body WHERE seq=?", (seq,)).fetchone() is not None


def _shortened(lines: list[str]) -> Iterator[str]:
    yield from lines[:SHOWN]
    if len(lines) > SHOWN:
        yield f"{len(lines) - SHOWN} more bodies are lost or do not match"
