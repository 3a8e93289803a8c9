"""Messages in subscribers' hands, until they are acknowledged, given back or their time is up."""

import heapq
import itertools
from collections import deque
from dataclasses import dataclass, field
from typing import Any

_numbers = itertools.count(1)


@dataclass(slots=True, eq=False)
class Held:
    """A message that a subscription keeps; `failures` counts its nacks and expired deadlines."""

    message: Any
    size: int
    key: "Key | None"
    failures: int = 0


@dataclass(slots=True, eq=False)
class Key:
    """The messages of one ordering key; `queued` says that it is among what is ready.

    `window` is what was handed out, in order: nothing follows until all of it is acknowledged, and whatever is given back
    takes all that came after it along. https://cloud.google.com/pubsub/docs/ordering
    """

    pending: deque[Held] = field(default_factory=deque)
    window: list["Lease"] = field(default_factory=list)
    queued: bool = False


@dataclass(slots=True, eq=False)
class Outstanding:
    """What one subscriber holds, for its flow control."""

    messages: int = 0
    bytes: int = 0


@dataclass(slots=True, eq=False)
class Lease:
    """One delivery of a message."""

    ack_id: str
    held: Held
    owner: Outstanding
    until: float
    acked: bool = False


class Leases:
    """All deliveries of a subscription whose outcome is open. Not for several threads at once."""

    def __init__(self) -> None:
        self._open: dict[str, Lease] = {}
        self._expiry: list[tuple[float, str]] = []

    def add(self, held: Held, owner: Outstanding, until: float) -> Lease:
        """Hand it out."""
        lease = Lease(f"ack-{next(_numbers):012d}", held, owner, until)
        self._open[lease.ack_id] = lease
        heapq.heappush(self._expiry, (until, lease.ack_id))
        owner.messages += 1
        owner.bytes += held.size
        return lease

    def pop(self, ack_id: str) -> Lease | None:
        """It is over; None if it was before."""
        lease = self._open.pop(ack_id, None)
        if lease:
            lease.owner.messages -= 1
            lease.owner.bytes -= lease.held.size
        return lease

    def extend(self, ack_id: str, until: float) -> bool:
        """Whether it was still open."""
        lease = self._open.get(ack_id)
        if lease:
            lease.until = until
            heapq.heappush(self._expiry, (until, ack_id))
        return lease is not None

    def expired(self, now: float) -> list[str]:
        """Those whose time is up."""
        found = []
        while self._expiry and self._expiry[0][0] <= now:
            until, ack_id = heapq.heappop(self._expiry)
            lease = self._open.get(ack_id)
            if lease and lease.until == until:
                found.append(ack_id)
        return found

    def next_expiry(self) -> float | None:
        """When the next may expire."""
        return self._expiry[0][0] if self._expiry else None
