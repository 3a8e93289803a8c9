"""What the journal does for itself, off the delivery path: collecting bodies, forgetting history."""

import structlog

from scribe_export.clock import Clock
from scribe_export.errors import JournalFull
from scribe_export.journal.collect import Collector, prune
from scribe_export.journal.store import Store

log = structlog.get_logger()
INTERVAL = 1.0
PRUNE_EVERY = 60


class Housekeeper:
    """Works in slices, each a command of its own, so that deliveries come between. `history` is in seconds."""

    def __init__(self, store: Store, clock: Clock, history: float) -> None:
        self.collector = Collector()
        self._store, self._clock, self._history = store, clock, history

    async def run(self) -> None:
        """For ever."""
        rounds = 0
        while True:
            await self._clock.sleep(INTERVAL)
            rounds += 1
            try:
                await self.collect()
                if rounds % PRUNE_EVERY == 0:
                    while await self._store.do(lambda db: prune(db, self._history)):
                        pass
            except JournalFull as error:
                log.warning("journal full", reason=str(error))

    async def collect(self) -> None:
        """Remove every body that nobody needs any more."""
        while await self._store.do(self.collector.collect):
            pass
