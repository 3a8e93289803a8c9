"""What became of scans and requests whose sources wait for it, in a journal that lies in memory.

A scan is decided when no lane is still before it and no open batch holds it; a request when it has ended, its requester
has the reply, and the scan it brought is decided.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from scribe_export.journal.collect import remove_bodies
from scribe_export.journal.database import Database
from scribe_export.journal.dead import DeadLetter, dead_letters, discard

Dead = Mapping[int, list[DeadLetter]]
"""The dead letters of scans, by their numbers."""

_UNDECIDED = """SELECT seq FROM scan WHERE seq IN ({seqs}) AND (
  EXISTS(SELECT 1 FROM destination WHERE routes >> id & 1 AND sealed_seq < seq)
  OR EXISTS(SELECT 1 FROM batch WHERE state='open' AND NOT explicit AND seq BETWEEN first_seq AND last_seq
    AND routes >> destination & 1)
  OR EXISTS(SELECT 1 FROM member JOIN batch ON batch.id = member.batch WHERE member.seq = scan.seq AND state='open'))"""


@dataclass(frozen=True, slots=True)
class Judged:
    """Numbers of scans: of `decided` nothing is on its way any more, and `gone` are known no longer."""

    decided: frozenset[int]
    gone: frozenset[int]


def judged(db: Database, seqs: Iterable[int]) -> Judged:
    """Which of these scans are decided."""
    wanted = frozenset(seqs)
    # Numbers of our own, and more of them than a statement takes as parameters.
    listed = ",".join(map(str, wanted))
    known = {seq for (seq,) in db.connection.execute(f"SELECT seq FROM scan WHERE seq IN ({listed})")}  # noqa: S608
    open_ones = {seq for (seq,) in db.connection.execute(_UNDECIDED.format(seqs=listed))}
    return Judged(frozenset(known - open_ones), wanted - known)


def ended_requests(db: Database, request_ids: Iterable[str]) -> dict[str, int | None]:
    """Those among these requests that have ended and were answered, each with its scan's number, if it has one.

    One that failed has the number of its dead letter; one that is not known has 0, which no scan has.
    """
    ended: dict[str, int | None] = {}
    for request_id in request_ids:
        row = db.connection.execute(
            "SELECT state IN ('done', 'failed') AND owed <> 1, iif(state='done', request.seq, letter.seq) FROM request"
            " LEFT JOIN scan AS letter ON letter.scan_id = 'request:' || request_id WHERE request_id=?",
            (request_id,),
        ).fetchone()
        if row is None or row[0]:
            ended[request_id] = row[1] if row else 0
    return ended


def take_dead(db: Database) -> Dead:
    """All dead letters, which from now on are the caller's: the journal has them no more."""
    letters = list(dead_letters(db))
    found: defaultdict[int, list[DeadLetter]] = defaultdict(list)
    for letter in letters:
        found[letter.seq].append(letter)
    discard(db, letters)
    return found


def forget(db: Database, seqs: Iterable[int]) -> None:
    """Know these scans, and the requests that ended with them, no more: they are new when they come again."""
    for seq in seqs:
        remove_bodies(db, seq - 1, seq, 0)
        db.connection.execute(
            "DELETE FROM request WHERE seq=?1 OR 'request:' || request_id = (SELECT scan_id FROM scan WHERE seq=?1)",
            (seq,),
        )
        db.connection.execute("DELETE FROM scan WHERE seq=?", (seq,))
