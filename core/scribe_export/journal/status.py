"""What an operator sees: counted from the journal's rows, by any process, while the exporter runs or not."""

import json
import sqlite3
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from scribe_export.errors import JournalError
from scribe_export.journal.schema import BLOB_BYTES, SCHEMA_VERSION, too_new, too_old

_QUERY = """
SELECT id, name, state, delivered, delivered_bytes, breaker,
  (SELECT count(*) FROM scan WHERE seq > sealed_seq AND routes & (1 << destination.id))
    + (SELECT coalesce(sum(count), 0) FROM batch WHERE destination = destination.id AND state = 'open'),
  (SELECT count(*) FROM delivery WHERE destination = destination.id)
    + (SELECT coalesce(sum(count), 0) FROM batch WHERE destination = destination.id AND state = 'dead'),
  (SELECT min(first_seq) FROM batch WHERE destination = destination.id AND state = 'open'),
  (SELECT seq FROM scan WHERE seq > sealed_seq AND routes & (1 << destination.id) ORDER BY seq LIMIT 1),
  paused
FROM destination ORDER BY id
"""


@dataclass(frozen=True, slots=True)
class DestinationStatus:
    """`pending` scans are neither delivered nor dead; `breaker` is closed, open or half_open.

    `paused` by an operator: nothing is sent there until it is resumed.
    """

    name: str
    state: str
    pending: int
    delivered: int
    dead: int
    delivered_bytes: int
    breaker: str
    oldest_pending_seconds: float
    last_error: str
    paused: bool


@dataclass(frozen=True, slots=True)
class JournalStatus:
    """`scans` ever journalled; `invalid` bodies were no scans; `unrouted` matched no rule."""

    destinations: tuple[DestinationStatus, ...]
    scans: int
    duplicates: int
    conflicts: int
    unrouted: int
    invalid: int


def journal_status(connection: sqlite3.Connection, now: float) -> JournalStatus:
    """Count everything; `now` in seconds since the epoch."""
    run = connection.execute
    found = []
    for row in run(_QUERY).fetchall():
        breaker: Mapping[str, Any] = json.loads(row[5])
        seqs = [seq for seq in row[8:10] if seq is not None]
        oldest = (
            run("SELECT at FROM scan WHERE seq >= ? ORDER BY seq LIMIT 1", (min(seqs),)).fetchone() if seqs else None
        )
        found.append(
            DestinationStatus(
                name=row[1],
                state=row[2],
                pending=row[6],
                delivered=row[3],
                dead=row[7],
                delivered_bytes=row[4],
                breaker=str(breaker.get("state", "closed")),
                oldest_pending_seconds=max(0.0, now - oldest[0]) if oldest else 0.0,
                last_error=last_error(connection, row[0], breaker),
                paused=bool(row[10]),
            )
        )
    meta = dict(run("SELECT key, value FROM meta").fetchall())
    invalid = run("SELECT count(*) FROM delivery WHERE destination < 0").fetchone()[0]
    scans = run("SELECT coalesce(max(seq), 0) FROM sqlite_sequence WHERE name = 'scan'").fetchone()[0]
    return JournalStatus(
        tuple(found),
        scans,
        duplicates=int(meta.get("duplicates", 0)),
        conflicts=int(meta.get("conflicts", 0)),
        unrouted=int(meta.get("unrouted", 0)),
        invalid=invalid,
    )


def used_bytes(connection: sqlite3.Connection) -> int:
    """As `Database.used`."""
    run = connection.execute
    pages, free, size = (run(f"PRAGMA {name}").fetchone()[0] for name in ("page_count", "freelist_count", "page_size"))
    return int(pages - free) * int(size) + int(run(BLOB_BYTES).fetchone()[0])


def last_error(connection: sqlite3.Connection, destination: int, breaker: Mapping[str, Any]) -> str:
    """Why its breaker is open, or what the oldest batch that waits failed with last; empty if neither is."""
    if breaker.get("reason"):
        return str(breaker["reason"])
    row = connection.execute(
        "SELECT class, error FROM batch WHERE destination=? AND class <> '' AND state='open' ORDER BY first_seq LIMIT 1",
        (destination,),
    ).fetchone()
    return f"{row[0]}: {row[1]}" if row else ""


def open_read_only(path: Path) -> sqlite3.Connection:
    """A connection that can only look, beside the one that writes.

    Raises `JournalError` if there is no journal, or if it cannot be read, and `JournalTooNew`.
    """
    if not path.exists():
        raise JournalError(
            f"{path}: no journal here yet; it is made by the first run or send, and with buffer: none there is none"
        )
    try:
        try:
            connection, version = _connected(path, "mode=ro")
        except sqlite3.OperationalError:
            # On a read-only disk the files beside it cannot be made. Without a log the file itself is all there is:
            # https://sqlite.org/wal.html#readonly
            if path.with_name(path.name + "-wal").exists():
                raise
            connection, version = _connected(path, "immutable=1")
    except sqlite3.Error as error:
        raise JournalError(f"{path}: the journal cannot be read: {error}") from error
    if version > SCHEMA_VERSION:
        connection.close()
        raise too_new(path, version)
    if 0 < version < SCHEMA_VERSION:
        connection.close()
        raise too_old(path, version)
    return connection


def _connected(path: Path, how: str) -> tuple[sqlite3.Connection, int]:
    """A connection that has read something, and the journal's version."""
    uri = f"{path.resolve().as_uri()}?{how}"
    connection = sqlite3.connect(uri, uri=True, isolation_level=None, timeout=5)
    try:
        return connection, connection.execute("PRAGMA user_version").fetchone()[0]
    except sqlite3.Error:
        connection.close()
        raise
