"""Completed scans, found by polling the SCRIBE API with exactly the guide's requests."""

from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing
from itertools import islice
from typing import ClassVar

import anyio
import structlog

from scribe_connectors.scribe._endpoints import ScanId
from scribe_connectors.scribe._fetch import fetch
from scribe_connectors.scribe._newest import Newest, newest
from scribe_connectors.scribe._postponed import Postponed
from scribe_connectors.scribe._seen import Note, Seen
from scribe_connectors.scribe.client import AsyncScribeClient
from scribe_connectors.scribe.options import ScribeSourceOptions, connected
from scribe_export.errors import BreakerOpen, Misconfigured, Transient
from scribe_export.interface import Checkpoint, Context, Source
from scribe_export.model import Delivery, Incoming
from scribe_export.options import Options
from scribe_export.patterns import RetryPolicy

MAX_BYTES = 8 * 2**20
"""A delivery of as much takes no more scans."""
_log = structlog.get_logger(__name__)


class _Handed:
    """A delivery on its way: what it will have changed once it is committed."""

    def __init__(self, note: Note, marks: list[str]) -> None:
        self.note = note
        self.marks = marks
        self._settled = anyio.Event()
        self._taken = False

    async def ack(self) -> None:
        self._taken = True
        self._settled.set()

    async def nack(self) -> None:
        self._settled.set()

    async def taken(self) -> bool:
        await self._settled.wait()
        return self._taken


class ScribeApiSource(Source):
    """Polls ``GET /scans?limit=…``, newest first, and yields what ``GET /scans/{id}`` serves, raw and oldest first.

    The list is asked for more and more until it meets scans seen before. If it never does, scans may have been missed:
    the log says ``gap`` with the numbers, and `gaps` counts it. That is so when scans are listed of which none is known,
    and either the list is full at `max_limit` (or at the highest limit the API grants), or this is not the first start. A
    scan whose document cannot be fetched is tried again later and delays no other. One delivery is unacked at a time,
    while the next is fetched.
    """

    options_type: ClassVar[type[Options]] = ScribeSourceOptions
    options: ScribeSourceOptions

    def __init__(self, options: ScribeSourceOptions, context: Context) -> None:
        super().__init__(options, context)
        self._nacked = False
        self._unfinished = False
        self._nameless = 0
        self._client: AsyncScribeClient | None = None
        retry = RetryPolicy(base_delay=self._retry_after, max_delay=300.0, clock=context.clock)
        self._postponed = Postponed(context.name, retry, context.clock, missed=self.missed)

    @property
    def _retry_after(self) -> float:
        """Seconds before the first repeat of what failed."""
        return self.options.poll_interval

    async def open(self) -> None:
        await self.close()
        self._client = await connected(self.options, self.context)

    async def close(self) -> None:
        client, self._client = self._client, None
        if client:
            await client.close()

    async def deliveries(self, checkpoint: Checkpoint) -> AsyncGenerator[Delivery]:
        if self._client is None:
            raise RuntimeError("the source is not open")
        seen = await Seen(self.options.max_limit).load(checkpoint)
        self._postponed.take_up(seen)
        while True:
            listed = await self._look(self._client, seen)
            handed = False
            async with aclosing(self._round(self._client, seen, listed)) as deliveries:
                async for delivery in deliveries:
                    handed = True
                    yield delivery
            if self.context.once:
                if self._postponed and not self._nacked:
                    raise Transient(self._postponed.describe(), applied="no")
                return
            behind = listed.asked > self.options.first_limit and handed and not self._nacked
            if not behind:
                await self.context.clock.sleep(self.options.poll_interval)

    async def _look(self, client: AsyncScribeClient, seen: Seen) -> Newest:
        def known(marked: str) -> bool:
            return marked in seen or marked in self._postponed

        first, most = self.options.first_limit, self.options.max_limit
        listed = await newest(client, known, first_limit=first, max_limit=most)
        if listed.nameless > self._nameless:
            _log.error("scans without an id", source=self.context.name, count=listed.nameless)
            self.missed(f"{listed.nameless} scans are listed without an id, and so cannot be fetched")
        self._nameless = listed.nameless
        passed_over = not seen.started and self.options.start == "latest"
        if listed.scans and not listed.met and (listed.exhausted or seen.started) and not passed_over:
            hint = "no scan seen before is among those listed: scans may have been missed; raise max_limit"
            self.missed(hint)
            _log.error(
                "gap",
                source=self.context.name,
                hint=hint,
                asked=listed.asked,
                listed=len(listed.scans),
                max_limit=most,
                oldest_scan_id=next(reversed(listed.scans.values())),
                first_start=not seen.started,
            )
        return listed

    async def _round(self, client: AsyncScribeClient, seen: Seen, listed: Newest) -> AsyncGenerator[Delivery]:
        """Hand over what is new or was postponed; ends early when a delivery is nacked or the API is down."""
        self._nacked = self._unfinished = False
        if not seen.started and self.options.start == "latest":
            handed = _Handed(seen.note(reversed(listed.scans), {}), [])
            yield Delivery((), handed.note.checkpoint, handed.ack, handed.nack)
            await self._settle(seen, handed)
            return
        new = {marked: listed.scans[marked] for marked in reversed(listed.scans) if self._is_new(seen, marked)}
        wanted = {**new, **self._postponed.due(all_of_them=self.context.once)}
        async with aclosing(self._hand(seen, self._chunks(client, wanted))) as deliveries:
            async for delivery in deliveries:
                yield delivery

    async def _hand(self, seen: Seen, found: AsyncGenerator[Mapping[str, Incoming]]) -> AsyncGenerator[Delivery]:
        """Hand over what was found, by mark; ends early when a delivery is nacked."""
        previous: _Handed | None = None
        async with aclosing(found) as chunks:
            async for scans in chunks:
                if previous and not await self._settle(seen, previous):
                    return
                previous = _Handed(seen.note(scans, self._postponed.without(scans)), list(scans))
                yield Delivery(list(scans.values()), previous.note.checkpoint, previous.ack, previous.nack)
        if previous:
            await self._settle(seen, previous)

    async def _chunks(
        self, client: AsyncScribeClient, wanted: Mapping[str, ScanId]
    ) -> AsyncGenerator[Mapping[str, Incoming]]:
        """The documents by mark, as many as one delivery carries at a time; failures are postponed."""
        left, found, size, arrived = iter(wanted.items()), dict[str, Incoming](), 0, False
        while group := dict(islice(left, min(self.options.max_in_flight, self.options.max_records - len(found)))):
            answers = await fetch(client, group)
            if not arrived and all(isinstance(answer, Misconfigured) for answer in answers.values()):
                raise next(answer for answer in answers.values() if isinstance(answer, Misconfigured))
            for marked, answer in answers.items():
                if isinstance(answer, bytes):
                    found[marked], size, arrived = self._incoming(answer, wanted[marked]), size + len(answer), True
                elif not isinstance(answer, BreakerOpen):
                    self._postponed.add(marked, wanted[marked], answer)
            if any(isinstance(answer, BreakerOpen) for answer in answers.values()):
                self._unfinished = True
                break
            if len(found) >= self.options.max_records or size >= MAX_BYTES:
                yield found
                found, size = {}, 0
        if found:
            yield found

    def _incoming(self, body: bytes, scan_id: ScanId) -> Incoming:
        return Incoming(body, f"{self.options.url}/scans/{scan_id}")

    def _is_new(self, seen: Seen, marked: str) -> bool:
        return marked not in seen and marked not in self._postponed

    async def _settle(self, seen: Seen, handed: _Handed) -> bool:
        if not await handed.taken():
            self._nacked = self._unfinished = True
            return False
        seen.apply(handed.note)
        self._postponed.forget(handed.marks)
        return True
