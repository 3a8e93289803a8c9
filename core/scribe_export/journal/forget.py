"""A scan is forgotten at an operator's word: its bodies, its dead letters, and its place in what was not sent yet.

Its row stays, so that it is known when it comes again. What may have been applied and is known only whole is not touched:
then nothing is forgotten, and the operator is told what to do first.
"""

import sqlite3
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field

import msgspec

from scribe_export.errors import ScribeExportError
from scribe_export.journal.batches import SealedBatch, batches, members_of, remove_batch, reseal
from scribe_export.journal.collect import remove_bodies
from scribe_export.journal.database import Database
from scribe_export.journal.dead import take_out
from scribe_export.journal.destinations import masks
from scribe_export.journal.receipts import BY_OPERATOR, FORGOTTEN, REPLAYED, receipts, write_act
from scribe_export.model import ScanRequest

ITS_SCAN_IS_FORGOTTEN = "its scan was forgotten by an operator"


class BeingSent(Exception):
    """Some of the batches in flight hold the scan; once they are settled it can be forgotten."""

    def __init__(self, destinations: Collection[str]) -> None:
        super().__init__(", ".join(sorted(destinations)))


@dataclass(frozen=True, slots=True)
class Went:
    """Where a version of the scan went. `state` is ``delivered``, another outcome of a receipt, ``may be there`` where an
    attempt's outcome is not known, or ``replied``; `at` in seconds since the epoch, None where nothing was confirmed."""

    destination: str
    state: str
    version: int
    batch: str = ""
    name: str = ""
    answer: str = ""
    at: float | None = None


@dataclass(slots=True)
class Forgotten:
    """What was removed, counted, and where the scan went.

    `taken_out` are the destinations that will not get it. `gone` are the open batches that held it, and `sealed` those
    that hold the others now. `unscrubbed` says why its bytes may still lie in the journal's files; empty if they do not.
    """

    scan_id: str
    versions: int
    bodies: int = 0
    dead_letters: int = 0
    requests: int = 0
    taken_out: list[str] = field(default_factory=list)
    went: list[Went] = field(default_factory=list)
    gone: list[int] = field(default_factory=list)
    sealed: list[SealedBatch] = field(default_factory=list)
    unscrubbed: str = ""


@dataclass(frozen=True, slots=True)
class _Holding:
    batch: SealedBatch
    destination: str
    rest: bool


def numbers_of(db: Database, scan_id: str) -> dict[int, int]:
    """The versions of a scan by its numbers in the journal; empty if it is not known."""
    return dict(db.connection.execute("SELECT seq, version FROM scan WHERE scan_id=? ORDER BY version", (scan_id,)))


def forget_scan(db: Database, scan_id: str, in_flight: Collection[int] = ()) -> Forgotten:
    """Forget all versions of a scan inside a transaction; the files are scrubbed after its commit.

    Raises `ScribeExportError` if it is not known, or if a batch that is known only whole holds it, and `BeingSent` if
    one of the batches `in_flight` does.
    """
    seqs = numbers_of(db, scan_id)
    if not seqs:
        raise ScribeExportError(f"scan {scan_id} is not known here; the journal remembers for journal.history")
    holding = list(_holding(db, seqs))
    if sent := {one.destination for one in holding if one.batch.id in in_flight}:
        raise BeingSent(sent)
    _refuse(db, scan_id, holding)
    run = db.connection.execute
    run("PRAGMA secure_delete=ON")
    try:
        forgotten = Forgotten(scan_id, len(seqs), went=list(_went(db, seqs, holding)))
        for one in holding:
            _take_out(db, one, seqs, forgotten)
        _keep_from_sealing(db, seqs, forgotten)
        marks = ",".join(map(str, seqs))
        forgotten.dead_letters += run(f"DELETE FROM delivery WHERE seq IN ({marks})").rowcount  # noqa: S608 - our own numbers
        forgotten.requests = _blank_requests(db, scan_id, marks)
        bodies = run(f"SELECT blob FROM body WHERE seq IN ({marks})").fetchall()  # noqa: S608 - our own numbers
        forgotten.bodies = len(bodies)
        for seq in seqs:
            remove_bodies(db, seq - 1, seq, 0)
        write_act(db, "", FORGOTTEN, list(seqs), name=scan_id, answer=_told(forgotten))
    finally:
        run("PRAGMA secure_delete=OFF")
    db.after_commit.append(lambda: _scrub(db, forgotten, [blob for (blob,) in bodies if blob]))
    return forgotten


def _holding(db: Database, seqs: Collection[int]) -> Iterator[_Holding]:
    """The batches that hold the scan, open or dead, and whether they hold others too."""
    names = dict(db.connection.execute("SELECT id, name FROM destination"))
    for state in ("open", "dead"):
        for batch in batches(db, state=state):
            if any(batch.first_seq <= seq <= batch.last_seq for seq in seqs):
                members = {member.seq for member in members_of(db, batch)}
                if members & set(seqs):
                    yield _Holding(batch, names.get(batch.destination, ""), rest=bool(members - set(seqs)))


def _refuse(db: Database, scan_id: str, holding: Sequence[_Holding]) -> None:
    whole = [one for one in holding if one.rest and not one.batch.divisible]
    if whole:
        named = "; ".join(
            f"{one.destination} ({one.batch.state}) as {one.batch.name or one.batch.batch_id}" for one in whole
        )
        raise ScribeExportError(
            f"scan {scan_id} cannot be forgotten yet, and nothing was: it is in batches that may have been stored and "
            f"can only be sent again whole, with other scans: {named}. Let them be delivered (mend the destination; `dlq "
            "replay` or `dlq discard` whole batches that are dead), then forget it"
        )
    waiting = db.connection.execute(
        "SELECT count(*) FROM request WHERE 'request:' || request_id = ? AND state IN ('accepted', 'started')",
        (scan_id,),
    ).fetchone()[0]
    if waiting:
        raise ScribeExportError(
            f"{scan_id} is still to be performed, and nothing was forgotten; wait until it has ended"
        )


def _went(db: Database, seqs: dict[int, int], holding: Sequence[_Holding]) -> Iterator[Went]:
    bits = masks(db)
    for seq, version in seqs.items():
        (routes,) = db.connection.execute("SELECT routes FROM scan WHERE seq=?", (seq,)).fetchone()
        for one in receipts(db, seq):
            routed = one.members is not None or routes & bits.get(one.destination, 0)
            if one.covers(seq) and routed and one.outcome not in {REPLAYED, FORGOTTEN}:
                yield Went(one.destination, one.outcome, version, one.batch_id, one.name, one.answer, one.at)
        for request_id, source, at in db.connection.execute(
            "SELECT request_id, source, at FROM request WHERE seq=? AND owed=2", (seq,)
        ):
            yield Went(source, "replied", version, name=request_id, at=at)
        for held in holding:
            if held.batch.unknown and held.batch.first_seq <= seq <= held.batch.last_seq:
                yield Went(held.destination, "may be there", version, held.batch.batch_id, held.batch.name)


def _take_out(db: Database, one: _Holding, seqs: Collection[int], forgotten: Forgotten) -> None:
    batch, members = one.batch, members_of(db, one.batch)
    gone = [member for member in members if member.seq in seqs]
    if batch.state == "dead":
        forgotten.dead_letters += len(gone)
        if one.rest:
            take_out(db, batch, members, gone)
        else:
            remove_batch(db, batch)
        return
    forgotten.taken_out.append(one.destination)
    forgotten.gone.append(batch.id)
    forgotten.sealed += reseal(db, batch, [[member for member in members if member.seq not in seqs]])
    remove_batch(db, batch)


def _keep_from_sealing(db: Database, seqs: Collection[int], forgotten: Forgotten) -> None:
    for bit, name, sealed in db.connection.execute("SELECT id, name, sealed_seq FROM destination").fetchall():
        for seq in seqs:
            if seq > sealed:
                taken = db.connection.execute(
                    "UPDATE scan SET routes = routes & ~?1 WHERE seq=?2 AND routes & ?1", (1 << bit, seq)
                ).rowcount
                forgotten.taken_out += [name] * taken
                db.rerouted += taken
    forgotten.taken_out = list(dict.fromkeys(forgotten.taken_out))


def _blank_requests(db: Database, scan_id: str, marks: str) -> int:
    """Requests that brought the scan, or that are it: a reply that is still owed says that it was forgotten."""
    return db.connection.execute(
        "UPDATE request SET body=?1, message=x'', answer=x'', error=iif(owed=1 OR state='failed', ?2, ''),"  # noqa: S608 - our own numbers
        f" state=iif(owed=1, 'failed', state) WHERE seq IN ({marks}) OR 'request:' || request_id = ?3",
        (msgspec.json.encode(ScanRequest()), ITS_SCAN_IS_FORGOTTEN, scan_id),
    ).rowcount


def _told(forgotten: Forgotten) -> str:
    counts = (
        (forgotten.bodies, "bodies"),
        (forgotten.dead_letters, "dead letters"),
        (len(forgotten.taken_out), "destinations that will not get it"),
        (forgotten.requests, "requests"),
    )
    return f"{BY_OPERATOR}: " + ", ".join(f"{count} {what}" for count, what in counts)


def _scrub(db: Database, forgotten: Forgotten, blobs: Sequence[str]) -> None:
    """Make the journal's file anew from its rows, and empty the log that the pages went through.

    Bodies that were removed earlier may lie in free pages too, where no deleting reaches them.
    """
    try:
        db.rebuild()
        (busy, *_) = db.connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
    except sqlite3.Error as error:
        # The scan is forgotten all the same, and the journal is as it was.
        forgotten.unscrubbed = f"the journal's file could not be made anew: {error}"
    else:
        forgotten.unscrubbed = "another process was reading the journal all the while" if busy else ""
    if blobs and db.blobs.remove(blobs):
        forgotten.unscrubbed = "the file of a large body could not be removed"
