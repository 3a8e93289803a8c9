"""Journals as sources and lanes fill them, without either."""

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgspec

from scribe_export.clock import Clock
from scribe_export.journal.batches import Member, SealedBatch
from scribe_export.journal.bodies import fetch_next
from scribe_export.journal.database import DEFAULT_QUOTA, Database
from scribe_export.journal.destinations import DestinationRow, register
from scribe_export.journal.ingest import ConflictMasks, Ingested, NewScan, ingest
from scribe_export.journal.opening import open_journal
from scribe_export.journal.seal import seal


@contextmanager
def opened(folder: Path, *, quota: int = DEFAULT_QUOTA, clock: Clock | None = None) -> Iterator[Database]:
    """A journal, locked and open within the block."""
    journal = open_journal(folder, quota=quota, clock=clock)
    try:
        yield journal.database
    finally:
        journal.close()


def destinations(db: Database, *names: str) -> list[DestinationRow]:
    """Make these the journal's destinations."""
    with db.transaction():
        return list(register(db, names).values())


def body_of(scan_id: int | str, *, indent: int = 0, **content: object) -> bytes:
    """A small scan."""
    return msgspec.json.format(msgspec.json.encode({"scan_id": scan_id, **content}), indent=indent)


def new_scan(scan_id: int | str, body: bytes | None = None, *, mask: int = 1, **more: object) -> NewScan:
    """A scan on its way in, routed to the first destination."""
    raw = body_of(scan_id) if body is None else body
    return NewScan(str(scan_id), hashlib.sha256(raw).hexdigest(), raw, "test", mask, **more)  # type: ignore[arg-type]  # passed on as they are


def journalled(db: Database, *scans: NewScan, dead_letter: int = 0, keep: int = 0) -> list[Ingested]:
    """Ingest in a transaction of its own."""
    with db.transaction():
        return ingest(db, scans, conflicts=ConflictMasks(dead_letter, keep))


def sealed(
    db: Database,
    bit: int,
    after: int = 0,
    *,
    limit: int = 100,
    by_record: bool = True,
    shape: Mapping[str, Any] | None = None,
) -> list[SealedBatch]:
    """Seal a destination's next scans in a transaction of its own."""
    records = fetch_next(db, bit, after, max_records=limit, max_bytes=2**30).records
    members: Sequence[Member] = [Member(r.seq, r.scan_id, r.sha256, len(r.body)) for r in records]
    with db.transaction():
        return seal(
            db,
            bit,
            {"": members} if members else {},
            upto=members[-1].seq,
            shape=shape or {},
            by_record=by_record,
            refused={},
        )
