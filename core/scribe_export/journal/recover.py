"""What can be read of a damaged journal goes into a new one: rows one by one, bodies only if their sha256 agrees.

The ledger's own rows are copied as far as they can be read. A body whose scan row is lost is journalled anew, for every
destination. A scan of which no row says whether a destination has it becomes a dead letter of class ``recovered`` there:
an operator decides whether to send it, perhaps again. Without any row of a destination everything is sent to all.
"""

import contextlib
import hashlib
import json
import os
import re
import shutil
import sqlite3
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from scribe_export.errors import InvalidScan, JournalError
from scribe_export.journal.batches import batches, members_of
from scribe_export.journal.database import FILE_NAME, PAGE_SIZE, Database
from scribe_export.journal.destinations import destinations
from scribe_export.journal.folder import sync_folder
from scribe_export.journal.ingest import ConflictMasks, NewScan, ingest
from scribe_export.journal.receipts import REPLAYED, receipts
from scribe_export.scan import read_fields

RECOVERY_NOTE = "journal.recovering"
_ASIDE = re.compile(rf"{re.escape(FILE_NAME)}\.damaged-[0-9T-]+")
_KEYED_BY_NUMBER = ("scan", "body", "batch", "receipt", "request", "shape", "destination")
_KEYED_BY_TEXT = ("meta", "member", "delivery", "cursor", "usage")
_KINDS: dict[str, type | tuple[type, ...]] = {"INTEGER": int, "TEXT": str, "REAL": (float, int), "BLOB": bytes}
_JSON = {"destination": (6, dict), "shape": (1, dict), "receipt": (5, list)}
"""Columns that hold JSON, and what."""


@dataclass(frozen=True, slots=True)
class RecoveryReport:
    """How many scans with their bodies came over, and how many bodies are known to be lost; None: nobody knows."""

    scans: int
    lost: int | None


def set_aside(folder: Path) -> Path:
    """Rename the journal and its log; returns the new path of the journal.

    A note of it stays until `recovered`, so that a recovery that is killed is done again from the same file. Nothing is
    ever removed but the unfinished copy of such a recovery. Raises `JournalError` if the disk does not let it.
    """
    try:
        aside = _noted(folder)
        if aside is None:
            aside = _free_name(folder)
            _write_note(folder, aside.name)
        begun = aside.is_file()
        for suffix in ("-wal", "-shm", ""):
            source = folder / (FILE_NAME + suffix)
            if begun:
                source.unlink(missing_ok=True)
            elif source.exists():
                source.rename(Path(str(aside) + suffix))
        sync_folder(folder)
    except OSError as error:
        raise JournalError(f"{folder}: the damaged journal cannot be set aside: {error.strerror}") from None
    return aside


def _noted(folder: Path) -> Path | None:
    """The file that a recovery was begun from; None without a whole note of one."""
    try:
        name = (folder / RECOVERY_NOTE).read_text(encoding="utf-8")
    except (FileNotFoundError, UnicodeDecodeError):
        return None
    return folder / name if _ASIDE.fullmatch(name) else None


def _write_note(folder: Path, name: str) -> None:
    """Whole or not at all."""
    unfinished = folder / f"{RECOVERY_NOTE}.new"
    unfinished.touch(mode=0o600)
    with unfinished.open("w", encoding="utf-8") as file:
        file.write(name)
        file.flush()
        os.fsync(file.fileno())
    unfinished.rename(folder / RECOVERY_NOTE)
    sync_folder(folder)


def interrupted(folder: Path) -> bool:
    """Whether a recovery was begun and not ended."""
    return _noted(folder) is not None


def recovered(folder: Path) -> None:
    """The new journal holds all that the damaged one had; from here on it is the journal."""
    (folder / RECOVERY_NOTE).unlink(missing_ok=True)
    sync_folder(folder)


def _free_name(folder: Path) -> Path:
    stamp = time.strftime("%Y%m%dT%H%M%S")
    aside = folder / f"{FILE_NAME}.damaged-{stamp}"
    number = 1
    while aside.exists():
        number += 1
        aside = folder / f"{FILE_NAME}.damaged-{stamp}-{number}"
    return aside


def recover(database: Database, damaged: Path) -> RecoveryReport:
    """Copy what verifies from a damaged journal into a new, empty one, in one transaction."""
    old = _opened(damaged) or _opened(with_new_first_page(database, damaged))
    if old is None:
        return RecoveryReport(0, None)
    try:
        with database.transaction():
            return _copy(database, old)
    finally:
        old.close()
        _patched(damaged).unlink(missing_ok=True)


def _opened(path: Path) -> sqlite3.Connection | None:
    """None if neither scans nor bodies can be looked for in it, from either end."""
    old = sqlite3.connect(path, isolation_level=None)
    for look in ("max(seq) FROM scan", "max(seq) FROM body", "min(seq) FROM scan", "min(seq) FROM body"):
        with contextlib.suppress(sqlite3.Error):
            old.execute(f"SELECT {look}").fetchone()
            return old
    old.close()
    return None


def with_new_first_page(database: Database, damaged: Path) -> Path:
    """A copy of a journal with the first page of an empty one, where every table begins at the same page.

    The first page also says how long the file is (https://sqlite.org/fileformat2.html#in_header_database_size).
    """
    patched = _patched(damaged)
    patched.touch(mode=0o600)
    shutil.copyfile(damaged, patched)
    database.connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    with database.path.open("rb") as source:
        page = bytearray(source.read(PAGE_SIZE))
    pages = patched.stat().st_size // PAGE_SIZE
    page[28:32] = pages.to_bytes(4, "big")
    page[32:40] = bytes(8)  # no free pages: what the old list held is only garbage to be passed over
    with patched.open("r+b") as file:
        file.write(page)
    return patched


def _patched(damaged: Path) -> Path:
    return damaged.with_name(f"{damaged.name}.patched")


def _copy(database: Database, old: sqlite3.Connection) -> RecoveryReport:
    new = database.connection
    highest = _highest(old)
    for table in _KEYED_BY_TEXT:
        _insert(new, table, _readable(old, f"SELECT * FROM {table}", ()))  # noqa: S608
    for table in _KEYED_BY_NUMBER:
        _insert(new, table, _by_number(old, table, highest))
    new.execute("DELETE FROM sqlite_sequence WHERE name='scan'")
    new.execute("INSERT INTO sqlite_sequence(name, seq) VALUES('scan', ?)", (highest,))
    database.uuid = database.meta("uuid")
    _readopt(database)
    new.execute("DELETE FROM delivery WHERE seq NOT IN (SELECT seq FROM scan)")
    lost = _dead_letter_lost_bodies(database)
    _break_up_incomplete(database)
    _dead_letter_unaccounted(database)
    kept = new.execute("SELECT count(*) FROM body").fetchone()[0]
    if not destinations(database):
        for table in ("batch", "member", "delivery WHERE destination >= 0"):
            new.execute(f"DELETE FROM {table}")  # noqa: S608
        new.execute("UPDATE scan SET routes=0 WHERE seq NOT IN (SELECT seq FROM body)")
        new.execute("INSERT OR REPLACE INTO meta VALUES('send_again', '1')")
    return RecoveryReport(kept, lost)


def _readopt(database: Database) -> None:
    """Keep the bodies that verify; journal anew those whose scan row is lost, or damaged while the body is whole."""
    new = database.connection
    mask = sum(1 << row.id for row in destinations(database))
    for seq, body, blob, sha256, size in new.execute(
        "SELECT body.seq, CAST(bytes AS BLOB), blob, sha256, size FROM body LEFT JOIN scan USING(seq)"
    ).fetchall():
        try:
            raw = database.blobs.read(blob) if body is None else body
        except OSError:
            raw = b""
        found = hashlib.sha256(raw)
        if sha256 == found.digest():
            continue
        new.execute("DELETE FROM body WHERE seq=?", (seq,))
        scan = _scan_of(raw, found.hexdigest(), mask, blob)
        if sha256 is not None:
            if scan.invalid or size == len(raw):
                continue
            new.execute("DELETE FROM scan WHERE seq=?", (seq,))
        ingest(database, [scan], conflicts=ConflictMasks())


def _scan_of(raw: bytes, digest: str, mask: int, blob: str | None) -> NewScan:
    try:
        return NewScan(read_fields(raw).scan_id, digest, raw, "recovered", mask, blob=blob)
    except InvalidScan as error:
        why = ("recovered", f"the journal was damaged: {error}")
        return NewScan(f"sha256:{digest}", digest, raw, "recovered", invalid=why, blob=blob)


def _dead_letter_lost_bodies(database: Database) -> int:
    """Scans still to be sealed whose bodies are gone become dead letters of class ``corrupt``; returns how many."""
    new = database.connection
    lost = new.execute(
        "SELECT scan.seq, destination.id FROM scan JOIN destination ON scan.routes & (1 << destination.id)"
        " AND scan.seq > destination.sealed_seq WHERE scan.seq NOT IN (SELECT seq FROM body)"
    ).fetchall()
    for seq, destination in lost:
        new.execute("UPDATE scan SET routes = routes & ~(1 << ?) WHERE seq=?", (destination, seq))
        new.execute(
            "INSERT OR IGNORE INTO delivery VALUES(?,?,'corrupt','lost with a damaged part of the journal',?)",
            (destination, seq, database.clock.now()),
        )
    return len({seq for seq, _ in lost})


def _break_up_incomplete(database: Database) -> None:
    """A batch whose shape or some of whose members' rows are lost cannot be sent as it was: its scans are dead letters.

    Where only a body is lost, its members are written down, so that they stay its members without one.
    """
    new = database.connection
    for number, destination, first, last, explicit, count, shaped in new.execute(
        "SELECT batch.id, destination, first_seq, last_seq, explicit, count, shape.id IS NOT NULL"
        " FROM batch LEFT JOIN shape ON shape.id = batch.shape"
    ).fetchall():
        query, arguments = (
            ("SELECT seq FROM scan WHERE seq BETWEEN ? AND ? AND routes & ?", (first, last, 1 << destination))
            if not explicit
            else ("SELECT seq FROM member JOIN scan USING(seq) WHERE batch=?", (number,))
        )
        members = [seq for (seq,) in new.execute(query, arguments).fetchall()]
        if shaped and len(members) == count:
            new.execute("UPDATE batch SET explicit=1 WHERE id=?", (number,))
            new.executemany("INSERT OR IGNORE INTO member VALUES(?,?)", [(number, seq) for seq in members])
            continue
        new.execute("DELETE FROM batch WHERE id=?", (number,))
        new.execute("DELETE FROM member WHERE batch=?", (number,))
        new.executemany(
            "INSERT OR IGNORE INTO delivery VALUES(?,?,'recovered',?,?)",
            [
                (destination, seq, "the journal was damaged: whether it was delivered is not known", 0.0)
                for seq in members
            ],
        )
    new.execute("DELETE FROM member WHERE batch NOT IN (SELECT id FROM batch)")


def _dead_letter_unaccounted(database: Database) -> None:
    """Scans before a cursor that no batch, exception or receipt accounts for: their rows were lost."""
    new = database.connection
    written = list(receipts(database))
    for destination in destinations(database):
        accounted = {
            member.seq
            for state in ("open", "dead")
            for batch in batches(database, destination.id, state)
            for member in members_of(database, batch)
        }
        mine = [r for r in written if r.destination == destination.name and r.outcome != REPLAYED]
        for (seq,) in new.execute(
            "SELECT scan.seq FROM scan JOIN body USING(seq) WHERE scan.seq <= ? AND routes & ?",
            (destination.sealed_seq, 1 << destination.id),
        ).fetchall():
            if seq not in accounted and not any(receipt.covers(seq) for receipt in mine):
                new.execute(
                    "INSERT OR IGNORE INTO delivery VALUES(?,?,'recovered',?,?)",
                    (destination.id, seq, "the journal was damaged: whether it was delivered is not known", 0.0),
                )


def _highest(old: sqlite3.Connection) -> int:
    for query in ("SELECT max(seq) FROM sqlite_sequence", "SELECT max(seq) FROM scan", "SELECT max(seq) FROM body"):
        with contextlib.suppress(sqlite3.Error):
            row = old.execute(query).fetchone()
            if row and row[0]:
                return int(row[0])
    return 0


def _by_number(old: sqlite3.Connection, table: str, highest: int) -> Iterator[Sequence[Any]]:
    """All rows that can be found: ranges first, then one by one what a range that fails or has gaps did not give.

    Where a page above is damaged, a range may end early without an error, and its rows still be found by their numbers.
    """
    step = 256
    for start in range(0, highest + 1, step):
        query = f"SELECT * FROM {table} WHERE rowid >= ? AND rowid < ? ORDER BY rowid"  # noqa: S608
        failed, rows = False, list[Sequence[Any]]()
        try:
            rows = old.execute(query, (start, start + step)).fetchall()
        except sqlite3.Error:
            failed = True
        yield from rows
        if failed or rows:
            for number in set(range(start, start + step)).difference(row[0] for row in rows):
                yield from _readable(old, f"SELECT * FROM {table} WHERE rowid = ?", (number,))  # noqa: S608


def _readable(old: sqlite3.Connection, query: str, arguments: Sequence[Any]) -> Iterator[Sequence[Any]]:
    with contextlib.suppress(sqlite3.Error):
        cursor = old.execute(query, arguments)
        while (row := cursor.fetchone()) is not None:
            yield row


def _insert(new: sqlite3.Connection, table: str, rows: Iterable[Sequence[Any]]) -> None:
    info = new.execute(f"PRAGMA table_info({table})").fetchall()
    columns = [(kind, bool(required)) for _, _, kind, required, *_ in info]
    for row in rows:
        # An older format has fewer columns: later ones are added at the end, with a default.
        if _sound(table, columns[: len(row)], row):
            names, marks = ",".join(name for _, name, *_ in info[: len(row)]), ",".join("?" * len(row))
            with contextlib.suppress(sqlite3.IntegrityError):
                new.execute(f"INSERT OR REPLACE INTO {table}({names}) VALUES({marks})", tuple(row))


def _sound(table: str, columns: Sequence[tuple[str, bool]], row: Sequence[Any]) -> bool:
    """Whether each value is of its column's kind: SQLite has no checksums, so a damaged page may still have rows."""
    if len(row) != len(columns):
        return False
    for (kind, required), value in zip(columns, row, strict=True):
        if required if value is None else not isinstance(value, _KINDS[kind]):
            return False
    if table not in _JSON or row[_JSON[table][0]] is None:
        return True
    place, expected = _JSON[table]
    try:
        return isinstance(json.loads(row[place]), expected)
    except ValueError:
        return False
