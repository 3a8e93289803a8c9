"""What became of scans and requests whose sources wait for it, in a journal that lies in memory.

A scan is decided when no lane is still before it and no open batch holds it; a request when it has ended, its requester
has the reply, and the scan it brought is decided.
"""

from bisect import bisect_right
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from scribe_export.journal.bodies import read_body
from scribe_export.journal.collect import remove_bodies
from scribe_export.journal.database import Database
from scribe_export.journal.dead import DeadLetter, dead_letters, discard
from scribe_export.journal.ingest import bits


@dataclass(frozen=True, slots=True)
class Grave:
    """A scan's dead letters and its body, or a request's and its message."""

    letters: tuple[DeadLetter, ...]
    body: bytes


Graves = Mapping[int, Grave]
"""By the scans' numbers."""


@dataclass(frozen=True, slots=True)
class Judged:
    """Numbers of scans: of `decided` nothing is on its way any more, and `gone` are known no longer."""

    decided: frozenset[int]
    gone: frozenset[int]


def judged(db: Database, seqs: Iterable[int]) -> Judged:
    """Which of these scans are decided."""
    wanted = frozenset(seqs)
    run = db.connection.execute
    # Numbers of our own, and more of them than a statement takes as parameters.
    listed = ",".join(map(str, wanted))
    routes = dict(run(f"SELECT seq, routes FROM scan WHERE seq IN ({listed})"))  # noqa: S608
    held = {seq for (seq,) in run("SELECT seq FROM member JOIN batch ON batch.id = batch WHERE state='open'")}
    sealed: dict[int, int] = dict(run("SELECT id, sealed_seq FROM destination"))
    ranges: defaultdict[int, list[tuple[int, int]]] = defaultdict(list)
    for bit, first, last in run(
        "SELECT destination, first_seq, last_seq FROM batch WHERE state='open' AND NOT explicit ORDER BY first_seq"
    ):
        ranges[bit].append((first, last))
    waiting = {
        seq
        for seq, mask in routes.items()
        if seq in held or any(seq > sealed.get(bit, seq) or _within(ranges[bit], seq) for bit in bits(mask))
    }
    return Judged(frozenset(routes.keys() - waiting), wanted - routes.keys())


def _within(ranges: list[tuple[int, int]], seq: int) -> bool:
    """Whether one of these holds it; those of one destination do not overlap."""
    at = bisect_right(ranges, seq, key=lambda span: span[0]) - 1
    return at >= 0 and ranges[at][1] >= seq


def ended_requests(db: Database, request_ids: Iterable[str]) -> dict[str, list[int]]:
    """Those among these requests that have ended and were answered, each with the numbers of what it left.

    That is its scan, or its dead letter and what the scanner answered in a scan's place; 0, which nothing has, for a
    request that is not known.
    """
    ended: dict[str, list[int]] = {}
    for request_id in request_ids:
        row = db.connection.execute(
            "SELECT state IN ('done', 'failed') AND owed <> 1, request.seq, iif(state='failed', letter.seq, NULL)"
            " FROM request LEFT JOIN scan AS letter ON letter.scan_id = 'request:' || request_id WHERE request_id=?",
            (request_id,),
        ).fetchone()
        if row is None or row[0]:
            ended[request_id] = [seq for seq in row[1:] if seq is not None] if row else [0]
    return ended


def take_dead(db: Database) -> Graves:
    """All that is dead, which from now on is the caller's: the journal has its letters no more."""
    letters = list(dead_letters(db))
    found: defaultdict[int, list[DeadLetter]] = defaultdict(list)
    for letter in letters:
        found[letter.seq].append(letter)
    graves = {seq: Grave(tuple(some), read_body(db, seq) or b"") for seq, some in found.items()}
    discard(db, letters)
    return graves


def forget(db: Database, seqs: Iterable[int]) -> None:
    """Know these scans, and the requests that ended with them, no more: they are new when they come again."""
    for seq in seqs:
        remove_bodies(db, seq - 1, seq, 0)
        db.connection.execute(
            "DELETE FROM request WHERE seq=?1 OR 'request:' || request_id = (SELECT scan_id FROM scan WHERE seq=?1)",
            (seq,),
        )
        db.connection.execute("DELETE FROM scan WHERE seq=?", (seq,))
