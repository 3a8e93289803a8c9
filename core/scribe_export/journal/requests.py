"""Scan requests: accepted, started, then done or failed, so that none is performed twice.

One found started after a crash has an unknown outcome: the guide's API has no idempotency key.
"""

from dataclasses import dataclass

import msgspec

from scribe_export.journal.database import Database
from scribe_export.model import ScanRequest


@dataclass(frozen=True, slots=True)
class RequestRow:
    """`seq` is the completed scan's number in the journal, once there is one."""

    id: int
    request_id: str
    request: ScanRequest
    state: str
    seq: int | None
    error: str


def accept(db: Database, request_id: str, request: ScanRequest) -> bool:
    """Journal a request; False if it came before."""
    cursor = db.connection.execute(
        "INSERT OR IGNORE INTO request(request_id, body, state, at) VALUES(?, ?, 'accepted', ?)",
        (request_id, msgspec.json.encode(request), db.clock.now()),
    )
    return cursor.rowcount == 1


def start(db: Database, request_id: str) -> None:
    """The scanner is about to be asked."""
    db.connection.execute("UPDATE request SET state='started' WHERE request_id=?", (request_id,))


def finish(db: Database, request_id: str, *, seq: int | None = None, error: str = "") -> None:
    """The request was performed, its scan journalled as `seq` in the same transaction, or it failed."""
    db.connection.execute(
        "UPDATE request SET state=?, seq=?, error=? WHERE request_id=?",
        ("failed" if error else "done", seq, error[:512], request_id),
    )


def find_request(db: Database, request_id: str) -> RequestRow | None:
    """A request by its id."""
    row = db.connection.execute(
        "SELECT id, request_id, body, state, seq, error FROM request WHERE request_id=?", (request_id,)
    ).fetchone()
    if row is None:
        return None
    return RequestRow(row[0], row[1], msgspec.json.decode(row[2], type=ScanRequest), *row[3:])


def unfinished(db: Database) -> list[RequestRow]:
    """Accepted or started, oldest first: what a restart has to look at."""
    rows = db.connection.execute(
        "SELECT id, request_id, body, state, seq, error FROM request WHERE state IN ('accepted', 'started') ORDER BY id"
    )
    return [RequestRow(row[0], row[1], msgspec.json.decode(row[2], type=ScanRequest), *row[3:]) for row in rows]
