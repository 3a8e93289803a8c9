"""Scan requests: accepted, started, then done or failed, so that none is performed twice.

One found started after a crash has an unknown outcome: the guide's API has no idempotency key. A request whose source
answers has its reply owed until the requester's service confirmed it.
"""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import msgspec

from scribe_export.errors import JournalFull
from scribe_export.journal.database import Database
from scribe_export.journal.ingest import NO_DESTINATION, remember
from scribe_export.model import ScanRequest

REQUEST = "request"
"""The class of a dead letter that is a request."""
OWED = 1
_COLUMNS = "id, request_id, body, state, seq, error, source, owed, message, answer, reply_to"


@dataclass(frozen=True, slots=True)
class RequestRow:
    """`seq` is the completed scan's number in the journal, once there is one.

    `source` is where it came from, empty for one of this process's own; `message` are its bytes as they came. `owed`: the
    requester has no confirmed reply yet; until it has, `answer` is the completed scan. `reply_to` is `Incoming.reply_to`.
    """

    id: int
    request_id: str
    request: ScanRequest
    state: str
    seq: int | None
    error: str
    source: str = ""
    owed: bool = False
    message: bytes = b""
    answer: bytes = b""
    reply_to: str = ""


@dataclass(frozen=True, slots=True)
class NewRequest:
    """A request on its way in. `invalid` says why it can never be performed."""

    request_id: str
    request: ScanRequest
    message: bytes
    invalid: str = ""
    reply_to: str = ""


def accept(db: Database, request_id: str, request: ScanRequest) -> bool:
    """Journal a request of this process's own; False if it came before."""
    return _accept(db, NewRequest(request_id, request, b""), source="", owed=False)


def accept_from(
    db: Database,
    requests: Sequence[NewRequest],
    *,
    source: str,
    replies: bool,
    checkpoint: Mapping[str, str | None] | None = None,
) -> int:
    """Journal what a source delivered, and what it will remember; how many are new. The invalid become dead letters.

    Raises `JournalFull` at the quota.
    """
    if requests and db.used() >= db.quota:
        raise JournalFull(f"the journal's quota of {db.quota} bytes is used up")
    new = 0
    for one in requests:
        if _accept(db, one, source=source, owed=replies):
            new += 1
            if one.invalid:
                fail(db, one.request_id, one.invalid)
                db.after_commit.append(db.tally.turned_away(source))
    remember(db, source, checkpoint)
    return new


def _accept(db: Database, new: NewRequest, *, source: str, owed: bool) -> bool:
    cursor = db.connection.execute(
        "INSERT OR IGNORE INTO request(request_id, body, state, at, source, owed, message, reply_to)"
        " VALUES(?, ?, 'accepted', ?, ?, ?, ?, ?)",
        (new.request_id, msgspec.json.encode(new.request), db.clock.now(), source, owed, new.message, new.reply_to),
    )
    return cursor.rowcount == 1


def start(db: Database, request_id: str) -> None:
    """The scanner is about to be asked."""
    db.connection.execute("UPDATE request SET state='started' WHERE request_id=?", (request_id,))


def put_back(db: Database, request_id: str) -> None:
    """The scanner surely did not perform it: it waits again."""
    db.connection.execute("UPDATE request SET state='accepted' WHERE request_id=?", (request_id,))


def finish(db: Database, request_id: str, *, seq: int | None, answer: bytes) -> None:
    """The request was performed, its scan journalled as `seq` in the same transaction, or answered from a cache."""
    db.connection.execute(
        "UPDATE request SET state='done', seq=?, error='', answer=iif(owed=1, ?, x'') WHERE request_id=?",
        (seq, answer, request_id),
    )
    db.after_commit.append(db.tally.ended("done"))


def fail(db: Database, request_id: str, error: str, *, seq: int | None = None) -> None:
    """The request cannot be performed, or nobody knows if it was; one that came from a source is a dead letter.

    `seq` is that of what the scanner answered, if that is no scan.
    """
    db.connection.execute(
        "UPDATE request SET state='failed', error=?, seq=? WHERE request_id=?", (error[:512], seq, request_id)
    )
    db.after_commit.append(db.tally.ended("failed"))
    row = find_request(db, request_id)
    if row is not None and row.source:
        _bury(db, row)


def revive(db: Database, seqs: Sequence[int]) -> list[str]:
    """Dead requests wait to be performed again, and to be answered anew; their ids."""
    revived = []
    for seq in seqs:
        (letter,) = db.connection.execute("SELECT scan_id FROM scan WHERE seq=?", (seq,)).fetchone()
        request_id = letter.removeprefix(_letter(""))
        cursor = db.connection.execute(
            "UPDATE request SET state='accepted', error='', seq=NULL, owed=(owed > 0)"
            " WHERE request_id=? AND state='failed'",
            (request_id,),
        )
        if cursor.rowcount:
            revived.append(request_id)
    return revived


def find_request(db: Database, request_id: str) -> RequestRow | None:
    """A request by its id."""
    rows = _rows(db, "WHERE request_id=?", request_id)
    return rows[0] if rows else None


def unfinished(db: Database) -> list[RequestRow]:
    """Accepted or started, oldest first: what a restart has to look at."""
    return _rows(db, "WHERE state IN ('accepted', 'started') ORDER BY id")


def accepted_after(db: Database, after: int, limit: int) -> list[RequestRow]:
    """The next that wait, oldest first; `after` is the row id of the last one seen."""
    return _rows(db, "WHERE state='accepted' AND id > ? ORDER BY id LIMIT ?", after, limit)


def owed(db: Database, source: str, limit: int) -> list[RequestRow]:
    """Finished requests of a source whose requesters have no confirmed reply, oldest first."""
    return _rows(db, "WHERE source=? AND owed=1 AND state IN ('done', 'failed') ORDER BY id LIMIT ?", source, limit)


def replied(db: Database, rows: Sequence[RequestRow]) -> None:
    """The requesters have their replies, confirmed."""
    db.connection.executemany("UPDATE request SET owed=2, answer=x'' WHERE id=?", [(row.id,) for row in rows])


def _rows(db: Database, where: str, *values: object) -> list[RequestRow]:
    found = db.connection.execute(f"SELECT {_COLUMNS} FROM request {where}", values)  # noqa: S608 - constants
    return [
        RequestRow(
            id=row[0],
            request_id=row[1],
            request=msgspec.json.decode(row[2], type=ScanRequest),
            state=row[3],
            seq=row[4],
            error=row[5],
            source=row[6],
            owed=row[7] == OWED,
            message=row[8],
            answer=row[9],
            reply_to=row[10],
        )
        for row in found
    ]


def _letter(request_id: str) -> str:
    return f"request:{request_id}"


def _bury(db: Database, row: RequestRow) -> None:
    """A dead letter holds the message, under a name that no scan from a source has."""
    run, now = db.connection.execute, db.clock.now()
    known = run("SELECT seq FROM scan WHERE scan_id=?", (_letter(row.request_id),)).fetchone()
    if known is None:
        inserted = run(
            "INSERT INTO scan(scan_id, version, sha256, size, routes, source, at) VALUES(?,1,?,?,0,?,?)",
            (_letter(row.request_id), hashlib.sha256(row.message).digest(), len(row.message), row.source, now),
        )
        known = (inserted.lastrowid,)
    run("INSERT OR REPLACE INTO body VALUES(?,NULL,?)", (known[0], row.message))
    run("INSERT OR REPLACE INTO delivery VALUES(?,?,?,?,?)", (NO_DESTINATION, known[0], REQUEST, row.error, now))
    db.after_commit.append(db.tally.buried(NO_DESTINATION, [REQUEST]))
