"""What is sent in place of a scan that its destination cannot take: less of it, or where the whole of it lies.

Decided by what was frozen when the batch was sealed, so that a repeat sends the same bytes.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import msgspec

from scribe_export.errors import Rejected
from scribe_export.fields import Selection
from scribe_export.interface import Sink
from scribe_export.model import Batch, Encoded, Record
from scribe_export.options import FieldsOptions, OversizeOptions

TOO_LARGE = "too_large"
"""The kind of `Rejected` that `oversize:` acts on."""
POINTER = "claim_check"
"""The field that says where the whole scan lies: `uri`, what of it the store needs (`bucket`, `key`), `size` in bytes and
`sha256` in hex."""
SHAPE = "oversize"
"""Under which key the policy lies in `Batch.shape`."""
ANY_SHA256 = "sha256-of-the-whole-scan"
"""Stands for the SHA-256 in a location that is frozen for all scans of a batch."""
_LEAST = FieldsOptions(include=("scan_id", "timestamp"))


@dataclass(frozen=True, slots=True)
class Fitted:
    """A batch as it will be written. `claims` are the scans, by index, of which only a pointer is in it; these have to
    lie in the store before it is written. `trimmed` are those that left something behind."""

    encoded: Encoded
    claims: Mapping[int, Record] = field(default_factory=dict)
    trimmed: frozenset[int] = frozenset()


def claim_key(sha256: str) -> str:
    """The name of a claim-checked scan in its store."""
    return f"claims/{sha256}"


def frozen_policy(options: OversizeOptions, location: Mapping[str, str] | None) -> dict[str, Any]:
    """What `Batch.shape` keeps: `location` is where the store would put a scan whose sha256 is `ANY_SHA256`."""
    if options.action == "dead_letter":
        return {}
    return {SHAPE: {"action": options.action, "trim": list(options.trim), "location": dict(location or {})}}


def sealed_shape(sink: Sink, location: Mapping[str, str] | None) -> dict[str, Any]:
    """What is frozen of a sink's options at sealing, with what becomes of a scan that is too large."""
    return dict(sink.shape()) | frozen_policy(sink.options.oversize, location)


def fit(sink: Sink, batch: Batch) -> Fitted:
    """Encode a batch with the scans that are too large replaced as its policy says; pure, as `Sink.encode`.

    First a scan leaves behind what `trim` names; one that is claim-checked and still too large is sent as its id, its
    timestamp and the pointer alone.
    """
    encoded = sink.encode(batch)
    policy = batch.shape.get(SHAPE)
    large = _too_large(encoded)
    if not policy or not large:
        return Fitted(encoded)
    records = list(batch.records)
    replaced: set[int] = set()
    for least in (False, True) if policy["action"] == POINTER else (False,):
        for index in large:
            smaller = _smaller(batch.records[index], policy, least=least)
            if smaller:
                records[index] = smaller
                replaced.add(index)
        encoded = sink.encode(replace(batch, records=tuple(records)))
        large = _too_large(encoded)
        if not large:
            break
    taken = frozenset(replaced - encoded.refused.keys())
    if policy["action"] == POINTER:
        return Fitted(encoded, claims={index: batch.records[index] for index in sorted(taken)})
    return Fitted(encoded, trimmed=taken)


def _too_large(encoded: Encoded) -> list[int]:
    return [index for index, error in encoded.refused.items() if error.kind == TOO_LARGE]


def _smaller(record: Record, policy: Mapping[str, Any], *, least: bool) -> Record | None:
    paths = (*policy["trim"], POINTER) if policy["action"] == POINTER else tuple(policy["trim"])
    try:
        body = Selection(_LEAST if least else FieldsOptions(exclude=paths)).apply(record.body)
    except Rejected:
        return None
    if policy["action"] == POINTER:
        pointer = {name: text.replace(ANY_SHA256, record.sha256) for name, text in policy["location"].items()}
        claim = msgspec.json.encode(pointer | {"size": record.size, "sha256": record.sha256})
        body = body.removesuffix(b"}") + b',"claim_check":' + claim + b"}"
    return Record(
        seq=record.seq,
        scan_id=record.scan_id,
        sha256=record.sha256,
        body=body,
        source=record.source,
        version=record.version,
        received_at=record.received_at,
        fields=record.fields,
        assume=record.assume,
    )
