"""What the events of one source bring, through the exporter to its destinations."""

from collections import Counter
from collections.abc import Sequence
from contextlib import aclosing
from typing import Any, cast

import structlog

from scribe_export.archives.reading import CHUNK_BYTES, CHUNK_RECORDS
from scribe_export.errors import ScribeExportError
from scribe_export.exporter import Exporter
from scribe_export.hosts.arriving import Arrival
from scribe_export.interface import Triggered
from scribe_export.model import Incoming

_UNKNOWN = "not confirmed"
log = structlog.get_logger("scribe_export.hosts")


class Confirming:
    """Puts into `settled`, by id, why each arrival of the source `name` is not confirmed, empty for those that are.

    `until` is the moment, by the exporter's clock, after which nothing is waited for.
    """

    def __init__(self, exporter: Exporter, name: str, settled: dict[str, str], until: float) -> None:
        self._exporter, self._name, self._settled, self._until = exporter, name, settled, until
        self._read: list[str] = []
        self._pack: list[tuple[str, Incoming]] = []
        self._size = 0
        self._unconfirmed: Counter[str] = Counter()
        self._reasons: dict[str, str] = {}

    async def run(self, source: Triggered, arrivals: Sequence[Arrival]) -> None:
        """Returns when all are settled."""
        for arrival in arrivals:
            try:
                await self._take(source, arrival)
            except ScribeExportError as error:
                self._reasons.setdefault(arrival.id, str(error))
            except Exception as error:
                # A connector's bug must not stop the others.
                log.exception("event failed", source=self._name, event_id=arrival.id)
                self._reasons.setdefault(arrival.id, f"{type(error).__name__}: {error}")
            self._read.append(arrival.id)
        await self._confirm()

    async def _take(self, source: Triggered, arrival: Arrival) -> None:
        async with aclosing(cast("Any", source.incoming(arrival.event))) as pieces:
            async for piece in pieces:
                for one in piece:
                    self._pack.append((arrival.id, one))
                    self._unconfirmed[arrival.id] += 1
                    self._size += len(one.body)
                if len(self._pack) >= CHUNK_RECORDS or self._size >= CHUNK_BYTES:
                    await self._confirm()
                if arrival.id in self._reasons:
                    return

    async def _confirm(self) -> None:
        pack, self._pack, self._size = self._pack, [], 0
        if pack:
            within = max(self._until - self._exporter.clock.monotonic(), 0.0)
            fates = await self._exporter.confirm(self._name, [one for _, one in pack], within=within)
            for (name, one), fate in zip(pack, fates, strict=True):
                if fate.kept:
                    self._unconfirmed[name] -= 1
                else:
                    self._reasons.setdefault(name, f"{one.origin}: {fate.reason}")
        self._settled |= {name: self._reason(name) for name in self._read}
        self._read = []

    def _reason(self, name: str) -> str:
        return self._reasons.get(name) or (_UNKNOWN if self._unconfirmed[name] else "")
