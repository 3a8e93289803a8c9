"""Ledgers with one rule broken each, as context managers over the real functions."""

import contextlib
import functools
import os
import secrets
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import replace
from typing import Any
from unittest.mock import patch

from scribe_export.interface import Sink
from scribe_export.journal import batches as rows
from scribe_export.journal import blobs, collect, dead, destinations, seal, settle
from scribe_export.journal.batches import SealedBatch
from scribe_export.journal.collect import Lane
from scribe_export.journal.database import Database
from scribe_export.lane import sending, settling, verdict
from scribe_export.lane.verdict import Verdict
from scribe_export.model import Batch, Encoded, Record
from scribe_export.oversize import Fitted

Mutant = Callable[[], AbstractContextManager[Any]]


def named_at_sending() -> AbstractContextManager[Any]:
    """Rule 1: the batch's name is made for each attempt instead of at sealing."""

    def name(batch: SealedBatch) -> str:
        return batch.partition.replace("{batch_id}", f"{batch.batch_id}-{batch.attempts}")

    return patch.object(SealedBatch, "name", property(name))


@contextmanager
def sealed_after_the_send() -> Iterator[None]:
    """Rule 1: a sealing is committed together with the next change, which may come after the send."""
    real_seal, begin, commit = seal.seal, Database.begin, Database.commit
    late: set[int] = set()

    def sealing(db: Database, *arguments: Any, **options: Any) -> list[SealedBatch]:
        late.add(id(db))
        return real_seal(db, *arguments, **options)

    def beginning(db: Database) -> None:
        if db.connection.in_transaction:
            commit(db)
        begin(db)

    def committing(db: Database) -> None:
        if id(db) in late:
            late.discard(id(db))
        else:
            commit(db)

    with (
        patch.object(seal, "seal", sealing),
        patch.object(Database, "begin", beginning),
        patch.object(Database, "commit", committing),
    ):
        yield


def retried_with_what_came_since() -> AbstractContextManager[Any]:
    """Rule 2: a failed batch is sent again with the next scan that waits, which nobody sealed."""
    real = settle.again

    def again(db: Database, batch: SealedBatch, **why: Any) -> SealedBatch:
        kept = real(db, batch, **why)
        run = db.connection.execute
        (cursor,) = run("SELECT sealed_seq FROM destination WHERE id=?", (batch.destination,)).fetchone()
        waiting = run(
            "SELECT seq, size FROM scan WHERE seq > ? AND routes & ? ORDER BY seq", (cursor, 1 << batch.destination)
        ).fetchone()
        if waiting is None or batch.explicit or batch.last_seq != cursor:
            return kept
        seq, size = waiting
        run("UPDATE batch SET last_seq=?, count=count+1, size=size+? WHERE id=?", (seq, size, batch.id))
        run("UPDATE destination SET sealed_seq=? WHERE id=?", (seq, batch.destination))
        found = rows.find_batch(db, batch.id)
        assert found is not None
        return found

    return patch.object(settle, "again", again)


@contextmanager
def shaped_by_todays_options() -> Iterator[None]:
    """Rule 3: a batch is named and encoded as the options are now, not as they were when it was sealed."""
    real = sending.encode

    async def encode(sink: Sink, batch: SealedBatch, records: Sequence[Record]) -> Any:
        today = functools.partial(_as_today, sink, records)
        with patch.object(sending, "as_sent", lambda batch, records: today(as_sent(batch, records))):
            return await real(sink, batch, records)

    as_sent = sending.as_sent
    with patch.object(sending, "encode", encode):
        yield


def _as_today(sink: Sink, records: Sequence[Record], sent: Batch) -> Batch:
    name = sink.partition(records[0]).replace("{batch_id}", sent.id)
    return Batch(sent.id, name, sent.records, sent.digest, sink.shape(), sent.generation, sent.attempt)


@contextmanager
def unknown_is_divided() -> Iterator[None]:
    """Rule 4: a batch that may have been applied is divided, and its parts have other names."""
    real = verdict.judge

    def judge(batch: SealedBatch, *arguments: Any) -> Verdict:
        judged = real(batch, *arguments)
        return Verdict("divide", judged.kind) if judged.action == "die" and batch.count > 1 else judged

    with (
        patch.object(settling, "judge", judge),
        patch.object(SealedBatch, "divisible", property(lambda batch: True)),
    ):
        yield


def unknown_rest_is_renamed() -> AbstractContextManager[Any]:
    """Rule 4: what a partial failure left unknown is sealed under another name."""
    real = settle.partly

    def partly(db: Database, batch: SealedBatch, *arguments: Any, **options: Any) -> list[SealedBatch]:
        fields = {name: getattr(batch, name) for name in SealedBatch.__slots__}
        return real(db, SealedBatch(**fields | {"by_record": True}), *arguments, **options)

    return patch.object(settle, "partly", partly)


def refused_after_the_write() -> AbstractContextManager[Any]:
    """Rule 5: the whole batch is written, and what the sink had refused is dead-lettered afterwards."""

    async def encode(sink: Sink, batch: SealedBatch, records: Sequence[Record]) -> Any:
        encoded = sink.encode(sending.as_sent(batch, records))
        return Fitted(Encoded(encoded.batch, encoded.payload))

    return patch.object(sending, "encode", encode)


def one_of_an_unknown_batch_is_replayed() -> AbstractContextManager[Any]:
    """Rule 6: one member of a batch that may have been applied whole is sent alone."""
    real = dead.replay_batch

    def replay_batch(db: Database, batch: SealedBatch, seqs: Collection[int]) -> list[SealedBatch]:
        with patch.object(SealedBatch, "divisible", property(lambda batch: True)):
            return real(db, batch, seqs)

    return patch.object(dead, "replay_batch", replay_batch)


def replayed_under_a_new_batch() -> AbstractContextManager[Any]:
    """Rule 6: the members of a dead batch are sealed anew, one by one, instead of its being reopened."""

    def replay_batch(db: Database, batch: SealedBatch, seqs: Collection[int]) -> list[SealedBatch]:
        members = rows.members_of(db, batch)
        sealed = rows.reseal(db, batch, [[member] for member in members], attempts=0, next_at=0.0)
        rows.remove_batch(db, batch)
        return sealed

    return patch.object(dead, "replay_batch", replay_batch)


def generation_raised_on_unknown() -> AbstractContextManager[Any]:
    """Rule 8: a load job of which nobody knows whether it ran gets a new id."""
    real = settle.again

    def again(db: Database, batch: SealedBatch, *, unknown: bool, burned: bool = False, **why: Any) -> SealedBatch:
        kept = real(db, batch, unknown=unknown, burned=burned, **why)
        db.connection.execute("UPDATE batch SET generation = generation + ? WHERE id=?", (unknown, batch.id))
        return kept

    return patch.object(settle, "again", again)


def no_of_one_attempt_taken_for_all() -> AbstractContextManager[Any]:
    """Rule 8: a definite no that says nothing of the batch's name clears what is unknown of earlier attempts."""
    real = settle.again

    def again(db: Database, batch: SealedBatch, *, unknown: bool, **why: Any) -> SealedBatch:
        kept = real(db, batch, unknown=unknown, **why)
        db.connection.execute("UPDATE batch SET unknown=? WHERE id=?", (unknown, batch.id))
        return replace(kept, unknown=unknown)

    return patch.object(settle, "again", again)


def collected_under_open_batches() -> AbstractContextManager[Any]:
    """Rule 11: a lane counts as done with what it has sealed."""

    def lanes_of(db: Database) -> list[Lane]:
        return [Lane(row.id, row.sealed_seq) for row in destinations.destinations(db)]

    return patch.object(collect, "lanes_of", lanes_of)


def collected_under_exceptions() -> AbstractContextManager[Any]:
    """Rule 11: dead letters do not hold their bodies."""
    return _collecting_without("FROM delivery WHERE")


def collected_under_explicit_batches() -> AbstractContextManager[Any]:
    """Rule 11: members of a divided batch do not hold their bodies."""
    return _collecting_without("FROM member WHERE")


def collected_under_dead_batches() -> AbstractContextManager[Any]:
    """Rule 11: a batch that died does not hold its bodies."""
    return _collecting_without("FROM batch WHERE")


def collected_before_a_lane() -> AbstractContextManager[Any]:
    """Rule 11: a body goes when the fastest lane is done with it."""

    def lanes_of(db: Database) -> list[Lane]:
        lanes = real(db)
        furthest = max((lane.done_seq for lane in lanes), default=0)
        return [Lane(lane.bit, furthest) for lane in lanes]

    real = collect.lanes_of
    return patch.object(collect, "lanes_of", lanes_of)


def route_bit_used_again() -> AbstractContextManager[Any]:
    """Rule 11: a new destination gets the bit of one that was forgotten, while scans hold it."""

    def free_bit(db: Database) -> int:
        used = {row.id for row in destinations.destinations(db)}
        return next(bit for bit in range(63) if bit not in used)

    return patch.object(destinations, "_free_bit", free_bit)


@contextmanager
def blob_named_by_content() -> Iterator[None]:
    """Rule 12: equal bodies share a file, which goes with the first of them."""
    real = blobs.Blobs.write

    def write(store: blobs.Blobs, body: bytes, sha256: str) -> str:
        with contextlib.suppress(FileExistsError):
            return real(store, body, sha256)
        return f"{sha256[:2]}/{sha256}-"

    with patch.object(secrets, "token_hex", lambda size: ""), patch.object(blobs.Blobs, "write", write):
        yield


def blob_not_synced() -> AbstractContextManager[Any]:
    """Rule 12: the row is committed while its body's file is only in the system's memory."""
    real = blobs.Blobs.write

    def write(store: blobs.Blobs, body: bytes, sha256: str) -> str:
        with patch.object(os, "fsync", lambda handle: None):
            return real(store, body, sha256)

    return patch.object(blobs.Blobs, "write", write)


class _Without:
    """A connection on which some rows are not found."""

    def __init__(self, connection: Any, rows: str) -> None:
        self._connection, self._rows = connection, rows

    def execute(self, statement: str, *arguments: Any) -> Any:
        return self._connection.execute(statement.replace(self._rows, f"{self._rows} 0 AND"), *arguments)


def _collecting_without(rows: str) -> AbstractContextManager[Any]:
    real = collect._held_apart

    def held_apart(db: Database, after: int, upto: int) -> list[int]:
        with patch.object(db, "connection", _Without(db.connection, rows)):
            return list(real(db, after, upto))

    return patch.object(collect, "_held_apart", held_apart)


MUTANTS: Mapping[str, Mutant] = {
    mutant.__name__: mutant
    for mutant in (
        named_at_sending, sealed_after_the_send, retried_with_what_came_since, shaped_by_todays_options,
        unknown_is_divided, unknown_rest_is_renamed, refused_after_the_write, one_of_an_unknown_batch_is_replayed,
        replayed_under_a_new_batch, generation_raised_on_unknown, no_of_one_attempt_taken_for_all,
        collected_under_open_batches, collected_under_exceptions, collected_under_explicit_batches,
        collected_under_dead_batches, collected_before_a_lane, route_bit_used_again, blob_named_by_content,
        blob_not_synced,
    )
}  # fmt: skip
