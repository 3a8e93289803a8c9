"""The destinations a journal knows, each with the bit that stands for it in a scan's routes."""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from scribe_export.errors import JournalError
from scribe_export.journal.batches import batches, members_of, remove_batch
from scribe_export.journal.database import Database
from scribe_export.journal.ingest import last_seq
from scribe_export.journal.receipts import write_act, write_change, write_receipt

MAX_DESTINATIONS = 63
_REMOVED = "removed"
DISCARDED_AT_ONCE = 1000
"""Scans that one receipt of a discarded backlog lists."""


@dataclass(frozen=True, slots=True)
class DestinationRow:
    """`sealed_seq`: every scan up to it that was routed here is in a batch, settled or an exception.

    `paused` by an operator: nothing is sent there until it is resumed.
    """

    id: int
    name: str
    state: str
    sealed_seq: int
    delivered: int
    delivered_bytes: int
    breaker: Mapping[str, Any]
    paused: bool = False


def destinations(db: Database) -> list[DestinationRow]:
    """All of them, orphans too."""
    rows = db.connection.execute(
        "SELECT id, name, state, sealed_seq, delivered, delivered_bytes, breaker, paused FROM destination ORDER BY id"
    )
    return [
        DestinationRow(number, name, state, sealed, delivered, size, json.loads(breaker), bool(paused))
        for number, name, state, sealed, delivered, size, breaker, paused in rows.fetchall()
    ]


def register(db: Database, names: Iterable[str]) -> dict[str, DestinationRow]:
    """Make the journal's destinations those of the config.

    A new one starts after the last scan journalled; one that is missing becomes an orphan, whose backlog is kept; one
    that comes back goes on where it stood. Batches open from an earlier run may have been applied by it. After a
    recovery that lost all destinations, everything still here is sent to all.
    """
    wanted = list(names)
    known = {row.name: row for row in destinations(db)}
    for name, row in known.items():
        state = "active" if name in wanted else "orphaned"
        if row.state != state:
            db.connection.execute("UPDATE destination SET state=? WHERE id=?", (state, row.id))
    send_again = bool(db.meta("send_again"))
    start = 0 if send_again else last_seq(db)
    for name in wanted:
        if name not in known:
            db.connection.execute(
                "INSERT INTO destination(id, name, sealed_seq) VALUES(?,?,?)", (_free_bit(db), name, start)
            )
    if send_again:
        mask = sum(1 << row.id for row in destinations(db))
        db.connection.execute("UPDATE scan SET routes=? WHERE seq IN (SELECT seq FROM body)", (mask,))
        db.connection.execute("DELETE FROM meta WHERE key='send_again'")
    db.connection.execute("UPDATE batch SET unknown=1 WHERE state='open'")
    found = {row.name: row for row in destinations(db)}
    return {name: found[name] for name in wanted}


def keep_breaker(db: Database, destination: int, snapshot: Mapping[str, Any]) -> None:
    """Remember a breaker, so that a restart neither forgets nor hammers."""
    db.connection.execute("UPDATE destination SET breaker=? WHERE id=?", (json.dumps(snapshot), destination))


def keep_paused(db: Database, name: str, *, paused: bool) -> bool:
    """Hold a destination or let it go on, at an operator's word; returns whether that changed anything.

    One that goes on is tried at once, whatever rest it was given.
    """
    if not paused:
        db.connection.execute(
            "UPDATE batch SET next_at=0 WHERE state='open' AND destination=(SELECT id FROM destination WHERE name=?)",
            (name,),
        )
        db.connection.execute("UPDATE destination SET breaker='{}' WHERE name=?", (name,))
    changed = db.connection.execute(
        "UPDATE destination SET paused=?1 WHERE name=?2 AND paused<>?1", (int(paused), name)
    ).rowcount
    if changed:
        write_change(db, name, "paused" if paused else "resumed")
    return bool(changed)


def orphan(db: Database, name: str) -> DestinationRow:
    """A destination that has left the config; raises `JournalError` for any other name."""
    rows = {row.name: row for row in destinations(db)}
    if name not in rows:
        raise JournalError(f"no destination {name!r} in this journal")
    if rows[name].state != "orphaned":
        raise JournalError(f"destination {name!r} is in the config; take it out first")
    return rows[name]


def forget(db: Database, name: str) -> int:
    """Discard an orphan with its backlog, at an operator's word; returns how many scans it still held."""
    row = orphan(db, name)
    held = 0
    for state in ("open", "dead"):
        for batch in batches(db, row.id, state):
            members = [member.seq for member in members_of(db, batch)] if batch.explicit else None
            write_receipt(db, batch, "discarded", "by an operator", members, batch.count)
            remove_batch(db, batch)
            held += batch.count
    exceptions = db.connection.execute("SELECT seq FROM delivery WHERE destination=? ORDER BY seq", (row.id,))
    waiting = db.connection.execute(
        "SELECT seq FROM scan WHERE seq > ?1 AND routes & ?2 ORDER BY seq", (row.sealed_seq, 1 << row.id)
    )
    for seqs in (exceptions.fetchall(), waiting.fetchall()):
        for start in range(0, len(seqs), DISCARDED_AT_ONCE):
            write_act(db, name, "discarded", [seq for (seq,) in seqs[start : start + DISCARDED_AT_ONCE]])
        held += len(seqs)
    db.connection.execute("DELETE FROM delivery WHERE destination=?", (row.id,))
    db.connection.execute(
        "UPDATE scan SET routes = routes & ~?1 WHERE seq > ?2 AND routes & ?1", (1 << row.id, row.sealed_seq)
    )
    db.connection.execute("DELETE FROM destination WHERE id=?", (row.id,))
    former = _former(db)
    removed = {**former, name: former.get(name, 0) | 1 << row.id}
    db.connection.execute("INSERT OR REPLACE INTO meta VALUES(?,?)", (_REMOVED, json.dumps(removed)))
    write_change(db, name, "removed")
    return held


def masks(db: Database) -> dict[str, int]:
    """Every bit that a destination ever had, by its name: by them its receipts' ranges are read.

    One that was drained or discarded and comes back under its name gets another bit.
    """
    found = _former(db)
    for number, name in db.connection.execute("SELECT id, name FROM destination"):
        found[name] = found.get(name, 0) | 1 << number
    return found


def _former(db: Database) -> dict[str, int]:
    found: dict[str, int] = json.loads(db.meta(_REMOVED) or "{}")
    return found


def _free_bit(db: Database) -> int:
    """The lowest bit never used; when all were, one that no scan still here holds."""
    used = {row.id for row in destinations(db)}
    highest = int(db.meta("next_bit") or 0)
    if highest < MAX_DESTINATIONS:
        db.connection.execute("INSERT OR REPLACE INTO meta VALUES('next_bit', ?)", (str(highest + 1),))
        return highest
    held = db.connection.execute("SELECT routes FROM scan JOIN body USING(seq)")
    mask = 0
    for (routes,) in held:
        mask |= routes
    for bit in range(MAX_DESTINATIONS):
        if bit not in used and not mask >> bit & 1:
            return bit
    raise JournalError(
        f"{MAX_DESTINATIONS} destinations hold scans in this journal; drain or discard those that left the config"
    )
