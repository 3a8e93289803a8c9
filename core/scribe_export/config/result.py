"""A configuration that passed every check."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, TypeVar
from zoneinfo import ZoneInfo

from scribe_export.alerts.options import AlertOptions
from scribe_export.clock import Clock, SystemClock
from scribe_export.config.outer import Buffer, JournalOptions
from scribe_export.config.tree import Place
from scribe_export.endpoint.address import Address
from scribe_export.errors import Problem
from scribe_export.interface import Connector, Context
from scribe_export.options import Options, ScannerOptions, SinkOptions, SourceOptions
from scribe_export.routing.rules import Rules

AnyOptions = TypeVar("AnyOptions", bound=Options)


@dataclass(frozen=True, slots=True)
class Built(Generic[AnyOptions]):
    """One source, destination or scanner: its name, its connector's class, and its options with everything merged in."""

    name: str
    connector: type[Connector[Any]]
    options: AnyOptions


@dataclass(frozen=True, slots=True)
class Config:
    """The whole file. Folders are absolute; `drain_timeout` is in seconds; `rules` is None if no destination has one."""

    path: Path
    folder: Path
    state_folder: Path
    pipeline: str
    assume_timezone: ZoneInfo
    drain_timeout: float
    buffer: Buffer
    dead_letter: str | None
    http: Address | None
    journal: JournalOptions
    alerts: AlertOptions
    sources: Mapping[str, Built[SourceOptions]]
    destinations: Mapping[str, Built[SinkOptions]]
    scanner: Built[ScannerOptions] | None
    rules: Rules | None
    places: Mapping[str, Place]

    def context(self, name: str, *, clock: Clock | None = None, once: bool = False) -> Context:
        """What a connector of that name is told about its place."""
        return Context(
            name=name,
            pipeline=self.pipeline,
            folder=self.folder,
            assume_timezone=self.assume_timezone,
            clock=clock or SystemClock(),
            once=once,
        )

    def problem(self, path: str, message: str) -> Problem:
        """A problem found after loading, at the place of `path` (``destinations.lake.bucket``) or its nearest parent."""
        known = path
        while known and known not in self.places:
            known = known.rpartition(".")[0]
        place = self.places.get(known, Place(1, 1, ""))
        return Problem(str(self.path), place.line, place.column, path, message)
