"""One attempt at one sealed batch: read back, check, encode, write."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass

import anyio.to_thread

from scribe_export.claims import ClaimStore
from scribe_export.errors import PartialFailure, Rejected
from scribe_export.interface import Sink
from scribe_export.journal.batches import SealedBatch
from scribe_export.lane.spending import Spent, spent, spent_on_claims
from scribe_export.model import Batch, Encoded, Record
from scribe_export.oversize import Fitted, fit
from scribe_export.redaction import redacted

INLINE_BYTES = 128 * 1024
"""Below this, encoding costs less than handing it to a worker thread."""


@dataclass(frozen=True, slots=True)
class Delivered:
    """Confirmed; `answer` is the service's, for the receipt."""

    answer: str
    spent: tuple[Spent, ...] = ()


@dataclass(frozen=True, slots=True)
class Refused:
    """Nothing was written: these members, by sequence number, can never be accepted, with class and reason."""

    members: dict[int, tuple[str, str]]


@dataclass(frozen=True, slots=True)
class Failed:
    """The attempt raised; nothing can have been written unless `raised_in` is ``write``."""

    error: Exception
    raised_in: str
    spent: tuple[Spent, ...] = ()


@dataclass(frozen=True, slots=True)
class SetApart:
    """Nothing was written: these members, by sequence number, wait for the store that keeps them whole."""

    members: frozenset[int]
    error: Exception


Outcome = Delivered | Refused | Failed | SetApart


def as_sent(batch: SealedBatch, records: Sequence[Record]) -> Batch:
    """A sealed batch as its sink gets it."""
    return Batch(
        id=batch.batch_id,
        name=batch.name,
        records=tuple(records),
        digest=batch.digest,
        shape=batch.shape,
        generation=batch.generation,
        attempt=batch.attempts + 1 + (batch.unknown and batch.attempts == 0),
        note=batch.note,
    )


async def encode(sink: Sink, batch: SealedBatch, records: Sequence[Record]) -> Fitted | Refused | Failed:
    """The batch in its sink's form, or why not."""
    sent = as_sent(batch, records)
    try:
        if batch.size <= INLINE_BYTES or type(sink).encode is Sink.encode:
            fitted = fit(sink, sent)
        else:
            fitted = await anyio.to_thread.run_sync(fit, sink, sent)
    except Exception as error:  # noqa: BLE001 - whatever it is, the lane judges it
        return Failed(error, "encode")
    if refused := fitted.encoded.refused:
        return Refused({records[index].seq: (error.kind, str(error)) for index, error in refused.items()})
    return fitted


async def keep_claims(store: ClaimStore, fitted: Fitted) -> SetApart | Refused | None:
    """Put the whole scans into their store before their pointers are sent; None if they lie there."""
    seqs = frozenset(record.seq for record in fitted.claims.values())
    try:
        await store.keep(fitted.claims.values())
    except Rejected as error:
        return Refused(dict.fromkeys(seqs, (error.kind, f"{store.name}: {error}")))
    except Exception as error:  # noqa: BLE001 - whatever it is, only these scans wait for it
        return SetApart(seqs, error)
    return None


def takes_places(sink: Sink) -> bool:
    """Whether its batches need a place at the service before they are written."""
    return type(sink).prepare is not Sink.prepare


async def prepare(sink: Sink, batch: Batch) -> str | Failed:
    """The place that the sink took, or why there is none; nothing of the batch was written."""
    try:
        return await sink.prepare(batch)
    except Exception as error:  # noqa: BLE001 - whatever it is, the lane judges it
        return Failed(error, "prepare")


async def write(
    sink: Sink, encoded: Encoded, claims: ClaimStore | None = None, claimed: Collection[Record] = ()
) -> Delivered | Failed:
    """The one call that may have an effect; the whole scans `claimed` lie in `claims` by now."""
    kept = (spent_on_claims(claims, claimed, again=encoded.batch.attempt > 1),) if claims and claimed else ()
    try:
        answer = redacted(str(await sink.write(encoded) or ""))
    except Exception as raised:  # noqa: BLE001 - whatever it is, the lane judges it
        error = _about(encoded, raised)
        return Failed(error, "write", (spent(sink, encoded, error), *kept))
    return Delivered(answer, (spent(sink, encoded), *kept))


def _about(encoded: Encoded, error: Exception) -> Exception:
    """The error, or a bug of the sink where it tells of records that are not in the batch."""
    known = range(len(encoded.batch.records))
    if isinstance(error, PartialFailure):
        strange = [one for one in (*error.acked, *error.errors) if one not in known]
        if strange:
            return ValueError(f"PartialFailure tells of record {strange[0]!r:.40}, and the batch has {len(known)}")
    return error
