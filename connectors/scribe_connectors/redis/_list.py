"""A list as a queue that loses nothing: what is taken lies in a list of the taker's own until it is journalled.

Keys beside the queue ``Q``: ``Q:processing:C`` holds what consumer C took, newest at the left; ``Q:consumer:C`` exists
for as long as C lives; ``Q:consumers`` are all consumers by the time of their last sign of life.
https://redis.io/docs/latest/commands/lmove/#pattern-reliable-queue
"""

import hashlib
from collections.abc import AsyncIterator, Sequence

import anyio
import structlog

from scribe_connectors.redis._client import Command, RedisClient
from scribe_connectors.redis._options import RedisSourceOptions
from scribe_connectors.redis._unacked import GRACE, Beat, Room, new_consumer
from scribe_export.clock import Clock
from scribe_export.errors import SinkError
from scribe_export.model import Delivery, Incoming

_log = structlog.get_logger("scribe_export.redis")
_BLOCK = 2.0
_MOVES = 500
_FORGET = 86_400.0  # seconds; a consumer that is dead so long is in nobody's clock's error


class ListReader:
    """Takes from the right end of a list, with BLMOVE. One consumer, for as long as this object lives."""

    def __init__(
        self, client: RedisClient, name: str, options: RedisSourceOptions, clock: Clock, *, once: bool
    ) -> None:
        self._client, self._name, self._options, self._clock, self._once = client, name, options, clock, once
        self._consumer = new_consumer()
        self._own = f"{name}:processing:{self._consumer}"
        self._block = min(_BLOCK, options.timeout / 2)  # the server's answer has to come before the client gives up
        self._room = Room(options, clock)
        self._beat = Beat(self._live, options.lease / 3)
        self._registered = False
        self._journalled: list[bytes] = []
        self._removing = anyio.Lock()

    async def deliveries(self) -> AsyncIterator[Delivery]:
        """As `Source.deliveries`."""
        await self._live()
        self._registered = True
        self._beat.start()
        await self._forget(())
        patience = self._clock.monotonic() + self._options.lease + GRACE
        for bodies in await self._left_over():
            await self._room.wait()
            yield self._delivery(bodies)
        while True:
            bodies = await self._take(await self._room.wait())
            if bodies:
                yield self._delivery(bodies)
            elif self._once:
                if self._clock.monotonic() > patience or not await self._others_hold():
                    return
                await self._clock.sleep(min(0.2, self._options.lease / 5))
                await self._live()

    async def close(self) -> None:
        """Give back what was not journalled, and say goodbye. Never raises: others find it out by the lease."""
        await self._beat.stop()
        if not self._registered:
            return
        try:
            await self._forget(())
            await self._move_back(self._own)
            await self._client.call("DEL", self._alive(self._consumer))
            self._registered = False
        except SinkError as error:
            _log.warning("not given back yet", list=self._name, consumer=self._consumer, reason=str(error))

    def _alive(self, consumer: str) -> str:
        return f"{self._name}:consumer:{consumer}"

    async def _live(self) -> None:
        """Give a sign of life, and take back what lies with the dead."""
        await self._client.pipeline(
            [
                ("MULTI",),
                ("SET", self._alive(self._consumer), "1", "PX", round(self._options.lease * 1000)),
                ("ZADD", f"{self._name}:consumers", str(self._clock.now()), self._consumer),
                ("EXEC",),
            ]
        )
        for consumer, seen in await self._dead():
            moved = await self._move_back(f"{self._name}:processing:{consumer}")
            if moved:
                _log.warning("taken back", list=self._name, consumer=consumer, count=moved)
            elif seen < self._clock.now() - _FORGET:
                await self._client.call("ZREM", f"{self._name}:consumers", consumer)

    async def _dead(self) -> list[tuple[str, float]]:
        """Consumers without a sign of life within their lease, and when they gave the last."""
        flat = await self._client.call("ZRANGE", f"{self._name}:consumers", 0, -1, "WITHSCORES")
        known = [(flat[at].decode(), float(flat[at + 1])) for at in range(0, len(flat), 2)]
        if not known:
            return []
        alive = await self._client.pipeline([("EXISTS", self._alive(consumer)) for consumer, _ in known])
        return [one for one, lives in zip(known, alive, strict=True) if not lives]

    async def _others_hold(self) -> bool:
        names = await self._client.call("ZRANGE", f"{self._name}:consumers", 0, -1)
        others = [name.decode() for name in names if name.decode() != self._consumer]
        lengths = await self._client.pipeline([("LLEN", f"{self._name}:processing:{one}") for one in others])
        return any(lengths)

    async def _move_back(self, processing: str) -> int:
        """Put what lies there back where it was taken, oldest next; how many."""
        moved = 0
        while length := await self._client.call("LLEN", processing):
            one: Command = ("LMOVE", processing, self._name, "LEFT", "RIGHT")
            found = await self._client.pipeline([one] * min(length, _MOVES))
            moved += sum(body is not None for body in found)
        return moved

    async def _left_over(self) -> Sequence[Sequence[bytes]]:
        """What this consumer took before, and was not journalled or never came: an answer was lost."""
        bodies: list[bytes] = (await self._client.call("LRANGE", self._own, 0, -1))[::-1]
        size = self._options.max_records
        return [bodies[at : at + size] for at in range(0, len(bodies), size)]

    async def _take(self, most: int) -> list[bytes]:
        move = (self._name, self._own, "RIGHT", "LEFT")
        if self._once:
            first = await self._client.call("LMOVE", *move)
        else:
            first = await self._client.call("BLMOVE", *move, str(self._block))
        if first is None:
            return []
        there = await self._client.call("LLEN", self._name) if most > 1 else 0
        rest = await self._client.pipeline([("LMOVE", *move)] * min(there, most - 1)) if there else []
        return [first, *(body for body in rest if body is not None)]

    def _delivery(self, bodies: Sequence[bytes]) -> Delivery:
        self._room.fill(bodies)

        async def ack() -> None:
            self._room.free(bodies)
            try:
                await self._forget(bodies)
            except SinkError as error:
                _log.warning("not removed yet", list=self._name, count=len(self._journalled), reason=str(error))

        async def nack() -> None:
            # It lies in this consumer's list, and is taken up again with the next start or given back at the end.
            self._room.free(bodies)

        incoming = [Incoming(body, f"list {self._name}", hashlib.sha256(body).hexdigest()) for body in bodies]
        return Delivery(incoming, ack=ack, nack=nack)

    async def _forget(self, bodies: Sequence[bytes]) -> None:
        """Remove what is journalled from this consumer's list, and what could not be removed before."""
        self._journalled += bodies
        with anyio.CancelScope(shield=True):
            async with self._removing:
                removing = list(self._journalled)
                # The oldest lies at the right.
                await self._client.pipeline([("LREM", self._own, -1, body) for body in removing])
                del self._journalled[: len(removing)]
