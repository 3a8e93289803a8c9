"""Dead letters: what was refused, kept with its payload until an operator replays or discards it.

A dead letter is either one scan's exception (`delivery`) or a batch that died in place. A replay of the first seals a
new batch in the transaction that removes its rows; a replay of the second reopens that same batch.
"""

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass

from scribe_export.errors import JournalError
from scribe_export.journal.batches import (
    Member,
    SealedBatch,
    add_batch,
    batches,
    frozen,
    members_of,
    remove_batch,
    reseal,
)
from scribe_export.journal.database import Database
from scribe_export.journal.ingest import NO_DESTINATION
from scribe_export.journal.receipts import BY_OPERATOR, REPLAYED, write_act, write_receipt


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """One scan that a destination does not have; `destination` is empty for a body that was no scan.

    `batch` is the row of the batch that died with it, None for an exception of its own. `at` seconds since the epoch.
    """

    destination: str
    seq: int
    scan_id: str
    kind: str
    error: str
    at: float
    size: int
    batch: int | None = None


@dataclass(frozen=True, slots=True)
class Selection:
    """Which dead letters; what is left out matches all."""

    destination: str | None = None
    kind: str | None = None
    scan_ids: Collection[str] = ()

    def takes(self, letter: DeadLetter) -> bool:
        """Whether a dead letter is meant."""
        return (
            self.destination in {None, letter.destination}
            and self.kind in {None, letter.kind}
            and (not self.scan_ids or letter.scan_id in self.scan_ids)
        )


@dataclass(frozen=True, slots=True)
class Sealing:
    """How a destination seals a replay: its frozen shape, and whether it tells each record by itself."""

    shape: dict[str, object]
    by_record: bool
    partitions: dict[int, str]


def dead_letters(db: Database, selection: Selection | None = None) -> Iterator[DeadLetter]:
    """All that match, oldest scan first within each kind of row."""
    selection = selection or Selection()
    names = dict(db.connection.execute("SELECT id, name FROM destination"))
    rows = db.connection.execute(
        "SELECT destination, delivery.seq, scan_id, class, error, delivery.at, size"
        " FROM delivery JOIN scan USING(seq) ORDER BY delivery.seq, destination"
    )
    for destination, seq, scan_id, kind, error, at, size in rows:
        letter = DeadLetter(names.get(destination, ""), seq, scan_id, kind, error, at, size)
        if selection.takes(letter):
            yield letter
    for batch in batches(db, state="dead"):
        for member in members_of(db, batch):
            letter = DeadLetter(
                names.get(batch.destination, ""),
                member.seq,
                member.scan_id,
                batch.kind,
                batch.error,
                batch.at,
                member.size,
                batch.id,
            )
            if selection.takes(letter):
                yield letter


def dead_count(db: Database, destination: int) -> int:
    """How many scans a destination's dead letters hold."""
    exceptions = db.connection.execute("SELECT count(*) FROM delivery WHERE destination=?", (destination,)).fetchone()
    died = db.connection.execute(
        "SELECT coalesce(sum(count), 0) FROM batch WHERE destination=? AND state='dead'", (destination,)
    ).fetchone()
    return int(exceptions[0] + died[0])


def dead_counts(db: Database) -> dict[int, int]:
    """As `dead_count`, for all destinations that have any, and for `NO_DESTINATION`."""
    run = db.connection.execute
    counts: dict[int, int] = dict(run("SELECT destination, count(*) FROM delivery GROUP BY destination").fetchall())
    died = run(
        "SELECT id, (SELECT sum(count) FROM batch WHERE destination=destination.id AND state='dead') FROM destination"
    )
    for destination, count in died:
        if count:
            counts[destination] = counts.get(destination, 0) + count
    return counts


def replay_batch(db: Database, batch: SealedBatch, seqs: Collection[int]) -> list[SealedBatch]:
    """Reopen a dead batch, or seal some of its members anew if they may be sent apart from the rest.

    Raises `JournalError` for one member of a batch that may have been applied and is known only whole.
    """
    members = members_of(db, batch)
    chosen = [member for member in members if member.seq in seqs]
    listed = [member.seq for member in chosen]
    if len(chosen) == len(members):
        write_receipt(db, batch, REPLAYED, BY_OPERATOR, listed, len(listed))
        # Its members are written down, because the collector may have passed their range by now.
        db.connection.executemany(
            "INSERT OR IGNORE INTO member VALUES(?,?)", [(batch.id, member.seq) for member in members]
        )
        db.connection.execute(
            "UPDATE batch SET state='open', explicit=1, attempts=0, next_at=0, class='', error='' WHERE id=?",
            (batch.id,),
        )
        return [reopened for reopened in batches(db, batch.destination) if reopened.id == batch.id]
    if not batch.divisible:
        raise JournalError(
            f"batch {batch.batch_id} may have been applied whole, so one scan of it cannot be sent alone; "
            "replay the whole batch"
        )
    write_receipt(db, batch, REPLAYED, BY_OPERATOR, listed, len(listed))
    sealed = reseal(db, batch, [chosen], attempts=0, next_at=0.0)
    take_out(db, batch, members, chosen)
    return sealed


def replay_exceptions(db: Database, destination: int, members: Sequence[Member], sealing: Sealing) -> list[SealedBatch]:
    """Seal scans that were refused into batches of their own, a batch a partition, and remove their rows."""
    groups: dict[str, list[Member]] = {}
    for member in members:
        if member.seq in sealing.partitions:
            groups.setdefault(sealing.partitions[member.seq], []).append(member)
    shape = frozen(db, sealing.shape)
    sealed = [
        add_batch(db, destination, group, partition=partition, shape=shape, by_record=sealing.by_record, explicit=True)
        for partition, group in groups.items()
    ]
    remove_exceptions(db, destination, list(sealing.partitions))
    (name,) = db.connection.execute("SELECT name FROM destination WHERE id=?", (destination,)).fetchone()
    write_act(db, name, REPLAYED, [member.seq for group in groups.values() for member in group])
    return sealed


def exceptions(db: Database, destination: int, seqs: Collection[int]) -> list[Member]:
    """The scans among `seqs` that are exceptions of a destination."""
    rows = db.connection.execute(
        "SELECT scan.seq, scan_id, sha256, size FROM delivery JOIN scan USING(seq) WHERE destination=? ORDER BY scan.seq",
        (destination,),
    )
    return [Member(seq, scan_id, sha256.hex(), size) for seq, scan_id, sha256, size in rows if seq in seqs]


def remove_exceptions(db: Database, destination: int, seqs: Collection[int]) -> None:
    """Forget exceptions, because they were sealed anew or discarded."""
    db.released.extend(seqs)
    db.connection.executemany(
        "DELETE FROM delivery WHERE destination=? AND seq=?", [(destination, seq) for seq in seqs]
    )


def discard(db: Database, letters: Sequence[DeadLetter]) -> int:
    """Give dead letters up, at an operator's word; returns how many scans.

    A batch that may have been applied is discarded whole or not at all; raises `JournalError` otherwise.
    """
    ids = dict(db.connection.execute("SELECT name, id FROM destination"))
    for name in dict.fromkeys(letter.destination for letter in letters if letter.batch is None):
        seqs = [letter.seq for letter in letters if letter.batch is None and letter.destination == name]
        remove_exceptions(db, ids.get(name, NO_DESTINATION), seqs)
        write_act(db, name, "discarded", seqs)
    chosen: dict[int, set[int]] = {}
    for letter in letters:
        if letter.batch is not None:
            chosen.setdefault(letter.batch, set()).add(letter.seq)
    for batch in batches(db, state="dead"):
        if batch.id in chosen:
            _discard_members(db, batch, chosen[batch.id])
    return len(letters)


def _discard_members(db: Database, batch: SealedBatch, seqs: set[int]) -> None:
    members = members_of(db, batch)
    gone = [member for member in members if member.seq in seqs]
    if len(gone) < len(members) and not batch.divisible:
        raise JournalError(f"batch {batch.batch_id} may have been applied whole; discard the whole batch")
    write_receipt(db, batch, "discarded", BY_OPERATOR, [member.seq for member in gone], len(gone))
    if len(gone) == len(members):
        remove_batch(db, batch)
    else:
        take_out(db, batch, members, gone)


def take_out(db: Database, batch: SealedBatch, members: Sequence[Member], out: Sequence[Member]) -> None:
    """Let a dead batch die anew without some of its members; only if it is `divisible`."""
    rest = [member for member in members if member not in out]
    remaining = reseal(db, batch, [rest])[0]
    db.connection.execute(
        "UPDATE batch SET state='dead', class=?, error=?, at=? WHERE id=?",
        (batch.kind, batch.error, batch.at, remaining.id),
    )
    remove_batch(db, batch)
