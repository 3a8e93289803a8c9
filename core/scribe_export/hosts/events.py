"""A platform's events: each matched to the source that it is for, and what it brings confirmed by the destinations."""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Self, cast

import anyio

from scribe_export.errors import SourceError
from scribe_export.exporter import Exporter
from scribe_export.hosts.arriving import Arrival, described
from scribe_export.hosts.confirming import Confirming
from scribe_export.interface import Source, Triggered

_AFTER = "comes after another one of its group, which is not confirmed"


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

    async def _turn(
        self, turn: Sequence[Arrival], names: Mapping[str, str], settled: dict[str, str], until: float
    ) -> None:
        by_source: dict[str, list[Arrival]] = defaultdict(list)
        for one in turn:
            by_source[names[one.id]].append(one)
        async with anyio.create_task_group() as tasks:
            for name, arrivals in by_source.items():
                confirming = Confirming(self._exporter, name, settled, until)
                tasks.start_soon(confirming.run, self._sources[name], arrivals)

    def _source_of(self, event: Mapping[str, Any]) -> str:
        for name, source in self._sources.items():
            if source.takes(event):
                return name
        known = ", ".join(f"{name} ({source.trigger})" for name, source in self._sources.items())
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
