"""Receipts as lines that a third party can check: each receipt with its hash, and a line for each scan of it.

The lines are described in ``docs/guide/audit.md``, which has a program that checks them.
"""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from scribe_export.journal.chain import Linked, linked
from scribe_export.journal.database import Database
from scribe_export.journal.destinations import masks
from scribe_export.journal.looking import moment
from scribe_export.journal.receipts import Link, hashed, pruned

FORMAT = 1
_PAGE = 500
_SCAN = "scan.seq, scan_id, version, sha256, size"


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which receipts: from `since` on and before `until`, in seconds since the epoch, and of one `destination`."""

    since: float | None = None
    until: float | None = None
    destination: str | None = None

    @property
    def everything(self) -> bool:
        """Whether no receipt is left out."""
        return self == Wanted()

    def takes(self, one: Linked) -> bool:
        """Whether a receipt is meant."""
        destination, at = one.row[0], one.row[-1]
        return (
            self.destination in {None, destination}
            and (self.since is None or at >= self.since)
            and (self.until is None or at < self.until)
        )


def audit_lines(db: Database, wanted: Wanted, now: float) -> Iterator[dict[str, Any]]:
    """The lines, one after the other; `now` in seconds since the epoch."""
    bits = masks(db)
    yield _journal(db, wanted, pruned(db), now)
    for one in linked(db):
        if one.anew:
            yield _journal(db, wanted, one.before, now)
        if wanted.takes(one):
            yield _receipt(one)
            for scan in _scans(db, one, bits.get(one.row[0], 0)):
                yield _line(one, scan)


def _journal(db: Database, wanted: Wanted, start: Link, now: float) -> dict[str, Any]:
    return {
        "line": "journal",
        "format": FORMAT,
        "journal": db.meta("uuid"),
        "exported": moment(now),
        "everything": wanted.everything,
        "after": start.number,
        "before": start.hash.hex(),
    }


def _receipt(one: Linked) -> dict[str, Any]:
    return {
        "line": "receipt",
        "number": one.number,
        "before": one.before.hash.hex(),
        "hashed": hashed(one.row).decode("ascii"),
        "hash": one.hash.hex(),
    }


def _line(one: Linked, scan: Sequence[Any]) -> dict[str, Any]:
    destination, outcome, *_, batch_id, name, answer, at = one.row
    seq, scan_id, version, sha256, size = scan
    return {
        "line": "scan",
        "receipt": one.number,
        "number": seq,
        "scan_id": scan_id,
        "version": version,
        "sha256": sha256.hex() if sha256 else None,
        "size": size,
        "destination": destination,
        "outcome": outcome,
        "batch": batch_id,
        "name": name,
        "answer": answer,
        "at": moment(at),
    }


def _scans(db: Database, one: Linked, mask: int) -> Iterator[Sequence[Any]]:
    """The scans of a receipt, as far as the journal still knows them: of a list the numbers at least."""
    _, _, first, last, listed, *_ = one.row
    if listed is not None:
        members = json.loads(listed)
        for start in range(0, len(members), _PAGE):
            part = members[start : start + _PAGE]
            rows = db.connection.execute(
                f"SELECT {_SCAN} FROM scan WHERE seq IN ({','.join('?' * len(part))})",  # noqa: S608 - marks
                part,
            )
            found = {row[0]: row for row in rows}
            yield from (found.get(seq, (seq, None, None, None, None)) for seq in part)
        return
    after = first - 1
    while mask:
        rows_of_range = db.connection.execute(
            f"SELECT {_SCAN} FROM scan WHERE seq > ? AND seq <= ? AND routes & ? ORDER BY seq LIMIT ?",  # noqa: S608 - constants
            (after, last, mask, _PAGE),
        ).fetchall()
        yield from rows_of_range
        if len(rows_of_range) < _PAGE:
            return
        after = rows_of_range[-1][0]
