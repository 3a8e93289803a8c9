"""Dead letters sent again, or given up."""

import functools
from collections.abc import Sequence
from dataclasses import dataclass

from scribe_export.errors import InvalidScan, Rejected
from scribe_export.exporter import Exporter
from scribe_export.identify import Origin
from scribe_export.interface import Sink
from scribe_export.journal.batches import SealedBatch, batches
from scribe_export.journal.bodies import fetch_members, read_body
from scribe_export.journal.database import Database
from scribe_export.journal.dead import (
    DeadLetter,
    Sealing,
    Selection,
    dead_letters,
    discard,
    exceptions,
    remove_exceptions,
    replay_batch,
    replay_exceptions,
)
from scribe_export.journal.ingest import NO_DESTINATION, Ingested
from scribe_export.journal.receipts import REPLAYED, write_act
from scribe_export.journal.requests import REQUEST, revive
from scribe_export.model import Incoming, Record
from scribe_export.oversize import sealed_shape


@dataclass(frozen=True, slots=True)
class Replayed:
    """How many dead letters were sealed to be sent again, and how many stay, each with why."""

    sealed: int
    kept: tuple[str, ...]


async def replay(exporter: Exporter, selection: Selection, *, reroute: bool = False) -> Replayed:
    """Send dead letters again; with `reroute` those of class ``rule`` only where today's rules send them.

    Bodies that were no scans are read anew. Raises `JournalError` for one scan of a batch known only whole.
    """
    letters = await exporter.store.do(lambda db: list(dead_letters(db, selection)))
    kept: list[str] = []
    sealed = 0
    for name in dict.fromkeys(letter.destination for letter in letters):
        mine = [letter for letter in letters if letter.destination == name]
        if not name:
            sealed += await _read_anew(exporter, mine, kept)
        elif name not in exporter.sinks:
            kept += [f"scan {letter.scan_id}: {name} is not in the config" for letter in mine]
        else:
            sealed += await _replay_there(exporter, name, mine, kept, reroute=reroute)
    return Replayed(sealed, tuple(kept))


async def give_up(exporter: Exporter, selection: Selection) -> int:
    """Discard dead letters for good; returns how many scans."""

    def command(db: Database) -> int:
        return discard(db, list(dead_letters(db, selection)))

    return await exporter.store.do(command)


async def _replay_there(
    exporter: Exporter, name: str, letters: Sequence[DeadLetter], kept: list[str], *, reroute: bool
) -> int:
    sink, row = exporter.sinks[name], exporter.rows[name]
    singles = [letter.seq for letter in letters if letter.batch is None]
    fetched = await exporter.store.do(lambda db: fetch_members(db, singles, assume=exporter.config.assume_timezone))
    kept += [f"scan number {seq}: {why}" for seq, why in fetched.corrupt.items()]
    kinds = {letter.seq: letter.kind for letter in letters}
    records = [
        record
        for record in fetched.records
        if not (reroute and kinds[record.seq] == "rule") or _still_routed(exporter, name, record, kept)
    ]
    store = exporter.claims[name]
    shape = sealed_shape(sink, store.location if store else None)
    sealing = Sealing(shape, sink.identity == "record", _partitions(sink, records, kept))
    chosen: dict[int, set[int]] = {}
    for letter in letters:
        if letter.batch is not None:
            chosen.setdefault(letter.batch, set()).add(letter.seq)

    def command(db: Database) -> list[SealedBatch]:
        sealed = replay_exceptions(db, row.id, exceptions(db, row.id, sealing.partitions.keys()), sealing)
        for batch in batches(db, row.id, "dead"):
            if batch.id in chosen:
                sealed += replay_batch(db, batch, chosen[batch.id])
        return sealed

    sealed = await exporter.store.do(command)
    if name in exporter.lanes:
        exporter.lanes[name].adopt(sealed)
    return sum(batch.count for batch in sealed)


def _partitions(sink: Sink, records: Sequence[Record], kept: list[str]) -> dict[int, str]:
    partitions: dict[int, str] = {}
    for record in records:
        try:
            partitions[record.seq] = sink.partition(record)
        except (Rejected, InvalidScan) as error:
            kept.append(f"scan {record.scan_id}: {error}")
    return partitions


def _still_routed(exporter: Exporter, name: str, record: Record, kept: list[str]) -> bool:
    routing = exporter.router.route(record)
    if routing.mask >> exporter.rows[name].id & 1:
        return True
    kept.append(f"scan {record.scan_id}: {routing.failed.get(name, 'its rule does not match')}")
    return False


async def _ask_anew(exporter: Exporter, seqs: Sequence[int]) -> int:
    """Requests that died are performed again."""

    def command(db: Database) -> int:
        revived = revive(db, seqs)
        remove_exceptions(db, NO_DESTINATION, seqs)
        write_act(db, "", REPLAYED, seqs)
        return len(revived)

    count = await exporter.store.do(command)
    if exporter.requests:
        exporter.requests.again()
    return count


def _was_read(seq: int, db: Database, _: Sequence[Ingested]) -> None:
    remove_exceptions(db, NO_DESTINATION, [seq])
    write_act(db, "", REPLAYED, [seq])


async def _read_anew(exporter: Exporter, letters: Sequence[DeadLetter], kept: list[str]) -> int:
    sealed = 0
    requests = [letter.seq for letter in letters if letter.kind == REQUEST]
    if requests:
        sealed += await _ask_anew(exporter, requests)
    for letter in letters:
        seq = letter.seq
        if seq in requests:
            continue
        body = await exporter.store.do(lambda db, seq=seq: read_body(db, seq))  # type: ignore[misc]
        origin = Origin("replay")
        scans = await exporter.intake.prepare([Incoming(body or b"")], origin)
        if scans[0].invalid:
            kept.append(f"{letter.scan_id}: {scans[0].invalid[1]}")
            continue
        await exporter.intake.commit(scans, origin, then=functools.partial(_was_read, seq))
        sealed += 1
    return sealed
