"""Sealing and sending as a lane does it, without a journal."""

import hashlib
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any, TypeVar

import anyio.to_thread
import msgspec

from scribe_export.interface import Connector, Sink
from scribe_export.model import Batch, Encoded, Record

AnyConnector = TypeVar("AnyConnector", bound=Connector[Any])

PLACES: dict[str, str] = {}
"""What `Sink.prepare` answered for a batch's id, as a journal keeps it; emptied before each check."""


@asynccontextmanager
async def opened(connector: AnyConnector) -> AsyncIterator[AnyConnector]:
    """A connector that is open within the block and closed after it, also if opening failed."""
    try:
        await connector.open()
        yield connector
    finally:
        with anyio.CancelScope(shield=True):
            await connector.close()


def seal(sink: Sink, records: Sequence[Record], *, journal: str = "contract", attempt: int = 1) -> list[Batch]:
    """Sealed batches of `records`, more than one only where `Sink.partition` tells them apart.

    The same arguments give the same batches, with the same ids; another `journal` gives the same records other ids.
    """
    groups: dict[str, list[Record]] = {}
    for record in records:
        groups.setdefault(sink.partition(record), []).append(record)
    return [_sealed(sink, tuple(group), name, journal, attempt) for name, group in groups.items()]


def seal_one(sink: Sink, records: Sequence[Record], *, journal: str = "contract", attempt: int = 1) -> Batch:
    """One sealed batch; raises ValueError where `Sink.partition` tells the records apart."""
    batches = seal(sink, records, journal=journal, attempt=attempt)
    if len(batches) != 1:
        names = ", ".join(sorted({batch.name for batch in batches}))
        raise ValueError(f"these records belong into batches of their own: {names}; give records of one partition")
    return batches[0]


async def encode(sink: Sink, batch: Batch) -> Encoded:
    """Encode in a worker thread and take the batch's place at the service, as a lane does."""
    encoded = await anyio.to_thread.run_sync(sink.encode, batch)
    if type(sink).prepare is Sink.prepare or encoded.refused:
        return encoded
    if not PLACES.get(batch.id):
        PLACES[batch.id] = await sink.prepare(encoded.batch)
    return replace(encoded, batch=replace(encoded.batch, note=PLACES[batch.id]))


async def send(sink: Sink, batch: Batch) -> str | None:
    """Encode and write; a refused record is an AssertionError, any other error is the sink's."""
    encoded = await encode(sink, batch)
    if encoded.refused:
        raise AssertionError(f"encode refused what its limits allow: {dict(encoded.refused)}")
    return await sink.write(encoded)


async def send_all(sink: Sink, records: Sequence[Record], *, journal: str = "contract", attempt: int = 1) -> None:
    """Seal and send one batch after another."""
    for batch in seal(sink, records, journal=journal, attempt=attempt):
        await send(sink, batch)


def _sealed(sink: Sink, records: tuple[Record, ...], name: str, journal: str, attempt: int) -> Batch:
    members = [(record.scan_id, record.sha256) for record in records]
    digest = hashlib.sha256(msgspec.json.encode(members)).hexdigest()
    own = hashlib.sha256(msgspec.json.encode([journal, sink.context.name, digest])).hexdigest()
    batch_id = f"{records[0].seq:012d}-{own[:16]}"
    # Through JSON, as the journal keeps it: a shape that does not survive this is no shape.
    shape = msgspec.json.decode(msgspec.json.encode(sink.shape()))
    return Batch(
        id=batch_id,
        name=name.replace("{batch_id}", batch_id),
        records=records,
        digest=digest,
        shape=shape,
        attempt=attempt,
    )
