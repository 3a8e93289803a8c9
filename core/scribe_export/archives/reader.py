"""Reading one archive piece by piece, whatever its layout and compression."""

import io
from typing import TYPE_CHECKING

from scribe_export.archives.archive import Archive, Gone, Piece, Unreadable
from scribe_export.archives.codec import DAMAGED, compression_of, decompressed
from scribe_export.archives.form import FIELDS
from scribe_export.archives.parquet import INSTALL, ParquetError, installed
from scribe_export.archives.reading import Chunk, LineReader, Position, is_whole
from scribe_export.archives.rows import RowReader, seekable
from scribe_export.model import Incoming

if TYPE_CHECKING:
    from scribe_export.archives.source import ArchiveSource

_CHECKED = 2**20
_PATIENCE = 3
"""How many times `max_record` a compressed line may be too long, before the archive counts as a bomb: little that is
stored may become endlessly much."""


class Reader:
    """Takes one archive piece by piece, from where it was left; with `partial` a last line without its end too."""

    def __init__(self, source: "ArchiveSource", archive: Archive, start: Position, *, partial: bool) -> None:
        self._source = source
        self._partial = partial
        self._damage = ""
        self._archive = archive
        self._start = start
        self._compression = compression_of(archive.name)
        self._streams: list[io.BufferedIOBase] = []
        self._lines: LineReader | None = None
        self._rows: RowReader | None = None

    def close(self) -> None:
        """Let go of the archive."""
        for stream in reversed(self._streams):
            stream.close()

    def next(self) -> tuple[Piece | None, bool]:
        """The next piece, if there is one, and whether more may follow. Raises `Unreadable` after what could be read."""
        if self._damage:
            raise Unreadable(self._damage)
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

    def _document(self) -> Piece | None:
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
        return Piece(archive, [Incoming(body, archive.name)], Position(version=archive.version, done=True))

    def _next_lines(self) -> tuple[Piece | None, bool]:
        source, archive = self._source, self._archive
        if self._lines is None:
            self._lines = self._open_lines()
        chunk = self._lines.chunk(partial=self._partial)
        self._report(chunk)
        if chunk.damage and not source.still_written(archive):
            self._damage = chunk.damage
        elif chunk.ended and (chunk.partial or not chunk.incoming):
            source.leave(archive)
        position = Position(
            version=archive.version,
            offset=chunk.offset,
            line=chunk.line,
            tail=chunk.tail,
            done=chunk.ended and not chunk.partial,
        )
        piece = Piece(archive, chunk.incoming, position) if chunk.incoming else None
        return piece, bool(self._damage) or not (chunk.ended or chunk.damage)

    def _report(self, chunk: Chunk) -> None:
        most = self._source.options.max_record
        for number in chunk.overlong:
            self._source.alarm("too_long", f"{self._archive.name}:{number}", f"longer than max_record, {most}")

    def _next_rows(self) -> tuple[Piece | None, bool]:
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
        self._damage = chunk.damage
        if chunk.ended and not chunk.incoming:
            source.leave(archive)
        position = Position(version=archive.version, line=chunk.line, done=chunk.ended)
        piece = Piece(archive, chunk.incoming, position) if chunk.incoming else None
        return piece, bool(self._damage) or not chunk.ended

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
        reader = LineReader(stream, archive.name, start, most, patience=_PATIENCE * most)
        try:
            reader.skip(start.offset)
        except DAMAGED as error:
            raise Unreadable(f"{type(error).__name__}: {error}") from None
        return reader

    def _check(self, raw: io.BufferedIOBase) -> None:
        """Read it all once, for the checksum at its end: before that, wrong bytes look like right ones."""
        try:
            with decompressed(raw, self._compression) as stream:
                line, most = 0, (1 + _PATIENCE) * self._source.options.max_record
                while data := stream.read(_CHECKED):
                    line = len(data) - 1 - end if (end := data.rfind(b"\n")) >= 0 else line + len(data)
                    if line > most:
                        raise Unreadable(f"a line of it has no end within {most} bytes")
        except EOFError:
            pass  # cut off, but right as far as it goes
        except DAMAGED as error:
            if self._source.still_written(self._archive):
                raise Gone from None
            raise Unreadable(f"{type(error).__name__}: {error}") from None
        raw.seek(0)
