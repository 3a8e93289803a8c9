"""Records and batches as the journal would give them."""

import hashlib
import json
from collections.abc import AsyncIterator, Sequence
from typing import Any

from scribe_export.interface import Sink, Source
from scribe_export.model import Batch, Delivery, Record


def body(scan_id: int | str, **more: Any) -> bytes:
    document = {
        "scan_id": scan_id,
        "timestamp": "2026-03-01T12:00:00Z",
        "config": {"signal_type": "sine", "frequency": 440.0, "duration": 2.0, "amplitude": 0.5},
        "interpretation": {
            "confidence_scores": {"overall": 0.91},
            "pattern_matches": {"materials": [{"material": "oak", "similarity": 0.9}]},
        },
        **more,
    }
    return json.dumps(document).encode()


def record(seq: int, content: bytes | None = None, *, scan_id: int | str | None = None, version: int = 1) -> Record:
    content = body(seq if scan_id is None else scan_id) if content is None else content
    return Record(
        seq=seq,
        scan_id=str(seq if scan_id is None else scan_id),
        sha256=hashlib.sha256(content).hexdigest(),
        body=content,
        version=version,
        received_at=1_780_000_000.0 + seq,
    )


def sealed(sink: Sink, records: Sequence[Record], *, attempt: int = 1) -> Batch:
    """A batch as a lane seals it: one name for all, settings frozen."""
    names = {sink.partition(one) for one in records}
    assert len(names) == 1, names
    digest = hashlib.sha256("".join(f"{one.scan_id}\0{one.sha256}\n" for one in records).encode()).hexdigest()
    batch_id = f"{records[0].seq:012d}-{digest[:16]}"
    return Batch(
        id=batch_id,
        name=names.pop().replace("{batch_id}", batch_id),
        records=tuple(records),
        digest=digest,
        shape=json.loads(json.dumps(sink.shape())),
        attempt=attempt,
    )


async def write(sink: Sink, records: Sequence[Record]) -> str | None:
    """Seal, encode and write, as a lane does."""
    encoded = sink.encode(sealed(sink, records))
    assert not encoded.refused, encoded.refused
    return await sink.write(encoded)


class Journalled:
    """A checkpoint in memory that commits as the journal does: bodies and notes together, then the ack."""

    def __init__(self) -> None:
        self.notes: dict[str, str] = {}
        self.bodies: list[bytes] = []
        self.origins: list[str] = []

    async def get(self, keys: Sequence[str]) -> dict[str, str]:
        return {key: self.notes[key] for key in keys if key in self.notes}

    async def take(self, delivery: Delivery) -> None:
        self.bodies += [one.body for one in delivery.incoming]
        self.origins += [one.origin for one in delivery.incoming]
        for key, value in delivery.checkpoint.items():
            if value is None:
                self.notes.pop(key, None)
            else:
                self.notes[key] = value
        await delivery.ack()

    async def take_all(self, source: Source) -> list[bytes]:
        """Everything a source yields until it returns; the bodies of this call alone."""
        before = len(self.bodies)
        found: AsyncIterator[Delivery] = source.deliveries(self)
        async for delivery in found:
            await self.take(delivery)
        return self.bodies[before:]

    def ids(self) -> list[str]:
        return [str(json.loads(one)["scan_id"]) for one in self.bodies]
