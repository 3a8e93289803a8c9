"""Deliveries in the exporter's hands: each message is acknowledged once all its destinations have confirmed it.

What no destination can ever take goes to the one that the config names as `dead_letter`, and is acknowledged when that
one has it; without one it is refused, and the source's own dead-letter queue takes it. What is undecided when the
exporter stops is given back.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

import anyio
import structlog
from anyio.abc import TaskGroup

from scribe_export.errors import JournalFull
from scribe_export.journal.dead import DeadLetter
from scribe_export.model import Answer, Delivery, Incoming
from scribe_export.unbuffered.letters import dead_letter
from scribe_export.unbuffered.watching import Outcome, Ticket, Watcher

log = structlog.get_logger()
PAUSE = 30.0
"""Seconds before a message is refused whose letter was refused too: until somebody acts it would only come and go."""


@dataclass(frozen=True, slots=True)
class Fate:
    """Of one body: `kept` if every destination, or the one for dead letters, confirmed it. `dead`: some destination can
    never take it, and `reason` says why; `reason` without `dead` says why it is not decided."""

    kept: bool
    dead: bool = False
    reason: str = ""


KEPT = Fate(kept=True)
UNDECIDED = Fate(kept=False, reason="not every destination has confirmed it yet")


class Letterbox(Protocol):
    """Takes dead letters for their destination."""

    async def __call__(self, bodies: Sequence[bytes]) -> Sequence[int]:
        """Journal them; their numbers. Raises `JournalFull`."""


class Concluder:
    """`post` takes dead letters, None if the config names no destination for them."""

    def __init__(self, watcher: Watcher, post: Letterbox | None) -> None:
        self._watcher, self._post = watcher, post
        self._tasks: TaskGroup | None = None
        self._open: Counter[str] = Counter()
        self._bells: dict[str, list[anyio.Event]] = {}
        self._over = anyio.Event()
        self.dead = 0
        """What some destination can never take, so far."""

    @property
    def idle(self) -> bool:
        """No delivery waits for its acknowledgement."""
        return not self._open.total()

    def hold(self, source: str, delivery: Delivery, tickets: Sequence[Ticket]) -> bool:
        """Acknowledge a delivery part by part, as it is decided; False if it is too late for that."""
        if self._tasks is None:
            return False
        self._open[source] += 1
        self._tasks.start_soon(self._conclude, source, delivery, tickets)
        return True

    async def released(self, source: str) -> None:
        """Return when no delivery of that source is held any more."""
        while self._open[source]:
            event = anyio.Event()
            self._bells.setdefault(source, []).append(event)
            await event.wait()

    async def tell(
        self, source: str, incoming: Sequence[Incoming], tickets: Sequence[Ticket], fates: list[Fate]
    ) -> None:
        """Write into `fates` what becomes of each as it is decided; returns when all are, or the exporter stops."""
        watch = self._watcher.watch(tickets)
        try:
            while news := await watch.next():
                for index, fate in (await self._judged(source, incoming, news)).items():
                    fates[index] = fate
        finally:
            self._watcher.drop(watch)

    async def run(self) -> None:
        """Until the watcher ends; returns when every delivery was answered."""
        async with anyio.create_task_group() as tasks:
            self._tasks = tasks
            try:
                await self._watcher.run()
            finally:
                self._tasks = None
                self._over.set()

    async def _conclude(self, source: str, delivery: Delivery, tickets: Sequence[Ticket]) -> None:
        watch = self._watcher.watch(tickets)
        try:
            async with anyio.create_task_group() as tasks:
                while news := await watch.next():
                    whole = {index: outcome for index, outcome in news.items() if outcome.known and not outcome.dead}
                    await self._answer(source, delivery, dict.fromkeys(whole, KEPT))
                    if len(whole) < len(news):
                        # A dead letter waits for its own destination, and the others not for it.
                        rest = {index: outcome for index, outcome in news.items() if index not in whole}
                        tasks.start_soon(self._conclude_dead, source, delivery, rest)
                await self._answer(source, delivery, dict.fromkeys(watch.waiting, UNDECIDED))
        finally:
            self._open[source] -= 1
            for bell in self._bells.pop(source, ()):
                bell.set()

    async def _conclude_dead(self, source: str, delivery: Delivery, news: Mapping[int, Outcome]) -> None:
        fates = await self._judged(source, delivery.incoming, news)
        if self._post and any(fate.dead and not fate.kept for fate in fates.values()):
            with anyio.move_on_after(PAUSE):
                await self._over.wait()
        await self._answer(source, delivery, fates)

    async def _judged(self, source: str, incoming: Sequence[Incoming], news: Mapping[int, Outcome]) -> dict[int, Fate]:
        fates = {index: KEPT if outcome.known else UNDECIDED for index, outcome in news.items()}
        dead = [(index, grave) for index, outcome in news.items() for grave in outcome.dead]
        for index, grave in dead:
            fates[index] = Fate(kept=False, dead=True, reason=_told(grave.letters))
            self.dead += 1
            log.error("dead letter", source=source, origin=incoming[index].origin, reason=fates[index].reason)
        if dead and self._post:
            documents = [dead_letter(grave, source, incoming[index].origin) for index, grave in dead]
            posted = await self._posted(self._post, documents)
            for index in {index for index, _ in dead}:
                its = [fate for (place, _), fate in zip(dead, posted, strict=True) if place == index]
                if None not in its:
                    fates[index] = UNDECIDED if UNDECIDED in its else replace(fates[index], kept=True)
        return fates

    async def _posted(self, post: Letterbox, documents: Sequence[bytes]) -> list[Fate | None]:
        """For each, kept, or undecided, or None where its destination refused it."""
        fates: list[Fate | None] = [UNDECIDED] * len(documents)
        try:
            watch = self._watcher.watch(await post(documents))
        except JournalFull as error:
            log.warning("dead letter waits", reason=str(error))
            return fates
        while news := await watch.next():
            for index, outcome in news.items():
                fates[index] = UNDECIDED if not outcome.known else None if outcome.dead else KEPT
        return fates

    async def _answer(self, source: str, delivery: Delivery, fates: Mapping[int, Fate]) -> None:
        assert delivery.answer is not None
        for answer in ("ack", "nack", "refuse"):
            places = [index for index, fate in fates.items() if _answer_to(fate) == answer]
            if not places:
                continue
            try:
                with anyio.CancelScope(shield=True):
                    await delivery.answer(places, answer)
            except Exception as error:  # noqa: BLE001 - what is not acknowledged comes again, whatever hindered it
                log.warning("not acknowledged", source=source, count=len(places), answer=answer, reason=str(error))


def _answer_to(fate: Fate) -> Answer:
    return "ack" if fate.kept else "refuse" if fate.dead else "nack"


def _told(letters: Sequence[DeadLetter]) -> str:
    return "; ".join(f"{letter.destination or 'no destination'}: {letter.kind}: {letter.error}" for letter in letters)
