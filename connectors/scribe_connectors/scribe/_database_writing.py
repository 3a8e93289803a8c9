"""Rows for scans from elsewhere, each once, in SCRIBE's own table and a table beside it."""

import sqlite3
import threading
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from scribe_connectors.scribe._database_entries import Entry
from scribe_connectors.scribe._database_file import classify, connect
from scribe_connectors.scribe._database_rows import COLUMNS, PARTS
from scribe_export.archives.codec import same_json
from scribe_export.errors import Conflict, PartialFailure, Rejected, SinkError, Transient
from scribe_export.options import OnConflict

DELIVERED = """CREATE TABLE IF NOT EXISTS scribe_export_delivered (
    scan_key TEXT NOT NULL,
    version TEXT NOT NULL,
    row_id INTEGER NOT NULL,
    added INTEGER NOT NULL,
    sha256 TEXT NOT NULL,
    received_at REAL NOT NULL,
    seq INTEGER NOT NULL,
    PRIMARY KEY (scan_key, version)
) WITHOUT ROWID"""
"""`row_id` is the scan's row in scan_results; `added` is 0 where SCRIBE had it already."""

# ruff: noqa: S608 - every name in these statements is the module's own
_FIND = "SELECT row_id, added, sha256, received_at, seq FROM scribe_export_delivered WHERE scan_key = ? AND version = ?"
_NOTE = "INSERT OR REPLACE INTO scribe_export_delivered VALUES (?, ?, ?, ?, ?, ?, ?)"
_ROW = f"SELECT {COLUMNS} FROM scan_results WHERE id = ?"
INSERT = f"INSERT INTO scan_results ({COLUMNS}) VALUES (?, ?, ?, ?, ?, ?)"
_UPDATE = f"UPDATE scan_results SET timestamp = ?, {', '.join(f'{name} = ?' for name in PARTS)} WHERE id = ?"


@dataclass(frozen=True, slots=True)
class _Delivered:
    row_id: int
    added: int
    sha256: str
    received_at: float
    seq: int

    @property
    def order(self) -> tuple[float, int]:
        return self.received_at, self.seq


class Writer:
    """One connection, which writes a batch in one transaction; its methods block and may be called by any thread."""

    def __init__(self, path: Path, *, timeout: float, on_conflict: OnConflict) -> None:
        self._path, self._timeout, self._on_conflict = path, timeout, on_conflict
        self._lock = threading.Lock()
        self._connection: sqlite3.Connection | None = None
        self._file = (0, 0)
        self._closed = False

    def check(self) -> None:
        """Raise `Misconfigured` or `Transient` if scans could not be written; changes nothing."""
        with self._lock:
            try:
                self._connected().execute(f"{_ROW} LIMIT 0", (0,))
            except Exception as error:
                self._drop()
                known = classify(error, self._path)
                if known is None:
                    raise
                raise known from error

    def close(self) -> None:
        """Safe twice; waits for a transaction that is being made."""
        with self._lock:
            self._closed = True
            self._drop()

    def write(self, entries: Sequence[Entry]) -> str:
        """Return once all rows are durable, saying what became of them; raises as `Sink.write`."""
        with self._lock:
            if self._closed:
                raise Transient("the sink was closed", applied="no")
            try:
                verbs, errors = self._transact(self._connected(), entries)
            except Exception as error:
                self._drop()
                known = classify(error, self._path)
                if known is None:
                    raise
                raise known from error
            if self._identity() != self._file:
                self._drop()
                raise Transient(f"{self._path}: was put in place of the file that was written to")
        if errors:
            acked = [entry.member for entry in entries if entry.member not in errors]
            raise PartialFailure(acked, errors, answer=_tally(verbs))
        return _tally(verbs)

    def _connected(self) -> sqlite3.Connection:
        """The open connection, or a new one if another file has the path now."""
        found = self._identity()
        if self._connection is None or found != self._file:
            self._drop()
            self._connection = connect(self._path, write=True, timeout=self._timeout)
            self._file = found
            # For this connection alone: a commit that returned outlives a power cut, in every journal mode.
            self._connection.execute("PRAGMA synchronous = EXTRA")
            self._connection.execute("PRAGMA fullfsync = ON")
        return self._connection

    def _identity(self) -> tuple[int, int]:
        try:
            found = self._path.stat()
        except OSError:
            return (0, 0)
        return (found.st_dev, found.st_ino)

    def _drop(self) -> None:
        connection, self._connection = self._connection, None
        if connection:
            with suppress(sqlite3.Error):
                connection.close()

    def _transact(
        self, connection: sqlite3.Connection, entries: Sequence[Entry]
    ) -> tuple[list[str], dict[int, SinkError]]:
        verbs: list[str] = []
        errors: dict[int, SinkError] = {}
        connection.execute("BEGIN IMMEDIATE")
        connection.execute(DELIVERED)
        for entry in entries:
            try:
                verbs.append(self._put(connection, entry))
            except SinkError as error:
                errors[entry.member] = error
            except sqlite3.Error as error:
                known = classify(error, self._path)
                # A trigger may have rolled back the whole transaction.
                if not isinstance(known, Rejected) or not connection.in_transaction:
                    raise
                errors[entry.member] = known
        connection.execute("COMMIT")
        return verbs, errors

    def _put(self, connection: sqlite3.Connection, entry: Entry) -> str:
        found = _find(connection, entry, entry.version)
        if found is None:
            if entry.own_id is not None and _holds(connection, entry.own_id, entry):
                _note(connection, entry, entry.version, entry.own_id, added=0)
                return "already SCRIBE's own"
            _add(connection, entry, entry.version)
            return "added"
        if found.sha256 == entry.sha256 or _holds(connection, found.row_id, entry):
            return "present"
        if self._on_conflict == "keep":
            return "kept as it was"
        if self._on_conflict == "version":
            return _add_version(connection, entry)
        if self._on_conflict == "overwrite":
            return _overwrite(connection, entry, found)
        raise Conflict(f"scan {entry.scan_key!r:.80} is there with other content, as row {found.row_id}")


def _find(connection: sqlite3.Connection, entry: Entry, version: str) -> _Delivered | None:
    row = connection.execute(_FIND, (entry.scan_key, version)).fetchone()
    return None if row is None else _Delivered(*row)


def _note(connection: sqlite3.Connection, entry: Entry, version: str, row_id: int, *, added: int) -> None:
    connection.execute(_NOTE, (entry.scan_key, version, row_id, added, entry.sha256, *entry.order))


def _add(connection: sqlite3.Connection, entry: Entry, version: str) -> None:
    row_id = connection.execute(INSERT, entry.columns).lastrowid
    _note(connection, entry, version, int(row_id or 0), added=1)


def _add_version(connection: sqlite3.Connection, entry: Entry) -> str:
    version = entry.sha256[:12]
    if _find(connection, entry, version) is not None:
        return "present"
    _add(connection, entry, version)
    return "added as a version"


def _overwrite(connection: sqlite3.Connection, entry: Entry, found: _Delivered) -> str:
    if found.order > entry.order:
        return "superseded"
    # SCRIBE's own rows stay as they are.
    if not found.added or not connection.execute(_UPDATE, (*entry.columns, found.row_id)).rowcount:
        _add(connection, entry, entry.version)
    else:
        _note(connection, entry, entry.version, found.row_id, added=1)
    return "overwritten"


def _holds(connection: sqlite3.Connection, row_id: int, entry: Entry) -> bool:
    """Whether the row says the same as the scan."""
    row = connection.execute(_ROW, (row_id,)).fetchone()
    return (
        row is not None
        and row[0] == entry.columns[0]
        and all(_same(there, given) for there, given in zip(row[1:], entry.columns[1:], strict=True))
    )


def _same(there: Any, given: str) -> bool:
    return there == given or (isinstance(there, str) and same_json(there.encode(), given.encode()))


def _tally(verbs: Sequence[str]) -> str:
    return ", ".join(f"{verbs.count(verb)} {verb}" for verb in sorted(set(verbs)))
