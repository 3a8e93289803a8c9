"""The records of platforms' events."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

_SHOWN = 200


@dataclass(frozen=True, slots=True)
class Arrival:
    """One record of a platform's event. `id` is the platform's name for it.

    Those with the same `order` are taken one after another, and none after one that was not confirmed.
    """

    id: str
    event: Mapping[str, Any]
    order: str = ""


def described(event: Mapping[str, Any]) -> str:
    """Where an event comes from, as far as it says, for a message."""
    for names in (("eventSourceARN",), ("s3", "bucket", "name"), ("detail", "bucket", "name"), ("subscription",)):
        found: Any = event
        for name in names:
            found = found.get(name) if isinstance(found, Mapping) else None
        if isinstance(found, str):
            return found[:_SHOWN]
    kind = " ".join(str(event[name]) for name in ("eventSource", "source", "detail-type") if name in event)
    return (kind or f"an unknown kind, with {', '.join(map(str, event)) or 'nothing in it'}")[:_SHOWN]
