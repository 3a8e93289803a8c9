"""What became of one send: delivered, to be sent again, divided, or dead in place."""

from collections.abc import Collection, Mapping

from scribe_export.journal.batches import SealedBatch, find_batch, members_of, remove_batch, reseal
from scribe_export.journal.database import Database
from scribe_export.journal.receipts import write_receipt

Refusals = Mapping[int, tuple[str, str]]
"""Sequence number to the dead letter's class and reason."""

ERROR_LENGTH = 512


def delivered(db: Database, batch: SealedBatch, answer: str) -> None:
    """The destination confirmed the whole batch."""
    members = [member.seq for member in members_of(db, batch)] if batch.explicit else None
    write_receipt(db, batch, "delivered", answer, members, batch.count)
    _raise_counters(db, batch.destination, batch.count, batch.size)
    remove_batch(db, batch)


def partly(
    db: Database,
    batch: SealedBatch,
    acked: Collection[int],
    refused: Refusals,
    *,
    answer: str,
    next_at: float,
    unknown: bool,
    charge: bool = True,
) -> list[SealedBatch]:
    """Some members (by sequence number) were confirmed, some refused; the rest are sealed anew and returned.

    `unknown` says that some of the rest may have been applied, `charge` counts the attempt for them. A batch that may
    have been applied and is known only whole stays whole: it is kept for another attempt, or dies if some were refused.
    """
    members = members_of(db, batch)
    done = [member for member in members if member.seq in acked]
    if not batch.by_record and (unknown or batch.unknown) and len(done) < len(members):
        if refused and not unknown:
            die(db, batch, *next(iter(refused.values())))
            return []
        error = f"{len(members) - len(done)} of {len(members)} records unconfirmed"
        return [again(db, batch, kind="partial", error=error, next_at=next_at, charge=charge, unknown=unknown)]
    if done:
        write_receipt(db, batch, "delivered", answer, [member.seq for member in done], len(done))
        _raise_counters(db, batch.destination, len(done), sum(member.size for member in done))
    dead_letter(db, batch.destination, {seq: why for seq, why in refused.items() if seq not in acked})
    rest = [member for member in members if member.seq not in acked and member.seq not in refused]
    sealed = reseal(db, batch, [rest], attempts=batch.attempts + charge, next_at=next_at, unknown=unknown)
    remove_batch(db, batch)
    return sealed


CORRUPT = "corrupt"
"""The class of a body that does not match its sha256 any more: it may have been sent while it did."""


def refuse(db: Database, batch: SealedBatch, refused: Refusals) -> list[SealedBatch]:
    """`encode` named members that can never be accepted: they are dead, the others sealed anew before any write.

    A batch that may have been applied and is known only whole dies whole instead. One that no attempt is known of was
    not, even if a crash hides whether there was one: `encode` is pure, and would have refused these members then as well.
    """
    corrupt = any(kind == CORRUPT for kind, _ in refused.values())
    if not batch.divisible and (batch.attempts or corrupt):
        kind, error = next(iter(refused.values()))
        die(db, batch, kind, error)
        return []
    rest = [member for member in members_of(db, batch) if member.seq not in refused]
    dead_letter(db, batch.destination, refused)
    sealed = reseal(db, batch, [rest])
    remove_batch(db, batch)
    return sealed


def again(
    db: Database,
    batch: SealedBatch,
    *,
    kind: str,
    error: str,
    next_at: float,
    charge: bool,
    unknown: bool,
    burned: bool = False,
) -> SealedBatch:
    """Keep the batch for another attempt.

    `charge` counts the attempt, `unknown` says that it may have been applied, `burned` that the service saw it fail and
    has used up its name: only then the generation rises, and nothing is unknown of it any more.
    """
    burned = burned and not unknown
    db.connection.execute(
        "UPDATE batch SET attempts = attempts + ?, unknown = (unknown AND NOT ?) OR ?, next_at = ?, class = ?, error = ?,"
        " generation = generation + ?, note = iif(?, '', note) WHERE id = ?",
        (charge, burned, unknown, next_at, kind, error[:ERROR_LENGTH], burned, burned, batch.id),
    )
    return _fresh(db, batch)


def split(db: Database, batch: SealedBatch, *, attempts: int) -> list[SealedBatch]:
    """Divide a batch in two, each to be sent at once; only if it is `divisible`. `attempts` are those charged so far."""
    if not batch.divisible:
        raise AssertionError(f"batch {batch.batch_id} may have been applied and is known only whole")
    members = members_of(db, batch)
    middle = len(members) // 2
    halves = reseal(db, batch, [members[:middle], members[middle:]], attempts=attempts, next_at=0.0)
    remove_batch(db, batch)
    return halves


def set_apart(db: Database, batch: SealedBatch, apart: Collection[int]) -> list[SealedBatch]:
    """Seal some members (by sequence number) into a batch of their own before any write, and the others into another."""
    members = members_of(db, batch)
    parts = [[m for m in members if (m.seq in apart) is chosen] for chosen in (False, True)]
    sealed = reseal(db, batch, parts)
    remove_batch(db, batch)
    return sealed


def die(db: Database, batch: SealedBatch, kind: str, error: str) -> None:
    """A batch dies whole and in place: nothing of it is sent until an operator says so."""
    db.connection.execute(
        "UPDATE batch SET state='dead', class=?, error=?, at=? WHERE id=?",
        (kind, error[:ERROR_LENGTH], db.clock.now(), batch.id),
    )
    db.after_commit.append(db.tally.buried(batch.destination, [kind], batch.count))


def dead_letter(db: Database, destination: int, refused: Refusals) -> None:
    """Records that can never be accepted there, kept until an operator's word."""
    now = db.clock.now()
    db.connection.executemany(
        "INSERT INTO delivery VALUES(?,?,?,?,?)",
        [(destination, seq, kind, error[:ERROR_LENGTH], now) for seq, (kind, error) in refused.items()],
    )
    if refused:
        db.after_commit.append(db.tally.buried(destination, [kind for kind, _ in refused.values()]))


def _raise_counters(db: Database, destination: int, count: int, size: int) -> None:
    db.connection.execute(
        "UPDATE destination SET delivered = delivered + ?, delivered_bytes = delivered_bytes + ? WHERE id=?",
        (count, size, destination),
    )


def _fresh(db: Database, batch: SealedBatch) -> SealedBatch:
    found = find_batch(db, batch.id)
    assert found is not None
    return found
