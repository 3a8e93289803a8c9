"""A proxy that delays answers and counts the requests for which S3 charges what it charges for a PUT."""

import asyncio
import re

from scribe_local.proxy import Proxy

_CHARGED = re.compile(rb"(PUT|POST|GET [^ ?]*/\?|GET /[^/? ]+\?)")
"""Puts and posts, and the listing of a bucket. https://aws.amazon.com/s3/pricing/"""


class _Counted(asyncio.StreamReader):
    """What a client sends, looked at as it goes by."""

    def __init__(self, reader: asyncio.StreamReader, proxy: "CountingProxy") -> None:
        super().__init__()
        self._from, self._proxy = reader, proxy

    async def read(self, n: int = -1) -> bytes:
        data = await self._from.read(n)
        # A request begins a packet of its own: clients wait for the answer to the one before.
        if _CHARGED.match(data):
            self._proxy.writes += 1
        return data


class CountingProxy(Proxy):
    """`writes` is how many there were."""

    writes = 0

    async def _requests(self, reader: asyncio.StreamReader, server_writer: asyncio.StreamWriter) -> None:
        await super()._requests(_Counted(reader, self), server_writer)
