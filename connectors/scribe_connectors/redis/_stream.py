"""A stream read as one consumer of a group: an entry is acknowledged once it is journalled.

https://redis.io/docs/latest/develop/data-types/streams/#consumer-groups
"""

from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass

import anyio
import msgspec
import structlog

from scribe_connectors.redis._client import Command, RedisClient, raise_if_error
from scribe_connectors.redis._errors import code_of
from scribe_connectors.redis._options import RedisSourceOptions
from scribe_connectors.redis._unacked import GRACE, Beat, Room, new_consumer
from scribe_export.clock import Clock
from scribe_export.errors import SinkError
from scribe_export.model import Answer, Delivery, Incoming

_log = structlog.get_logger("scribe_export.redis")
_BLOCK = 2.0
_IDS = 500
_LONG_IDLE = 10**11  # milliseconds: anybody may claim it
_LEAVE = """
if #redis.call('XPENDING', KEYS[1], ARGV[1], '-', '+', 1, ARGV[2]) == 0 then
  redis.call('XGROUP', 'DELCONSUMER', KEYS[1], ARGV[1], ARGV[2])
end
"""


@dataclass(frozen=True, slots=True)
class Entry:
    """One of the stream; `fields` is None for one that was deleted or trimmed after it was delivered."""

    id: bytes
    fields: Sequence[bytes] | None

    def body(self, field: bytes) -> bytes:
        """The field that holds the document. All fields as pairs, which are no document, if it is missing."""
        pairs = list(zip((self.fields or ())[::2], (self.fields or ())[1::2], strict=True))
        for name, value in pairs:
            if name == field:
                return value
        return msgspec.json.encode([[part.decode(errors="replace") for part in pair] for pair in pairs])


class StreamReader:
    """Reads with XREADGROUP, and claims what others left idle for a lease. One consumer, as long as this object lives.

    `missed` is called with what to say of entries that were lost.
    """

    def __init__(
        self,
        client: RedisClient,
        name: str,
        options: RedisSourceOptions,
        clock: Clock,
        *,
        once: bool,
        missed: Callable[[str], None],
    ) -> None:
        self._client, self._name, self._options, self._clock, self._once = client, name, options, clock, once
        self._missed = missed
        self._group = options.group or ""
        self._consumer = new_consumer()
        self._lease_ms = round(options.lease * 1000)
        self._block_ms = round(min(_BLOCK, options.timeout / 2) * 1000)
        self._room = Room(options, clock)
        self._beat = Beat(self._renew, options.lease / 3)
        self._held: dict[bytes, None] = {}
        self._journalled: list[bytes] = []
        self._acking = anyio.Lock()
        self._read_from = False

    async def deliveries(self) -> AsyncIterator[Delivery]:
        """As `Source.deliveries`."""
        await self._make_group()
        self._read_from = True
        self._beat.start()
        await self._acknowledge(())
        last = b"0"
        while entries := await self._read(await self._room.wait(), last):
            last = entries[-1].id  # delivered before, and not journalled or never come: an answer was lost
            if delivery := await self._delivery(entries):
                yield delivery
        patience = self._clock.monotonic() + self._options.lease + GRACE
        claim_at = 0.0
        while True:
            most = await self._room.wait()
            if self._clock.monotonic() >= claim_at:
                entries, more = await self._claim(most)
                pause = GRACE if self._once else self._options.lease / 2
                claim_at = 0.0 if more else self._clock.monotonic() + pause
            else:
                entries = await self._read(most, b">")
                if not entries and self._once:
                    if self._clock.monotonic() > patience or not await self._others_hold():
                        return
                    await self._clock.sleep(min(0.2, self._options.lease / 5))
            if entries and (delivery := await self._delivery(entries)):
                yield delivery

    async def close(self) -> None:
        """Let others have what was not journalled, and leave the group. Never raises: the lease ends by itself."""
        await self._beat.stop()
        if not self._read_from:
            return
        try:
            await self._acknowledge(())
            await self._give_back()
            await self._client.call("EVAL", _LEAVE, 1, self._name, self._group, self._consumer)
            self._read_from = False
        except SinkError as error:
            _log.warning("group not left", stream=self._name, consumer=self._consumer, reason=str(error))

    async def _make_group(self) -> None:
        begin = "0" if self._options.start == "all" else "$"
        packed = self._client.pack([("XGROUP", "CREATE", self._name, self._group, begin, "MKSTREAM")])
        replies = await self._client.exchange(packed, 1)
        if replies.broken:
            raise replies.broken
        [answer] = replies.answers
        # Whoever may read need not have the right to make groups.
        if isinstance(answer, Exception) and code_of(answer) not in {"BUSYGROUP", "NOPERM"}:
            raise_if_error(answer)

    async def _read(self, most: int, after: bytes) -> list[Entry]:
        wait: Sequence[str | int] = () if self._once or after != b">" else ("BLOCK", self._block_ms)
        command: Command = ("XREADGROUP", "GROUP", self._group, self._consumer, "COUNT", most, *wait)
        answer = await self._client.call(*command, "STREAMS", self._name, after)
        return [Entry(*one) for one in answer[0][1]] if answer else []

    async def _claim(self, most: int) -> tuple[list[Entry], bool]:
        """What others left idle for a lease, and whether there is more of it."""
        answer = await self._client.call(
            "XAUTOCLAIM", self._name, self._group, self._consumer, self._lease_ms, "0-0", "COUNT", most
        )
        entries = [Entry(*one) for one in answer[1] if one]
        if len(answer) > 2 and answer[2]:  # from Redis 7 on: https://redis.io/docs/latest/commands/xautoclaim/
            self._lose(len(answer[2]))
        if entries:
            _log.warning("taken over", stream=self._name, group=self._group, count=len(entries))
        return entries, answer[0] != b"0-0"

    async def _others_hold(self) -> bool:
        pending = await self._client.call("XPENDING", self._name, self._group)
        return int(pending[0]) > len(self._held)

    async def _delivery(self, entries: Sequence[Entry]) -> Delivery | None:
        gone = [entry.id for entry in entries if not entry.fields]
        if gone:
            self._lose(len(gone))
            await self._acknowledge(gone)
        field = self._options.field.encode()
        there = [(entry.id, entry.body(field)) for entry in entries if entry.fields]
        if not there:
            return None
        ids, bodies = [one for one, _ in there], [body for _, body in there]
        self._room.fill(bodies)
        self._held.update(dict.fromkeys(ids))

        async def answer(places: Sequence[int], said: Answer) -> None:
            # One that is not taken stays this consumer's, and is read again with the next start or given back at the end.
            self._room.free([bodies[place] for place in places])
            some = [ids[place] for place in places]
            for one in some:
                self._held.pop(one, None)
            if said == "ack":
                await self._acknowledged(some)

        async def ack() -> None:
            await answer(range(len(ids)), "ack")

        async def nack() -> None:
            await answer(range(len(ids)), "nack")

        incoming = [Incoming(body, f"entry {one.decode()}", one.decode()) for one, body in there]
        return Delivery(incoming, ack=ack, nack=nack, answer=answer)

    async def _acknowledged(self, ids: Sequence[bytes]) -> None:
        try:
            await self._acknowledge(ids)
        except SinkError as error:
            _log.warning("not acknowledged yet", stream=self._name, count=len(self._journalled), reason=str(error))

    def _lose(self, count: int) -> None:
        _log.error("entries lost: they were deleted or trimmed before they were read", count=count)
        self._missed(f"entries of the stream deleted or trimmed before they were read: {count}")

    async def _acknowledge(self, ids: Sequence[bytes]) -> None:
        self._journalled += ids
        with anyio.CancelScope(shield=True):
            async with self._acking:
                ready = list(self._journalled)
                commands: list[Command] = []
                for part in _parts(ready):
                    commands.append(("XACK", self._name, self._group, *part))
                    if self._options.delete:
                        commands.append(("XDEL", self._name, *part))
                await self._client.pipeline(commands)
                del self._journalled[: len(ready)]

    async def _renew(self) -> None:
        """What is still in this process's hands has not been idle."""
        await self._client.pipeline([self._claimed(part, ()) for part in _parts(list(self._held))])

    async def _give_back(self) -> None:
        while True:
            found = await self._client.call("XPENDING", self._name, self._group, "-", "+", _IDS, self._consumer)
            young = [one[0] for one in found if one[2] < _LONG_IDLE / 2]
            if not young:
                return
            await self._client.pipeline([self._claimed(young, ("IDLE", _LONG_IDLE))])
            if len(found) < _IDS:
                return

    def _claimed(self, ids: Sequence[bytes], more: Sequence[str | int]) -> Command:
        return ("XCLAIM", self._name, self._group, self._consumer, 0, *ids, *more, "JUSTID")


def _parts(ids: Sequence[bytes]) -> list[Sequence[bytes]]:
    return [ids[at : at + _IDS] for at in range(0, len(ids), _IDS)]
