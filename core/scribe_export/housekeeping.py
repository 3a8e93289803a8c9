"""What the journal does for itself, off the delivery path: collecting bodies, forgetting history."""

import itertools

import anyio
import structlog

from scribe_export.clock import Clock
from scribe_export.errors import JournalFull, JournalUnusable
from scribe_export.journal.collect import Collector, prune
from scribe_export.journal.folder import StateFolder
from scribe_export.journal.store import Store
from scribe_export.journal.usage import prune_usage

log = structlog.get_logger()
INTERVAL = 1.0
PRUNE_EVERY = 60


class Housekeeper:
    """Works in slices, each a command of its own, so that deliveries come between. `history` is in seconds."""

    def __init__(self, store: Store, folder: StateFolder | None, clock: Clock, history: float) -> None:
        self.collector = Collector()
        self.turn = anyio.Lock()
        """Held by whoever needs that no body goes meanwhile."""
        self._store, self._folder, self._clock, self._history = store, folder, clock, history

    async def run(self) -> None:
        """For ever, at once and then every second; raises `JournalUnusable` when the state folder is taken away.

        The first round forgets history too: an exporter that is started every hour and is soon done has no other.
        """
        for rounds in itertools.count():
            if self._folder and self._folder.lost:
                raise JournalUnusable(f"{self._folder.path}: the state folder was removed or replaced while in use")
            try:
                await self.collect()
                if rounds % PRUNE_EVERY == 0:
                    while await self._store.do(lambda db: prune(db, self._history)):
                        pass
                    await self._store.do(prune_usage)
            except JournalFull as error:
                log.warning("journal full", reason=str(error))
            await self._clock.sleep(INTERVAL)

    async def collect(self) -> None:
        """Remove every body that nobody needs any more."""
        async with self.turn:
            while await self._store.do(self.collector.collect):
                pass
