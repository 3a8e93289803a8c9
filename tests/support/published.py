"""What a test says of scans that were published."""

import json
from collections.abc import Callable, Sequence
from typing import Any

import grpc
from google.pubsub_v1 import types
from support.grpc_front import Call, GrpcFront, Status
from support.records import body

Request = types.PublishRequest.pb()


def of_material(number: int, material: str) -> bytes:
    matches = {"pattern_matches": {"materials": [{"material": material}]}}
    return body(number, interpretation={"confidence_scores": {"overall": 0.9}, **matches})


def published(front: GrpcFront) -> list[Any]:
    return [Request.FromString(one) for one in front.bodies("Publish")]


def scan_ids(messages: Sequence[Any]) -> list[str]:
    return [str(json.loads(one.data)["scan_id"]) for one in messages]


def firsts(ids: Sequence[str]) -> list[str]:
    """Each once, where it came first."""
    return list(dict.fromkeys(ids))


def refusing(scan_id: str, code: grpc.StatusCode) -> Callable[[Call], Status | None]:
    def script(call: Call) -> Status | None:
        return Status(code) if scan_id in scan_ids(Request.FromString(call.body).messages) else None

    return script
