"""A plan as one JSON document, complete."""

import base64
from collections.abc import Iterable
from typing import Any

from scribe_export.planning import Plan, PlannedBatch, PlannedRequest, PlannedScan


def as_json(plan: Plan) -> dict[str, Any]:
    """Bodies are text where they are UTF-8, and base64 otherwise; sizes are in bytes."""
    return {
        "scans": [_scan(scan) for scan in plan.scans],
        "destinations": {
            planned.name: {
                "type": planned.type,
                "effect": f"{planned.effect.kind.value}, by {planned.effect.by}",
                "batches": [_batch(batch) for batch in planned.batches],
            }
            for planned in plan.destinations
        },
    }


def _scan(scan: PlannedScan) -> dict[str, Any]:
    return {
        "origin": scan.origin,
        "scan_id": scan.scan_id or None,
        "size": scan.size,
        "sha256": scan.sha256,
        "outcome": scan.outcome,
        "class": scan.kind or None,
        "why": scan.why or None,
        "destinations": {
            name: {
                "verdict": fate.verdict,
                "class": fate.kind or None,
                "why": fate.why or None,
                "batch": fate.batch or None,
            }
            for name, fate in scan.fates.items()
        },
    }


def _batch(batch: PlannedBatch) -> dict[str, Any]:
    return {
        "id": batch.id,
        "name": batch.name or None,
        "scans": list(batch.scans),
        "size": batch.size,
        "problem": batch.problem or None,
        "claims": {"destination": batch.store, "requests": _requests(batch.claims)} if batch.store else None,
        "requests": _requests(batch.requests),
    }


def _requests(requests: Iterable[PlannedRequest]) -> list[dict[str, Any]]:
    return [_request(planned) for planned in requests]


def _request(planned: PlannedRequest) -> dict[str, Any]:
    request = planned.request
    try:
        encoding, body = "utf-8", request.body.decode("utf-8")
    except UnicodeDecodeError:
        encoding, body = "base64", base64.b64encode(request.body).decode("ascii")
    return {
        "method": request.method,
        "target": request.target,
        "headers": dict(request.headers),
        "body_encoding": encoding,
        "body": body,
        "size": len(request.body),
        "scans": list(planned.scans),
    }
