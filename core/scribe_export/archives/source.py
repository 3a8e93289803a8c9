"""What sources over stored archives have in common: files in folders, objects in buckets.

A pass looks at every archive, compares its version with the checkpoint and takes what is new: a document a `.json`, a
document a line of `.jsonl`, both also compressed, a document a row of `.parquet`. What cannot be read is named once in
an ``alarm`` of the log, and never holds up the others.
"""

import io
from abc import abstractmethod
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterator, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal, TypeVar

import msgspec
import structlog
from anyio import to_thread
from pydantic import Field

from scribe_export.archives.archive import Archive, Gone, Piece, Unreadable
from scribe_export.archives.codec import Format
from scribe_export.archives.reader import Reader
from scribe_export.archives.reading import (
    CHUNK_BYTES,
    CHUNK_RECORDS,
    Handover,
    Position,
    tail_digest,
)
from scribe_export.errors import ScribeExportError, SinkError, SourceError, Transient
from scribe_export.interface import Checkpoint, Context, Source
from scribe_export.model import Delivery, Incoming
from scribe_export.options import Duration, Options, Size, SourceOptions

PAGE = 500
"""Archives looked up in the checkpoint at once."""

_T = TypeVar("_T")
_log = structlog.get_logger("scribe_export.archives")
_position = msgspec.json.Decoder(Position)


class ArchiveOptions(SourceOptions):
    """Common to every source of stored archives."""

    format: Literal["auto", "json", "jsonl", "parquet"] = "auto"
    """What an archive holds: one scan, one a line, or one a row in a column `document`. `auto`: by its name; `.jsonl` and
    `.ndjson` hold lines, `.parquet` rows."""
    poll_interval: Duration = Field(default=5.0, gt=0)
    """How long to wait before looking for new archives again."""
    follow: bool = True
    """Keep looking for new archives, or end when all there is was read."""
    max_record: Size = Field(default=64 * 2**20, gt=0)
    """A longer document is passed over, with an alarm."""


@dataclass(slots=True)
class _Pack:
    """Pieces of several archives on their way into one delivery."""

    bodies: dict[str, list[Incoming]] = field(default_factory=dict)
    positions: dict[str, str] = field(default_factory=dict)
    records: int = 0
    size: int = 0

    def takes(self, piece: Piece) -> bool:
        return (
            piece.archive.key not in self.positions
            and self.records + len(piece.incoming) <= CHUNK_RECORDS
            and self.size + piece.size <= CHUNK_BYTES
        )

    def add(self, piece: Piece) -> None:
        self.bodies[piece.archive.key] = piece.incoming
        self.positions[piece.archive.key] = msgspec.json.encode(piece.position).decode()
        self.records += len(piece.incoming)
        self.size += piece.size


class ArchiveSource(Source):
    """A source over a blocking store of archives, which a subclass provides; its methods run in worker threads."""

    options_type: ClassVar[type[Options]] = ArchiveOptions
    options: ArchiveOptions
    atomic: ClassVar[bool] = False
    """Whether an archive appears whole or not at all."""

    def __init__(self, options: ArchiveOptions, context: Context) -> None:
        super().__init__(options, context)
        self.following = options.follow and not context.once
        self._left: dict[str, str] = {}
        self._unsettled: dict[str, str] = {}

    @abstractmethod
    def find(self) -> Iterator[Sequence[Archive]]:
        """Every archive there is, in pages, in an order that stays the same."""

    @abstractmethod
    def open_archive(self, archive: Archive, offset: int) -> io.BufferedIOBase:
        """The stored bytes from `offset` on; raise `Unreadable` or `Gone`, or SourceError to stop the source."""

    @abstractmethod
    def classify(self, error: Exception) -> SinkError | None:
        """What `find` and reading raised, in the framework's terms; None for what is no error of the store."""

    def tail(self, archive: Archive, offset: int) -> bytes:  # noqa: ARG002
        """The last bytes before `offset` of an archive that `grows`, at least a KiB where there are as many."""
        return b""

    async def deliveries(self, checkpoint: Checkpoint) -> AsyncIterator[Delivery]:
        handover = Handover()
        while True:
            async with aclosing(self._pass(checkpoint, handover)) as found:
                async for delivery in found:
                    yield delivery
            if not self.following:
                if handover.refused():
                    raise Transient("a delivery was not taken; its archives are read again", applied="no")
                return
            await self.context.clock.sleep(self.options.poll_interval)

    async def _pass(self, checkpoint: Checkpoint, handover: Handover) -> AsyncGenerator[Delivery, None]:
        pages = self.find()
        while page := await self._blocking(next, pages, None):
            archives = [one for one in page if self._left.get(one.key) != one.version]
            keys = [one.key for one in archives]
            await handover.settled(keys)
            known = await checkpoint.get(keys) if keys else {}
            pack = _Pack()
            for archive in archives:
                async with aclosing(self._pieces(archive, known.get(archive.key), handover)) as pieces:
                    async for piece in pieces:
                        if not pack.takes(piece):
                            if delivery := await self._hand(pack, handover):
                                yield delivery
                            pack = _Pack()
                        pack.add(piece)
            if delivery := await self._hand(pack, handover):
                yield delivery

    async def _hand(self, pack: _Pack, handover: Handover) -> Delivery | None:
        await handover.room(pack.positions)
        # The next piece of an archive must not be taken before the last was.
        keys = [key for key in pack.positions if not handover.refused(key)]
        if not keys:
            return None
        incoming = [one for key in keys for one in pack.bodies[key]]
        return handover.hand(incoming, {key: pack.positions[key] for key in keys})

    async def _pieces(self, archive: Archive, known: str | None, handover: Handover) -> AsyncGenerator[Piece, None]:
        start = await self._blocking(self._resume, archive, known)
        if start.done:
            return
        try:
            async with aclosing(self._read(archive, start, partial=not self.following)) as pieces:
                async for piece in pieces:
                    yield piece
                    if handover.refused(archive.key):
                        return
        except Gone:
            return
        except Unreadable as error:
            self.leave(archive, str(error))

    async def whole(self, archive: Archive) -> AsyncGenerator[Sequence[Incoming], None]:
        """All of one archive, in pieces; none if it is gone. The checkpoint knows nothing of it.

        Raises `SourceError` after what could be read of an archive that cannot be read to its end.
        """
        try:
            async with aclosing(self._read(archive, Position(version=archive.version), partial=True)) as pieces:
                async for piece in pieces:
                    yield piece.incoming
        except Gone:
            _log.info("gone", source=self.context.name, origin=archive.name)
        except Unreadable as error:
            raise SourceError(f"{archive.name} cannot be read: {error}") from None

    async def _read(self, archive: Archive, start: Position, *, partial: bool) -> AsyncGenerator[Piece, None]:
        reader = Reader(self, archive, start, partial=partial)
        try:
            more = True
            while more:
                piece, more = await self._blocking(reader.next)
                if piece:
                    yield piece
        finally:
            reader.close()

    def _resume(self, archive: Archive, known: str | None) -> Position:
        fresh = Position(version=archive.version)
        if known is None:
            return fresh
        before = _position.decode(known)
        if before.version == archive.version:
            return before
        grown = archive.grows and 0 < before.offset <= archive.size
        if grown and tail_digest(self.tail(archive, before.offset)) == before.tail:
            return msgspec.structs.replace(before, version=archive.version, done=False)
        return fresh

    def leave(self, archive: Archive, reason: str = "") -> None:
        """Look at the archive again only in another version; say so if there is a reason."""
        self._left[archive.key] = archive.version
        if reason:
            self.alarm("unreadable", archive.name, reason)

    def alarm(self, kind: str, origin: str, reason: str) -> None:
        """Tell the operator of something that was passed over."""
        _log.error("passed over", alarm=kind, source=self.context.name, origin=origin, reason=reason)
        self.missed(f"{origin} was passed over: {reason}")

    def still_written(self, archive: Archive) -> bool:
        """Whether what looks broken may be half written: it was not seen like this in the pass before."""
        if self.atomic or not self.following or self._unsettled.get(archive.key) == archive.version:
            return False
        self._unsettled[archive.key] = archive.version
        return True

    def format_of(self, name: str) -> Format:
        """What an archive holds, by the options or its name."""
        if self.options.format != "auto":
            return self.options.format
        if name.endswith(".parquet"):
            return "parquet"
        return "jsonl" if name.removesuffix(".gz").removesuffix(".zst").endswith((".jsonl", ".ndjson")) else "json"

    def shaped(self, origin: str) -> SourceError:
        """What to raise for an archive whose metadata has `FIELDS`."""
        return SourceError(
            f"{origin} holds scans shaped by a destination's `fields:`, which are not the scans themselves; name a place "
            "written without `fields:`"
        )

    async def _blocking(self, call: Callable[..., _T], *args: Any) -> _T:
        try:
            return await to_thread.run_sync(call, *args)
        except (Unreadable, Gone, ScribeExportError):
            raise
        except Exception as error:
            known = self.classify(error)
            if known is None:
                raise
            raise known from error
