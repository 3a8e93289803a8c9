"""Reading a Parquet file of scans row by row, in the chunks that archives are handed over in."""

import io
import shutil
import tempfile

from scribe_export.archives.parquet import ParquetDocuments, ParquetError
from scribe_export.archives.reading import CHUNK_BYTES, CHUNK_RECORDS, Chunk, Position
from scribe_export.model import Incoming


def seekable(stream: io.BufferedIOBase) -> io.BufferedIOBase:
    """The stream itself if it can be sought in, or a nameless temporary file with all that it gives."""
    if stream.seekable():
        return stream
    spool = tempfile.TemporaryFile(prefix="scribe-export-")  # noqa: SIM115 - its reader closes it
    try:
        shutil.copyfileobj(stream, spool, 2**20)
        spool.seek(0)
    except BaseException:
        spool.close()
        raise
    return spool


class RowReader:
    """Cuts a file into chunks of rows, from the one that `start.line` counts as the next. Raises `ParquetError`."""

    def __init__(self, stream: io.BufferedIOBase, origin: str, start: Position, max_record: int) -> None:
        found = ParquetDocuments(stream)
        self.metadata = found.metadata
        self._rows = found.rows(start.line)
        self._origin = origin
        self._next = start.line
        self._max = max_record

    def chunk(self) -> Chunk:
        """The next rows. An empty one is passed over, as an empty line is."""
        found, size, overlong = Chunk([], 0, self._next, ""), 0, []
        try:
            for document in self._rows:
                self._next += 1
                if document is not None and len(document) > self._max:
                    overlong.append(self._next)
                elif document and document.strip():
                    found.incoming.append(Incoming(document, f"{self._origin}:{self._next}"))
                    size += len(document)
                if len(found.incoming) >= CHUNK_RECORDS or size >= CHUNK_BYTES:
                    break
            else:
                found.ended = True
        except ParquetError as error:
            found.damage = f"{type(error).__name__}: {error}"
        found.line, found.overlong = self._next, overlong
        return found
