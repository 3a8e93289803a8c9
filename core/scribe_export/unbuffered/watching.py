"""Scans and requests on their way, watched until it is decided what became of them."""

import functools
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import anyio
import structlog

from scribe_export.clock import Clock
from scribe_export.errors import JournalFull
from scribe_export.journal.database import Database
from scribe_export.journal.fates import Grave, Graves, ended_requests, forget, judged, take_dead
from scribe_export.journal.store import Store
from scribe_export.lane.waiting import Bell

log = structlog.get_logger()
FULL_PAUSE = 1.0

Ticket = int | str
"""A scan's number in the journal, or a request's id."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """Every destination has the scan, but for those that `dead` names; of one that is not `known` nobody can tell."""

    dead: Sequence[Grave] = ()
    known: bool = True


@dataclass(eq=False, slots=True)
class Watch:
    """Several tickets; `next` tells them as they are decided."""

    waiting: dict[int, Ticket]
    _news: dict[int, Outcome] = field(default_factory=dict)
    _bell: anyio.Event = field(default_factory=anyio.Event)
    over: bool = False

    async def next(self) -> dict[int, Outcome]:
        """What was decided since the last call, by its place, once there is some; empty if there will be no more."""
        while not self._news and self.waiting and not self.over:
            await self._bell.wait()
            self._bell = anyio.Event()
        news, self._news = self._news, {}
        return news

    def tell(self, index: int, outcome: Outcome) -> None:
        """One is decided."""
        del self.waiting[index]
        self._news[index] = outcome
        self._bell.set()

    def end(self) -> None:
        """Nothing more will be decided."""
        self.over = True
        self._bell.set()


class Watcher:
    """Looks at what is watched whenever something moved, in one command for all."""

    def __init__(self, store: Store, clock: Clock) -> None:
        self._store, self._clock = store, clock
        self._bell = Bell()
        self._watches: list[Watch] = []
        self._dead: Graves = {}
        self._stopping = False

    def watch(self, tickets: Sequence[Ticket]) -> Watch:
        """Begin to watch."""
        watch = Watch(dict(enumerate(tickets)), over=self._stopping)
        self._watches.append(watch)
        self._bell.ring()
        return watch

    def ring(self) -> None:
        """Something moved."""
        self._bell.ring()

    def stop(self) -> None:
        """Nothing moves any more: look once more, and end."""
        self._stopping = True
        self._bell.ring()

    def drop(self, watch: Watch) -> None:
        """Nobody waits for it any more."""
        if watch in self._watches:
            self._watches.remove(watch)

    async def run(self) -> None:
        """Until stopped; then every watch is over."""
        while not self._stopping:
            await self._bell.wait(self._clock, None)
            await self._look()
        await self._look()
        for watch in self._watches:
            watch.end()

    async def _look(self) -> None:
        tickets = {ticket for watch in self._watches for ticket in watch.waiting.values()}
        if tickets:
            try:
                ended, self._dead = await self._store.do(functools.partial(_judge, tickets, self._dead))
            except JournalFull as error:
                log.warning("journal full", reason=str(error))
                await self._clock.sleep(FULL_PAUSE)
                self._bell.ring()
                return
            for watch in self._watches:
                for index, ticket in list(watch.waiting.items()):
                    if ticket in ended:
                        watch.tell(index, ended[ticket])
        self._watches = [watch for watch in self._watches if watch.waiting]


def _judge(tickets: set[Ticket], before: Graves, db: Database) -> tuple[dict[Ticket, Outcome], Graves]:
    """What has ended, and how; what is dead is forgotten at once, or a repeat would be taken for one that got through.

    `before` are the graves of scans that were not decided yet, or that nobody watched; those of today are the second
    answer.
    """
    graves = dict(before)
    for seq, grave in take_dead(db).items():
        earlier = graves.get(seq)
        graves[seq] = replace(earlier, letters=earlier.letters + grave.letters) if earlier else grave
    requests = ended_requests(db, [one for one in tickets if isinstance(one, str)])
    asked = {seq for seqs in requests.values() for seq in seqs}
    found = judged(db, {one for one in tickets if isinstance(one, int)} | asked | graves.keys())
    for seq in found.gone:
        graves.pop(seq, None)
    wanted = found.decided & (asked | {one for one in tickets if isinstance(one, int)})
    fates = {seq: Outcome((graves[seq],) if seq in graves else ()) for seq in wanted}
    fates |= dict.fromkeys(found.gone, Outcome(known=False))
    ended: dict[Ticket, Outcome] = {seq: outcome for seq, outcome in fates.items() if seq in tickets}
    for name, left in requests.items():
        if all(seq in fates for seq in left):
            outcomes = [fates[seq] for seq in left]
            dead = [grave for outcome in outcomes for grave in outcome.dead]
            ended[name] = Outcome(dead, known=all(outcome.known for outcome in outcomes))
    told = {
        seq for seq in wanted if seq in tickets or any(seq in left for name, left in requests.items() if name in ended)
    }
    forget(db, [seq for seq in told if seq in graves])
    return ended, {seq: grave for seq, grave in graves.items() if seq not in told}
