"""A platform's events: each matched to the source that it is for, and what it brings confirmed by the destinations."""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self, cast

import anyio

from scribe_export.errors import Rejected, SourceError
from scribe_export.exporter import Exporter
from scribe_export.hosts.arriving import Arrival, described
from scribe_export.hosts.confirming import Confirming
from scribe_export.interface import Source, Triggered
from scribe_export.model import Incoming
from scribe_export.requests.message import read_request
from scribe_export.requests.performing import SOURCE, ScanFailed, ScanRefused
from scribe_export.tasks import plain_errors
from scribe_export.unbuffered.concluding import KEPT, UNDECIDED

_AFTER = "comes after another one of its group, which is not confirmed"


@dataclass(frozen=True, slots=True)
class Scanned:
    """A completed scan, and why its destinations have not confirmed it, empty if they have."""

    body: bytes
    undelivered: str


class Events:
    """The sources of an exporter that a platform can feed; a context manager that closes them."""

    def __init__(self, exporter: Exporter) -> None:
        self._exporter = exporter
        config = exporter.config
        made = {
            name: built.connector(built.options, config.context(name, clock=exporter.clock))
            for name, built in config.sources.items()
        }
        self._sources: dict[str, Triggered] = {name: one for name, one in made.items() if isinstance(one, Triggered)}

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        with anyio.CancelScope(shield=True):
            for source in self._sources.values():
                await cast("Source", source).close()

    @property
    def failed(self) -> bool:
        """Whether the exporter can take nothing more."""
        return self._exporter.failure is not None

    async def take(self, arrivals: Sequence[Arrival], settled: dict[str, str], *, within: float) -> None:
        """Put into `settled`, by id and as it becomes known, why each is not confirmed: empty for those that are.

        Raises `SourceError`, before anything is taken, for one that is no source's.
        """
        until = self._exporter.clock.monotonic() + within
        names = {one.id: self._source_of(one.event) for one in arrivals}
        waiting = list(arrivals)
        while waiting:
            turn = list(_first_of_each(waiting))
            await self._turn(turn, names, settled, until)
            held = {one.order for one in turn if one.order and settled[one.id]}
            settled |= {one.id: _AFTER for one in waiting if one.order in held and one.id not in settled}
            waiting = [one for one in waiting if one.id not in settled]

    async def scan(self, request: bytes, request_id: str, *, within: float) -> Scanned:
        """Have a scan performed; its destinations are waited for until `within` seconds from now are over.

        `request_id` counts where the request names none: the same again is not performed again while this process
        remembers it. Raises `Rejected` for what is no request or can never be performed, `ScanFailed` for what was not.
        """
        until = self._exporter.clock.monotonic() + within
        config, requests = self._exporter.config, self._exporter.requests
        if requests is None or self._exporter.concluder is None:
            raise SourceError(f"{config.path.name} has no `scanner:` to perform a scan")
        asked = read_request(Incoming(request, id=request_id), SOURCE)
        if asked.invalid:
            raise Rejected(asked.invalid)
        try:
            performed = await requests.performed(asked.request, asked.request_id)
        except ScanRefused as refused:
            raise Rejected(str(refused)) from None
        if performed.body is None:
            raise ScanFailed(
                f"request {asked.request_id} was performed before, and its scan has gone to its destinations"
            )
        fates = [KEPT if not performed.accepted.seq else UNDECIDED]
        with anyio.move_on_after(until - self._exporter.clock.monotonic()):
            incoming = [Incoming(performed.body, f"request {asked.request_id}")]
            await self._exporter.concluder.tell(SOURCE, incoming, [performed.accepted.seq], fates)
        return Scanned(performed.body, "" if fates[0].kept else fates[0].reason)

    async def _turn(
        self, turn: Sequence[Arrival], names: Mapping[str, str], settled: dict[str, str], until: float
    ) -> None:
        by_source: dict[str, list[Arrival]] = defaultdict(list)
        for one in turn:
            by_source[names[one.id]].append(one)
        with plain_errors():
            async with anyio.create_task_group() as tasks:
                for name, arrivals in by_source.items():
                    confirming = Confirming(self._exporter, name, settled, until)
                    tasks.start_soon(confirming.run, self._sources[name], arrivals)

    def _source_of(self, event: Mapping[str, Any]) -> str:
        for name, source in self._sources.items():
            if source.takes(event):
                return name
        known = ", ".join(f"{name} ({source.trigger()})" for name, source in self._sources.items())
        file = self._exporter.config.path.name
        raise SourceError(
            f"no source of {file} takes events of {described(event)}; "
            + (f"its sources are {known}" if known else "it has no source that a platform can feed")
        )


def _first_of_each(arrivals: Sequence[Arrival]) -> Iterator[Arrival]:
    seen: set[str] = set()
    for one in arrivals:
        if not one.order or one.order not in seen:
            yield one
        seen.add(one.order)
