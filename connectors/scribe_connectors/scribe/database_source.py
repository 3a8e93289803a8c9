"""Completed scans, read from SCRIBE's own database by their ids."""

from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from itertools import takewhile
from pathlib import Path
from sqlite3 import Connection
from typing import ClassVar, Literal, TypeVar

import structlog
from anyio import to_thread
from pydantic import Field

from scribe_connectors.scribe._database_file import reading
from scribe_connectors.scribe._database_rows import COLUMNS, document
from scribe_connectors.scribe._database_waymarks import BEFORE_ALL, Waymarks, mark
from scribe_export.archives.reading import CHUNK_BYTES, Handover
from scribe_export.errors import Misconfigured, Transient
from scribe_export.interface import Checkpoint, Context, Source
from scribe_export.model import Delivery, Incoming
from scribe_export.options import Duration, Options, SourceOptions

_T = TypeVar("_T")
_log = structlog.get_logger("scribe_export.scribe_database")
_PLACE = "place"
_SELECT = f"SELECT id, {COLUMNS} FROM scan_results WHERE id > ? ORDER BY id"  # noqa: S608 - the module's own names
# What was asked and when: a row's later corrections do not make it another.
_MARKED = "SELECT timestamp, signals, config FROM scan_results WHERE id = ?"
_BEFORE = "SELECT max(id) FROM scan_results WHERE id <= ?"


class ScribeDatabaseSourceOptions(SourceOptions):
    """SCRIBE's SQLite database, with the guide's table `scan_results`."""

    path: str = Field(min_length=1)
    """The file, such as scribe_learning.db, on a disk of this machine. Relative to the config's own folder."""
    poll_interval: Duration = Field(default=5.0, gt=0)
    """How long to wait before the table is looked at again."""
    start: Literal["all", "latest"] = "all"
    """What the first start takes: all that is there, or only what comes later."""
    max_records: int = Field(default=500, ge=1, le=10_000)
    """Scans handed over at once, if they have no more than 4 MiB."""
    timeout: Duration = Field(default=30.0, gt=0)
    """How long to wait for SCRIBE's locks before a look is given up and tried again."""


@dataclass(frozen=True, slots=True)
class _Page:
    found: list[Incoming]
    reached: Waymarks
    went_back_to: int | None


class ScribeDatabaseSource(Source):
    """Reads the rows above the last id that was taken, each time in a short read transaction of its own.

    Beside the last id it remembers marks of earlier rows. If the last row is gone or another, the file was put back to
    an older state or rows were deleted: it goes back to the newest row that it knows, and takes what follows.
    """

    options_type: ClassVar[type[Options]] = ScribeDatabaseSourceOptions
    options: ScribeDatabaseSourceOptions

    def __init__(self, options: ScribeDatabaseSourceOptions, context: Context) -> None:
        super().__init__(options, context)
        self._path = Path(context.folder).resolve() / options.path

    async def open(self) -> None:
        await self._blocking(self._look)

    async def deliveries(self, checkpoint: Checkpoint) -> AsyncIterator[Delivery]:
        handover = Handover()
        noted = (await checkpoint.get([_PLACE])).get(_PLACE)
        place = Waymarks() if noted is None else Waymarks.decode(noted)
        if noted is None and self.options.start == "latest":
            place = await self._blocking(self._newest)
            yield handover.hand((), {_PLACE: place.encode()})
        while True:
            page = await self._blocking(self._read, place)
            # One is out at a time, while the next is read.
            await handover.room([_PLACE])
            if handover.refused():
                raise Transient("a delivery was not taken; its rows are read again", applied="no")
            if page.went_back_to is not None:
                _log.warning(
                    "went back",
                    source=self.context.name,
                    hint="rows taken before are gone or others: the database was put back, or rows were deleted",
                    last_id=place.last,
                    read_again_above=None if page.went_back_to == BEFORE_ALL else page.went_back_to,
                )
            place = page.reached
            if page.found:
                yield handover.hand(page.found, {_PLACE: place.encode()})
            elif self.context.once:
                return
            else:
                await self.context.clock.sleep(self.options.poll_interval)

    def _look(self) -> None:
        with reading(self._path, self.options.timeout) as connection:
            connection.execute(f"{_SELECT} LIMIT 1", (BEFORE_ALL,)).fetchone()

    def _read(self, place: Waymarks) -> _Page:
        found: list[Incoming] = []
        size = 0
        with reading(self._path, self.options.timeout) as connection:
            connection.text_factory = bytes
            known = place.still_there(lambda row: _mark(connection, row))
            last = known.last
            with closing(connection.execute(_SELECT, (last,))) as rows:
                for last, *columns in rows:
                    if not isinstance(last, int):
                        raise Misconfigured(f"{self._path}: scan_results.id is no whole number")
                    body = document(last, columns)
                    found.append(Incoming(body, f"{self._path}: scan_results row {last}"))
                    size += len(body)
                    if len(found) >= self.options.max_records or size >= CHUNK_BYTES:
                        break
            reached = known.beyond(last, _mark(connection, last) or "") if found else known
        return _Page(found, reached, known.last if known is not place else None)

    def _newest(self) -> Waymarks:
        """The last row, and rows before it, so that a database put back further is told too."""
        with reading(self._path, self.options.timeout) as connection:
            connection.text_factory = bytes
            rows = sorted(set(_spaced(connection)))
            place = Waymarks()
            for row in rows:
                place = place.beyond(row, _mark(connection, row) or "")
        return place

    async def _blocking(self, call: Callable[..., _T], *given: object) -> _T:
        # What a read finds after it was given up is found again.
        return await to_thread.run_sync(call, *given, abandon_on_cancel=True)


def _mark(connection: Connection, row: int) -> str | None:
    found = connection.execute(_MARKED, (row,)).fetchone()
    return None if found is None else mark(*(one if isinstance(one, bytes) else repr(one).encode() for one in found))


def _spaced(connection: Connection) -> Iterator[int]:
    """The last id, and those 1, 2, 4 … before it or next below."""
    (last,) = connection.execute(_BEFORE, (2**63 - 1,)).fetchone()
    if last is None:
        return
    yield last
    before = (connection.execute(_BEFORE, (last - 2**power,)).fetchone()[0] for power in range(62))
    yield from takewhile(lambda row: row is not None, before)
