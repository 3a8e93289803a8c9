"""Driving a source as the framework does: commit, then ack, while the source is already asked for more."""

import math
from collections.abc import AsyncGenerator, Mapping, Sequence
from typing import Literal

import anyio
import anyio.lowlevel
from anyio.streams.memory import MemoryObjectReceiveStream, MemoryObjectSendStream

from scribe_export.errors import Misconfigured, SourceError, Transient
from scribe_export.interface import Source
from scribe_export.model import Delivery
from scribe_export.scan import read_fields
from scribe_export.testing.expect import expect, innermost

Verdict = Literal["commit", "crash", "nack", "divide"]
_GRACE = 1.0


class Notes:
    """A journal's checkpoints; what a source yielded is kept once its delivery is committed, and survives a restart."""

    def __init__(self) -> None:
        self.values: dict[str, str] = {}

    async def get(self, keys: Sequence[str]) -> Mapping[str, str]:
        """The committed values of those of `keys` that have one."""
        return {key: self.values[key] for key in keys if key in self.values}

    def commit(self, checkpoint: Mapping[str, str | None]) -> None:
        """Keep what a delivery says; None forgets a key."""
        for key, value in checkpoint.items():
            expect(value is None or isinstance(value, str), f"checkpoint {key!r}: {value!r} is not text")
            if value is None:
                self.values.pop(key, None)
            else:
                self.values[key] = value


class Intake:
    """One run of a source, from a journal's notes. `committed` and `uncommitted` are scan ids in the order read.

    After `commits` deliveries are committed the others get `then`: ``"commit"`` too, ``"nack"``, or ``"crash"``: neither
    commit nor ack nor nack ever comes. A nacked delivery is followed by nacks only, as a later checkpoint may pass it.
    ``"divide"`` acks every other message of a delivery, from the first on, and nacks the rest.
    `stop_after` ends the run when that many scans were read. `ended` says that the source returned by itself, `error`
    what it raised instead.
    """

    def __init__(
        self, notes: Notes, *, commits: float = math.inf, then: Verdict = "commit", stop_after: float = math.inf
    ) -> None:
        self.notes = notes
        self.commits = commits
        self.then: Verdict = then
        self.stop_after = stop_after
        self.committed: list[str] = []
        self.uncommitted: list[str] = []
        self.bodies: dict[str, bytes] = {}
        self.settled = 0
        self.ended = False
        self.error: Exception | None = None
        self._progress = anyio.Event()

    async def run(self, source: Source, *, patience: float) -> "Intake":
        """Read until the source returns, raises, `stop_after` is reached or nothing moves for `patience` seconds."""
        send, receive = anyio.create_memory_object_stream[Delivery](math.inf)
        try:
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(self._settle, receive)
                async with send:
                    await self._read(source, send, patience)
        except ExceptionGroup as group:
            raise innermost(group) from group
        return self

    async def took(self, count: int, *, patience: float) -> None:
        """Wait until so many scans were committed, or for `patience` seconds."""
        with anyio.move_on_after(patience):
            while len(self.committed) < count:
                await self._progress.wait()

    async def _read(self, source: Source, send: MemoryObjectSendStream[Delivery], patience: float) -> None:
        number = read = 0
        deliveries = source.deliveries(self.notes)
        try:
            while read < self.stop_after:
                # A source may well wait for the ack that a crash leaves out.
                crashing = self.then == "crash" and number > self.commits
                wait = min(patience, _GRACE) if crashing else patience
                with anyio.move_on_after(wait) as waiting:
                    delivery = await anext(deliveries, None)
                if waiting.cancelled_caught:
                    return
                if delivery is None:
                    self.ended = True
                    return
                number += 1
                read += len(delivery.incoming)
                await send.send(delivery)
        except anyio.BrokenResourceError:
            return  # an ack or nack raised, and says so itself
        except (SourceError, Transient, Misconfigured) as error:
            self.error = error
        finally:
            if isinstance(deliveries, AsyncGenerator):
                with anyio.CancelScope(shield=True):
                    await deliveries.aclose()

    async def _settle(self, receive: MemoryObjectReceiveStream[Delivery]) -> None:
        async with receive:
            async for delivery in receive:
                # The source is asked for the next delivery before this one is acked, as it will be by the framework.
                await anyio.lowlevel.checkpoint()
                await self._settle_one(delivery)

    async def _settle_one(self, delivery: Delivery) -> None:
        verdict = "commit" if self.settled < self.commits else self.then
        self.settled += 1
        if verdict == "divide":
            await self._divide(delivery)
            return
        seen = self.committed if verdict == "commit" else self.uncommitted
        for incoming in delivery.incoming:
            scan_id = read_fields(incoming.body).scan_id
            seen.append(scan_id)
            self.bodies[scan_id] = incoming.body
        if verdict == "commit":
            self.notes.commit(delivery.checkpoint)
        try:
            if verdict == "commit":
                await delivery.ack()
            elif verdict == "nack":
                await delivery.nack()
        except Exception as error:
            name = "ack" if verdict == "commit" else "nack"
            raise AssertionError(f"the delivery's {name} raised {type(error).__name__}: {error}") from error
        if verdict == "commit":
            self._progress.set()
            self._progress = anyio.Event()

    async def _divide(self, delivery: Delivery) -> None:
        expect(
            delivery.answer is not None, "a source whose options say `acknowledging` yields deliveries with an `answer`"
        )
        assert delivery.answer is not None
        acked = range(0, len(delivery.incoming), 2)
        nacked = range(1, len(delivery.incoming), 2)
        self.committed += [read_fields(delivery.incoming[place].body).scan_id for place in acked]
        if nacked:
            await delivery.answer(nacked, "nack")
        await delivery.answer(acked, "ack")
