"""Scans, or requests for scans, taken from lists and streams of Redis."""

from collections.abc import AsyncIterator, Sequence
from contextlib import aclosing
from typing import Any, ClassVar, cast

import msgspec

from scribe_connectors.redis._client import Command, RedisClient, raise_if_error
from scribe_connectors.redis._list import ListReader
from scribe_connectors.redis._options import RedisSourceOptions, ReplyOptions
from scribe_connectors.redis._stream import StreamReader
from scribe_export.interface import Checkpoint, Context, Source
from scribe_export.model import Delivery
from scribe_export.options import Options


class RedisSource(Source):
    """Takes each element of a list, or each entry of a stream, and lets go of it once it is journalled.

    A process that dies loses nothing of what it took: another, or the same started anew, takes it over after `lease`.
    What comes twice all the same is known by its scan, or by its request's id.

    Needs for a list LMOVE, BLMOVE, LLEN, LRANGE, LREM, and SET, DEL, EXISTS, ZADD, ZRANGE, ZREM, MULTI and EXEC on the
    keys that begin with its name; for a stream XREADGROUP, XACK, XAUTOCLAIM, XCLAIM, XPENDING, XGROUP, EVAL.
    """

    options_type: ClassVar[type[Options]] = RedisSourceOptions
    options: RedisSourceOptions

    def __init__(self, options: RedisSourceOptions, context: Context) -> None:
        super().__init__(options, context)
        self._client = RedisClient(options, folder=context.folder, timeout=options.timeout)
        clock, once = context.clock, context.once
        self._reader: ListReader | StreamReader
        if options.list:
            self._reader = ListReader(self._client, options.list, options, clock, once=once)
        else:
            stream = options.stream or ""
            self._reader = StreamReader(self._client, stream, options, clock, once=once, missed=self.missed)

    async def open(self) -> None:
        await self._client.open()

    async def close(self) -> None:
        await self._reader.close()
        await self._client.close()

    async def deliveries(self, checkpoint: Checkpoint) -> AsyncIterator[Delivery]:  # noqa: ARG002 - Redis remembers
        async with aclosing(cast("Any", self._reader.deliveries())) as deliveries:
            async for delivery in deliveries:
                yield delivery

    @property
    def replies(self) -> bool:
        return self.options.reply is not None

    async def reply(self, replies: Sequence[bytes]) -> None:
        if self.options.reply is not None:
            answers = await self._client.pipeline([("MULTI",), *_commands(self.options.reply, replies), ("EXEC",)])
            for answer in answers[-1]:
                raise_if_error(answer)


def _commands(options: ReplyOptions, replies: Sequence[bytes]) -> list[Command]:
    """Where the guide's `get_scan_result` looks for them, newest at the left of a list."""
    commands: list[Command] = []
    if options.list:
        commands += [("LPUSH", options.list, *replies), ("LTRIM", options.list, 0, options.max_length - 1)]
    else:
        name = options.stream or ""
        trim = ("MAXLEN", "~", options.max_length)
        commands += [("XADD", name, *trim, "*", "request_id", _id(one), "document", one) for one in replies]
    if options.ttl is not None:
        commands.append(("PEXPIRE", options.list or options.stream or "", round(options.ttl * 1000)))
    return commands


def _id(reply: bytes) -> str:
    return str(msgspec.json.decode(reply)["request_id"])
