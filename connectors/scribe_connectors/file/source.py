"""A source that reads scans from files."""

import io
import os
from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import ClassVar

from pydantic import Field

from scribe_connectors.file._errors import classify
from scribe_connectors.file._glob import Pattern
from scribe_export.archives.archive import Archive, Gone, Unreadable
from scribe_export.archives.codec import compression_of
from scribe_export.archives.source import PAGE, ArchiveOptions, ArchiveSource
from scribe_export.errors import SinkError
from scribe_export.interface import Context
from scribe_export.keys import path_safe
from scribe_export.options import Options


class FileSourceOptions(ArchiveOptions):
    """Files that hold a scan each (`.json`), a scan a line (`.jsonl`), both also with `.gz` or `.zst`, or a scan a row
    (`.parquet`)."""

    path: str = Field(min_length=1)
    """A glob: ``*`` and ``?`` within a name, ``**`` for any folders. Relative to the config's own."""


class FileSource(ArchiveSource):
    """Reads files, and goes on where it stopped.

    A file that was replaced or cut short is read from its start; lines appended to an uncompressed one are read alone.
    While following, an unfinished last line or document is left until it is whole. Links to folders are not followed,
    links to files only within the glob's root.
    """

    options_type: ClassVar[type[Options]] = FileSourceOptions
    options: FileSourceOptions

    def __init__(self, options: FileSourceOptions, context: Context) -> None:
        super().__init__(options, context)
        self._pattern = Pattern(Path(context.folder).resolve() / options.path)
        self._paths: dict[str, str] = {}

    def find(self) -> Iterator[Sequence[Archive]]:
        found = self._pattern.find()
        while page := list(islice(found, PAGE)):
            archives = []
            self._paths = {}
            for one in page:
                key = "/".join(path_safe(part) for part in one.relative.split("/"))
                self._paths[key] = one.path
                state = one.state
                grows = self.format_of(one.relative) == "jsonl" and compression_of(one.relative) == "none"
                version = f"{state.st_size}-{state.st_mtime_ns}-{state.st_ino}"
                archives.append(Archive(key, one.relative, version, state.st_size, grows))
            yield archives

    def open_archive(self, archive: Archive, offset: int) -> io.BufferedIOBase:
        try:
            file = os.open(self._paths[archive.key], os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        except FileNotFoundError:
            raise Gone from None
        except OSError as error:
            raise Unreadable(os.strerror(error.errno or 0)) from None
        stream = os.fdopen(file, "rb")
        stream.seek(offset)
        return stream

    def tail(self, archive: Archive, offset: int) -> bytes:
        start = max(0, offset - 1024)
        try:
            with self.open_archive(archive, start) as stream:
                return stream.read(offset - start)
        except (Gone, Unreadable):
            return b""

    def classify(self, error: Exception) -> SinkError | None:
        return classify(error)
