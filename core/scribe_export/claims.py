"""Whole scans kept in one destination's store for another destination, which gets a pointer to them."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Protocol, runtime_checkable

import anyio

from scribe_export.errors import BreakerOpen, Misconfigured, Rejected, SinkError
from scribe_export.model import Record, Request, Usage
from scribe_export.oversize import ANY_SHA256, claim_key
from scribe_export.patterns import CircuitBreaker


@runtime_checkable
class ClaimHolder(Protocol):
    """What a sink has whose store can hold claims; nothing that it once held is removed by this project."""

    async def open(self) -> None:
        """As `Connector.open`."""

    async def close(self) -> None:
        """As `Connector.close`."""

    def location(self, key: str) -> Mapping[str, str]:
        """Where an object of that name lies: a `uri`, and its parts as the service calls them."""

    async def keep(self, key: str, record: Record) -> None:
        """Return once the raw body lies under `key`, also if it did before; raises as `Sink.write`."""

    async def preview_keep(self, key: str, record: Record) -> Sequence[Request]:
        """The requests of a first `keep`, as `Sink.preview`."""


@runtime_checkable
class CountedHolder(Protocol):
    """A holder that can say what keeping a claim is charged for."""

    def usage_of_keep(self, key: str, record: Record) -> Usage:
        """As `Sink.usage`, of one `keep`."""


class ClaimStore:
    """A store as one lane uses it, with a breaker of its own: its being down says nothing of the lane's destination."""

    def __init__(self, name: str, holder: ClaimHolder, breaker: CircuitBreaker) -> None:
        self.name = name
        self._holder = holder
        self._breaker = breaker
        self._open = False
        self._turn = anyio.Lock()

    @property
    def location(self) -> Mapping[str, str]:
        """Where a scan whose sha256 is `ANY_SHA256` would lie."""
        return self._holder.location(claim_key(ANY_SHA256))

    async def keep(self, records: Iterable[Record]) -> None:
        """Return once all of them lie in the store. Raises a `SinkError` that says what the store said."""
        async with self._turn:
            if not self._breaker.allow():
                raise BreakerOpen(
                    f"the claim store {self.name} is given a rest: {self._breaker.reason}",
                    retry_after=max(self._breaker.remaining(), 1.0),
                )
            try:
                if not self._open:
                    await self._holder.open()
                    self._open = True
                for record in records:
                    await self._holder.keep(claim_key(record.sha256), record)
            except Rejected:
                self._breaker.release()
                raise
            except Misconfigured as error:
                self._breaker.trip(str(error))
                raise
            except (SinkError, OSError) as error:
                self._breaker.record_failure(str(error))
                raise
            self._breaker.record_success()

    def usage(self, record: Record) -> Usage:
        """What keeping one scan is charged for, as far as the store can tell."""
        holder = self._holder
        return holder.usage_of_keep(claim_key(record.sha256), record) if isinstance(holder, CountedHolder) else Usage()

    async def close(self) -> None:
        """Safe twice, and before the first use."""
        await self._holder.close()
