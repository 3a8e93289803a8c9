"""SCRIBE's SQLite file, opened so that neither it nor SCRIBE takes harm."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from urllib.parse import quote

from scribe_export.errors import Misconfigured, Rejected, SinkError, Transient
from scribe_export.filesystem import network_filesystem

# https://www.sqlite.org/rescode.html (seen 2026-11-24)
_PASSES = {
    sqlite3.SQLITE_BUSY,
    sqlite3.SQLITE_LOCKED,
    sqlite3.SQLITE_FULL,
    sqlite3.SQLITE_NOMEM,
    sqlite3.SQLITE_PROTOCOL,
    sqlite3.SQLITE_INTERRUPT,
    sqlite3.SQLITE_ABORT,
    sqlite3.SQLITE_SCHEMA,
    sqlite3.SQLITE_READONLY_DBMOVED,
}
_OPERATOR = {
    sqlite3.SQLITE_ERROR,  # no such table, no such column
    sqlite3.SQLITE_PERM,
    sqlite3.SQLITE_READONLY,
    sqlite3.SQLITE_CORRUPT,
    sqlite3.SQLITE_CANTOPEN,
    sqlite3.SQLITE_AUTH,
    sqlite3.SQLITE_NOTADB,
    sqlite3.SQLITE_CONSTRAINT_NOTNULL,  # nothing of ours is null, so it is a column that the guide does not know
}
_RECORD = {
    sqlite3.SQLITE_CONSTRAINT: "constraint",
    sqlite3.SQLITE_TOOBIG: "too_large",
    sqlite3.SQLITE_MISMATCH: "constraint",
}
_PRIMARY = 0xFF


def connect(path: Path, *, write: bool, timeout: float) -> sqlite3.Connection:
    """A connection without transactions of its own making, for one thread at a time; it never makes the file.

    It waits up to `timeout` seconds for SCRIBE's locks. Raises `Misconfigured` on a network filesystem or where there
    is no file, and sqlite3.Error.
    """
    if kind := network_filesystem(path):
        raise Misconfigured(
            f"{path}: lies on {kind}, where SQLite's locks do not hold and reading while SCRIBE writes may damage or "
            "miss scans; run where the file's disk is, or use type: scribe_api"
        )
    if not path.is_file():
        raise Misconfigured(f"{path}: no such file; SCRIBE makes its database itself, so check the path")
    uri = f"file:{quote(str(path.resolve()))}?mode={'rw' if write else 'ro'}"
    return sqlite3.connect(uri, uri=True, timeout=timeout, isolation_level=None, check_same_thread=False)


@contextmanager
def reading(path: Path, timeout: float) -> Iterator[sqlite3.Connection]:
    """One read transaction, which sees one state of the database; raises `Misconfigured` or `Transient`."""
    try:
        with closing(connect(path, write=False, timeout=timeout)) as connection:
            connection.execute("BEGIN")
            yield connection
    except sqlite3.Error as error:
        known = classify(error, path)
        if known is None:
            raise
        raise known from error


def classify(error: Exception, path: Path) -> SinkError | None:
    """SQLite's error in the framework's terms, by its code, for a transaction that is rolled back; else None."""
    code = getattr(error, "sqlite_errorcode", None)
    if not isinstance(error, sqlite3.Error) or code is None:
        return None
    message = f"{path}: {error} ({error.sqlite_errorname})"
    for known in (code, code & _PRIMARY):
        if known in _PASSES:
            return Transient(message, applied="no")
        if known in _OPERATOR:
            return Misconfigured(message)
        if known in _RECORD:
            return Rejected(message, kind=_RECORD[known])
    return Transient(message)
