"""Looking at the pipeline over and over, and telling what changed."""

from collections.abc import Iterable, Mapping
from pathlib import Path
from random import Random

import anyio
import structlog

from scribe_export.alerts.event import Event, iso
from scribe_export.alerts.memory import Memory, recall, remember
from scribe_export.alerts.options import AlertOptions
from scribe_export.alerts.outbox import Outbox
from scribe_export.alerts.reading import Reader
from scribe_export.alerts.rules import findings
from scribe_export.alerts.sending import Sending
from scribe_export.alerts.tracker import Tracker
from scribe_export.alerts.webhook import Webhook
from scribe_export.clock import Clock
from scribe_export.errors import JournalFull, JournalUnusable
from scribe_export.feed import Feed
from scribe_export.journal.store import Store
from scribe_export.lane.lane import Lane
from scribe_export.tasks import plain_errors

log = structlog.get_logger()


class AlertWatch:
    """Tells each change of each alert once, in the log and to the webhook if there is one.

    What was told is kept in the journal, so that a restart neither tells it again nor leaves it standing. `folder` is
    where a relative path of the options starts.
    """

    def __init__(
        self,
        options: AlertOptions,
        *,
        pipeline: str,
        folder: Path,
        store: Store,
        lanes: Mapping[str, Lane],
        feeds: Iterable[Feed],
        clock: Clock,
        rng: Random,
    ) -> None:
        self._options, self._store, self._clock = options, store, clock
        self._pipeline, self._folder, self._rng = pipeline, folder, rng
        self._reader = Reader(store, lanes, feeds, clock)
        self._saved = Memory()

    async def run(self) -> None:
        """For ever; raises `JournalUnusable`."""
        memory = await self._store.do(recall)
        self._saved = memory
        self._tracker = Tracker(self._options.quiet, memory.standing)
        self._outbox = Outbox(memory.told, memory.waiting)
        with plain_errors():
            async with anyio.create_task_group() as tasks:
                sending = self._sending()
                if sending:
                    tasks.start_soon(sending.run)
                while True:
                    await self._look()
                    if sending:
                        sending.ring()
                    await self._save()
                    await self._clock.sleep(self._options.every)

    def _sending(self) -> Sending | None:
        if self._options.webhook is None:
            return None
        return Sending(
            Webhook(self._options.webhook, self._folder),
            self._outbox,
            pipeline=self._pipeline,
            clock=self._clock,
            rng=self._rng,
            changed=self._save,
        )

    async def _look(self) -> None:
        try:
            seen = await self._reader.look()
            found = findings(seen, self._options)
            for event in self._tracker.follow(found, at=self._clock.now(), moment=seen.moment):
                _tell(event)
                self._outbox.put(event)
        except JournalUnusable:
            raise
        except JournalFull as error:
            log.debug("alerts not looked at", reason=str(error))  # the disk; lanes and sources say so themselves
        except Exception:  # a bug in what looks on must not stop what delivers
            log.exception("alerts failed")

    async def _save(self) -> None:
        memory = Memory.of(self._tracker, self._outbox)
        if memory == self._saved:
            return
        try:
            await self._store.do(lambda db: remember(db, memory))
            self._saved = memory
        except JournalFull as error:
            log.debug("alerts not kept", reason=str(error))  # tried again after the next look


def _tell(event: Event) -> None:
    about = {"alert": event.alert, "name": event.name, "reason": event.reason, "since": iso(event.since)}
    if event.state == "raised":
        log.error("alert raised", **about)
    else:
        log.info("alert cleared", **about)
