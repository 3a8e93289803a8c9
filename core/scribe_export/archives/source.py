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

from scribe_export.archives.codec import DAMAGED, Format, compression_of, decompressed
from scribe_export.archives.form import FIELDS
from scribe_export.archives.parquet import INSTALL, ParquetError, installed
from scribe_export.archives.reading import (
    CHUNK_BYTES,
    CHUNK_RECORDS,
    Chunk,
    Handover,
    LineReader,
    Position,
    is_whole,
    tail_digest,
)
from scribe_export.archives.rows import RowReader, seekable
from scribe_export.errors import ScribeExportError, SinkError, SourceError, Transient
from scribe_export.interface import Checkpoint, Context, Source
from scribe_export.model import Delivery, Incoming
from scribe_export.options import Duration, Options, Size, SourceOptions

PAGE = 500
"""Archives looked up in the checkpoint at once."""

_CHECKED = 2**20
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


@dataclass(frozen=True, slots=True)
class Archive:
    """One stored archive: `key` names it in the checkpoint, `name` in messages; `version` changes with its content.

    `grows`: a new version may be the old one with lines appended.
    """

    key: str
    name: str
    version: str
    size: int
    grows: bool = False


class Unreadable(Exception):
    """This archive cannot be read, though others may; the message says why."""


class Gone(Exception):
    """This archive is no longer there, or no longer in this version."""


@dataclass(slots=True)
class _Pack:
    """Pieces of several archives on their way into one delivery."""

    bodies: dict[str, list[Incoming]] = field(default_factory=dict)
    positions: dict[str, str] = field(default_factory=dict)
    records: int = 0
    size: int = 0

    def takes(self, piece: "_Piece") -> bool:
        return (
            piece.archive.key not in self.positions
            and self.records + len(piece.incoming) <= CHUNK_RECORDS
            and self.size + piece.size <= CHUNK_BYTES
        )

    def add(self, piece: "_Piece") -> None:
        self.bodies[piece.archive.key] = piece.incoming
        self.positions[piece.archive.key] = msgspec.json.encode(piece.position).decode()
        self.records += len(piece.incoming)
        self.size += piece.size


@dataclass(slots=True)
class _Piece:
    archive: Archive
    incoming: list[Incoming]
    position: Position

    @property
    def size(self) -> int:
        return sum(len(one.body) for one in self.incoming)


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

    async def _pieces(self, archive: Archive, known: str | None, handover: Handover) -> AsyncGenerator[_Piece, None]:
        start = await self._blocking(self._resume, archive, known)
        if start.done:
            return
        reader = _Reader(self, archive, start)
        try:
            while not handover.refused(archive.key):
                piece, more = await self._blocking(reader.next)
                if piece:
                    yield piece
                if not more:
                    return
        except Gone:
            return
        except Unreadable as error:
            self.leave(archive, str(error))
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


class _Reader:
    """Takes one archive piece by piece, from where it was left."""

    def __init__(self, source: ArchiveSource, archive: Archive, start: Position) -> None:
        self._source = source
        self._archive = archive
        self._start = start
        self._compression = compression_of(archive.name)
        self._streams: list[io.BufferedIOBase] = []
        self._lines: LineReader | None = None
        self._rows: RowReader | None = None

    def close(self) -> None:
        for stream in reversed(self._streams):
            stream.close()

    def next(self) -> tuple[_Piece | None, bool]:
        """The next piece, if there is one, and whether more may follow."""
        form = self._source.format_of(self._archive.name)
        if form == "json":
            return self._document(), False
        return self._next_lines() if form == "jsonl" else self._next_rows()

    def _open(self, offset: int) -> io.BufferedIOBase:
        raw = self._source.open_archive(self._archive, offset)
        self._streams.append(raw)
        stream = decompressed(raw, self._compression)
        self._streams.append(stream)
        return stream

    def _document(self) -> _Piece | None:
        archive, most = self._archive, self._source.options.max_record
        try:
            body = self._open(0).read(most + 1)
        except DAMAGED as error:
            if self._source.still_written(archive):
                return None
            raise Unreadable(f"{type(error).__name__}: {error}") from None
        if len(body) > most:
            raise Unreadable(f"longer than max_record, {most} bytes")
        if not is_whole(body) and self._source.still_written(archive):
            return None
        return _Piece(archive, [Incoming(body, archive.name)], Position(version=archive.version, done=True))

    def _next_lines(self) -> tuple[_Piece | None, bool]:
        source, archive = self._source, self._archive
        if self._lines is None:
            self._lines = self._open_lines()
        chunk = self._lines.chunk(partial=not source.following)
        self._report(chunk)
        if chunk.damage and not source.still_written(archive):
            source.leave(archive, chunk.damage)
        elif chunk.ended and (chunk.partial or not chunk.incoming):
            source.leave(archive)
        position = Position(
            version=archive.version,
            offset=chunk.offset,
            line=chunk.line,
            tail=chunk.tail,
            done=chunk.ended and not chunk.partial,
        )
        piece = _Piece(archive, chunk.incoming, position) if chunk.incoming else None
        return piece, not chunk.ended and not chunk.damage

    def _report(self, chunk: Chunk) -> None:
        most = self._source.options.max_record
        for number in chunk.overlong:
            self._source.alarm("too_long", f"{self._archive.name}:{number}", f"longer than max_record, {most}")

    def _next_rows(self) -> tuple[_Piece | None, bool]:
        source, archive = self._source, self._archive
        if self._rows is None:
            try:
                self._rows = self._open_rows()
            except ParquetError as error:
                if source.still_written(archive):
                    return None, False
                raise Unreadable(str(error)) from None
        chunk = self._rows.chunk()
        self._report(chunk)
        if chunk.damage:
            source.leave(archive, chunk.damage)
        elif chunk.ended and not chunk.incoming:
            source.leave(archive)
        position = Position(version=archive.version, line=chunk.line, done=chunk.ended)
        piece = _Piece(archive, chunk.incoming, position) if chunk.incoming else None
        return piece, not chunk.ended and not chunk.damage

    def _open_rows(self) -> RowReader:
        archive = self._archive
        if not installed():
            raise Unreadable(INSTALL)
        raw = self._source.open_archive(archive, 0)
        self._streams.append(raw)
        stream = seekable(raw)
        self._streams.append(stream)
        reader = RowReader(stream, archive.name, self._start, self._source.options.max_record)
        if FIELDS in reader.metadata:
            raise self._source.shaped(archive.name)
        return reader

    def _open_lines(self) -> LineReader:
        archive, start, most = self._archive, self._start, self._source.options.max_record
        if self._compression == "none":
            tail = self._source.tail(archive, start.offset) if start.offset else b""
            return LineReader(self._open(start.offset), archive.name, start, most, tail)
        raw = self._source.open_archive(archive, 0)
        self._streams.append(raw)
        if raw.seekable():
            self._check(raw)
        stream = decompressed(raw, self._compression)
        self._streams.append(stream)
        reader = LineReader(stream, archive.name, start, most)
        try:
            reader.skip(start.offset)
        except DAMAGED as error:
            raise Unreadable(f"{type(error).__name__}: {error}") from None
        return reader

    def _check(self, raw: io.BufferedIOBase) -> None:
        """Read it all once, for the checksum at its end: before that, wrong bytes look like right ones."""
        try:
            with decompressed(raw, self._compression) as stream:
                while stream.read(_CHECKED):
                    pass
        except EOFError:
            pass  # cut off, but right as far as it goes
        except DAMAGED as error:
            if self._source.still_written(self._archive):
                raise Gone from None
            raise Unreadable(f"{type(error).__name__}: {error}") from None
        raw.seek(0)
