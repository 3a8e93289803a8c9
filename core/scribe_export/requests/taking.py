"""Requests from a source into the journal, as `Intake` takes scans."""

from collections.abc import Callable, Mapping, Sequence

import anyio
import structlog

from scribe_export.clock import Clock
from scribe_export.errors import JournalFull
from scribe_export.identify import Origin
from scribe_export.intake import FULL_PAUSE
from scribe_export.journal.requests import NewRequest, accept_from
from scribe_export.journal.store import Store
from scribe_export.model import Incoming
from scribe_export.requests.message import read_request

log = structlog.get_logger()


class RequestIntake:
    """For one source; `replies` says whether its requesters are answered, `told` are called when there is more to do."""

    def __init__(self, store: Store, clock: Clock, *, replies: bool, told: Sequence[Callable[[], None]]) -> None:
        self._store, self._clock, self._replies, self._told = store, clock, replies, told

    async def prepare(self, incoming: Sequence[Incoming], origin: Origin) -> list[NewRequest]:
        """Read what came."""
        requests = [read_request(item, origin.source) for item in incoming]
        for item, request in zip(incoming, requests, strict=True):
            if request.invalid:
                log.error("not a request", source=origin.source, origin=item.origin, error=request.invalid)
        return requests

    async def commit(
        self, requests: Sequence[NewRequest], origin: Origin, checkpoint: Mapping[str, str | None] | None = None
    ) -> list[str]:
        """Journal what `prepare` gave, with the source's checkpoint; returns their ids after the fsync.

        Waits while it is full.
        """
        while True:
            try:
                with anyio.CancelScope(shield=True):
                    await self._store.do(
                        lambda db: accept_from(
                            db, requests, source=origin.source, replies=self._replies, checkpoint=checkpoint
                        )
                    )
                break
            except JournalFull as error:
                log.warning("source paused", source=origin.source, reason=str(error))
                await self._clock.sleep(FULL_PAUSE)
        for tell in self._told:
            tell()
        return [request.request_id for request in requests]
