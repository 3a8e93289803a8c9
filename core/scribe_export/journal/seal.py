"""The next scans of a destination become sealed batches, before anything of them is sent."""

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any

from scribe_export.journal.batches import Identified, SealedBatch, add_batch, frozen
from scribe_export.journal.database import Database


def seal(
    db: Database,
    destination: int,
    groups: Mapping[str, Sequence[Identified]],
    *,
    upto: int,
    shape: Mapping[str, Any],
    by_record: bool,
    refused: Mapping[int, tuple[str, str]] | None = None,
) -> list[SealedBatch]:
    """Seal each partition's members into a batch and move the destination's cursor to `upto`.

    `groups` and `refused` (sequence number to class and reason) together are every scan routed to the destination
    between its cursor and `upto`. What cannot be named or read is a dead letter from here on.
    """
    now = db.clock.now()
    refused = refused or {}
    if refused:
        db.connection.executemany(
            "INSERT INTO delivery VALUES(?,?,?,?,?)",
            [(destination, seq, kind, error[:512], now) for seq, (kind, error) in refused.items()],
        )
        db.after_commit.append(db.tally.buried(destination, [kind for kind, _ in refused.values()]))
    db.connection.execute("UPDATE destination SET sealed_seq=? WHERE id=?", (upto, destination))
    if not groups:
        return []
    frozen_shape = frozen(db, shape)
    explicit = bool(refused) or _interleaved(groups)
    return [
        add_batch(
            db,
            destination,
            members,
            partition=partition,
            shape=frozen_shape,
            by_record=by_record,
            explicit=explicit,
        )
        for partition, members in groups.items()
    ]


def _interleaved(groups: Mapping[str, Sequence[Identified]]) -> bool:
    ranges = sorted((members[0].seq, members[-1].seq) for members in groups.values())
    return any(before[1] >= after[0] for before, after in pairwise(ranges))
