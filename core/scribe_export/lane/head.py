"""The scans just journalled, held in memory so that lanes which keep up share them instead of reading them back."""

from collections import deque
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace

from scribe_export.model import Record

HEAD_BYTES = 16 * 2**20
RECORD_BYTES = 1024
"""What a record takes in memory beside its body, about."""


@dataclass(frozen=True, slots=True)
class Chunk:
    """One commit's scans in order; `every` is the bits that all of them have."""

    first_seq: int
    last_seq: int
    records: Sequence[Record]
    masks: Sequence[int]
    every: int
    size: int


@dataclass(frozen=True, slots=True)
class Taken:
    """Scans for one lane; all those routed to it up to `upto` are among them, or came before."""

    records: list[Record]
    upto: int


class Head:
    """Appended to after each commit, in order; the oldest go when it holds more than about `limit` bytes."""

    def __init__(self, newest_seq: int, limit: int = HEAD_BYTES) -> None:
        self._chunks: deque[Chunk] = deque()
        self._limit = limit
        self._held = 0
        self.gone_upto = newest_seq
        self.newest_seq = newest_seq

    def append(self, records: Sequence[Record], masks: Sequence[int], first_seq: int, last_seq: int) -> None:
        """Add a commit's routed scans; its numbers are those it gave to scans without a route too.

        Numbers that do not follow the last commit's empty the head: the lanes then read from the journal.
        """
        if first_seq != self.newest_seq + 1:
            self._chunks.clear()
            self._held = 0
            self.gone_upto = self.newest_seq = max(self.newest_seq, last_seq)
            return
        every = -1
        for mask in masks:
            every &= mask
        size = sum([record.size for record in records])
        self._chunks.append(Chunk(first_seq, last_seq, records, masks, every, size))
        self._held += _held(self._chunks[-1])
        self.newest_seq = last_seq
        while self._held > self._limit:
            oldest = self._chunks.popleft()
            self._held -= _held(oldest)
            self.gone_upto = oldest.last_seq

    def drop(self, numbers: Collection[int]) -> None:
        """Let go of scans that were forgotten, by their numbers."""
        self._chunks = deque(_without(chunk, numbers) for chunk in self._chunks)
        self._held = sum(map(_held, self._chunks))

    def take(self, bit: int, after: int, max_records: int, max_bytes: int) -> Taken | None:
        """The next scans routed to `bit` after a number; None if they are no longer all here."""
        if after < self.gone_upto:
            return None
        flag = 1 << bit
        records: list[Record] = []
        size, upto = 0, after
        for chunk in self._chunks:
            if chunk.last_seq <= after:
                continue
            if (
                chunk.every & flag
                and chunk.first_seq > after
                and len(records) + len(chunk.records) <= max_records
                and size + chunk.size <= max_bytes
            ):
                records.extend(chunk.records)
                size += chunk.size
                upto = chunk.last_seq
                continue
            for record, mask in zip(chunk.records, chunk.masks, strict=True):
                if record.seq <= after:
                    continue
                if mask & flag:
                    size += record.size
                    if records and (len(records) >= max_records or size > max_bytes):
                        return Taken(records, upto)
                    records.append(record)
                upto = record.seq
            upto = chunk.last_seq
        return Taken(records, upto)


def _without(chunk: Chunk, numbers: Collection[int]) -> Chunk:
    kept = [at for at, record in enumerate(chunk.records) if record.seq not in numbers]
    records = [chunk.records[at] for at in kept]
    size = sum([record.size for record in records])
    return replace(chunk, records=records, masks=[chunk.masks[at] for at in kept], size=size)


def _held(chunk: Chunk) -> int:
    return chunk.size + RECORD_BYTES * len(chunk.records)
