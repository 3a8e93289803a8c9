"""Scans as rows of a Parquet file, and back.

A row has the columns that rules and keys know, and in `document` the scan's JSON byte for byte. The columns are the
same in every file; one is null where the scan has no such value, or `fields:` leaves it out. pyarrow is imported when a
file is first written or read, never by a config without Parquet.
"""

import importlib.util
import io
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, Literal, NamedTuple

from scribe_export.errors import Rejected
from scribe_export.fields import Selection
from scribe_export.model import Record

DOCUMENT = "document"
INSTALL = "Parquet needs pyarrow, which is not installed; run: pip install 'scribe-export[parquet]'"
ROW_GROUP = 8 * 2**20
"""Bytes of documents after which a row group is written: about what writing holds beside the batch and the file."""

_EPOCH = datetime.fromtimestamp(0, UTC)
_MICROSECOND = timedelta(microseconds=1)
_BUFFER = 2**20
_PAGE_ROWS = 16  # a page ends at 1 MiB, which is looked for only after so many rows
_BATCH_ROWS = 500
_BATCH_BYTES = 4 * 2**20
_CODECS: Mapping[str, Mapping[str, Any]] = {
    "none": {"compression": "none"},
    "gzip": {"compression": "gzip", "compression_level": 6},
    "zstd": {"compression": "zstd", "compression_level": 1},
}


class ParquetError(Exception):
    """A file that is no Parquet, is damaged, or does not hold scans; the message says which."""


class _Column(NamedTuple):
    """`path` is where a scan has the value; empty for what the journal knows of every scan."""

    name: str
    type: Literal["string", "double", "timestamp"]
    path: str
    value: Callable[[Record], Any]


def _timestamp(record: Record) -> int | None:
    try:
        return (record.timestamp - _EPOCH) // _MICROSECOND
    except Rejected:
        return None  # the document holds it as it is


COLUMNS = (
    _Column("scan_id", "string", "", lambda record: record.scan_id),
    _Column("timestamp", "timestamp", "timestamp", _timestamp),
    _Column("confidence", "double", "interpretation.confidence_scores.overall", lambda it: it.fields.confidence),
    _Column("material", "string", "interpretation.pattern_matches.materials.material", lambda it: it.fields.material),
    _Column("signal_type", "string", "config.signal_type", lambda record: record.fields.signal_type),
    _Column("frequency", "double", "config.frequency", lambda record: record.fields.frequency),
    _Column("source", "string", "", lambda record: record.source),
    _Column("sha256", "string", "", lambda record: record.sha256),
    _Column("received_at", "timestamp", "", lambda record: round(record.received_at * 1e6)),
)


def installed() -> bool:
    """Whether pyarrow can be imported, without doing it."""
    return importlib.util.find_spec("pyarrow") is not None


class ParquetRows:
    """Scans on their way into one file. Row groups are written as they fill, so no second copy of a batch is held.

    The same scans give the same bytes, as long as pyarrow is the same.
    """

    def __init__(self, compression: str, selection: Selection | None, metadata: Mapping[str, str]) -> None:
        import pyarrow as pa
        from pyarrow import parquet

        self._arrow = pa
        types = {
            "string": pa.string(),
            "double": pa.float64(),
            "timestamp": pa.timestamp("us", tz="UTC"),
        }
        self._values = [
            column.value if not column.path or selection is None or selection.keeps(column.path) else _nothing
            for column in COLUMNS
        ]
        self._schema = pa.schema(
            [pa.field(one.name, types[one.type], nullable=bool(one.path)) for one in COLUMNS]
            + [pa.field(DOCUMENT, types["string"], nullable=False)]
        )
        self._stream = io.BytesIO()
        self._metadata = dict(metadata)
        self._writer = parquet.ParquetWriter(
            self._stream,
            self._schema,
            **_CODECS[compression],
            use_dictionary=["material", "signal_type", "source"],
            write_statistics=[column.name for column in COLUMNS],
            write_batch_size=_PAGE_ROWS,
            write_page_checksum=True,
            store_schema=False,
        )
        self._start()

    def _start(self) -> None:
        self._rows: list[list[Any]] = [[] for _ in COLUMNS]
        self._documents: list[bytes] = []
        self._size = 0

    def add(self, record: Record, document: bytes) -> None:
        """The next scan and its JSON; raises `InvalidScan` for what is none, and `Rejected` for what is no text."""
        if not document.isascii():
            try:
                document.decode()
            except UnicodeDecodeError as error:
                raise Rejected(f"not UTF-8: {error.reason} at byte {error.start}", kind="invalid") from None
        for row, value in zip(self._rows, [read(record) for read in self._values], strict=True):
            row.append(value)
        self._documents.append(document)
        self._size += len(document)
        if self._size >= ROW_GROUP:
            self._write()

    def _write(self) -> None:
        arrays = [
            self._arrow.array(values, field.type)
            for values, field in zip([*self._rows, self._documents], self._schema, strict=True)
        ]
        count = len(self._documents)
        self._start()
        self._writer.write_table(self._arrow.table(arrays, schema=self._schema), row_group_size=count)

    def finish(self) -> bytes:
        """The whole file."""
        if self._documents:
            self._write()
        self._writer.add_key_value_metadata(self._metadata)
        self._writer.close()
        return self._stream.getvalue()


def _nothing(_: Record) -> None:
    return None


class ParquetDocuments:
    """The documents of a file that can be sought in; raises `ParquetError` if it has none."""

    def __init__(self, stream: Any) -> None:
        import pyarrow as pa
        from pyarrow import parquet

        self._broken = (pa.ArrowException, OSError)
        try:
            self._file = parquet.ParquetFile(
                stream, buffer_size=_BUFFER, pre_buffer=False, page_checksum_verification=True
            )
            schema = self._file.schema_arrow
        except self._broken as error:
            raise _parquet_error(error) from None
        found = schema.field(DOCUMENT).type if DOCUMENT in schema.names else None
        if found is None:
            raise ParquetError(f"no column {DOCUMENT!r}, which holds the scans' JSON")
        if found not in {pa.string(), pa.large_string(), pa.binary(), pa.large_binary()}:
            raise ParquetError(f"the column {DOCUMENT!r} is {found}, not text")
        self.metadata: Mapping[str, str] = {
            key.decode(errors="replace"): value.decode(errors="replace")
            for key, value in (self._file.metadata.metadata or {}).items()
        }

    def rows(self, start: int = 0) -> Iterator[bytes | None]:
        """One document after the other, from row `start` on; None where there is none. Raises `ParquetError`."""
        import pyarrow as pa

        groups = self._file.metadata
        try:
            for number in range(groups.num_row_groups):
                group = groups.row_group(number)
                if start >= group.num_rows:
                    start -= group.num_rows
                    continue
                taken = self._file.iter_batches(
                    self._batch_rows(group), row_groups=[number], columns=[DOCUMENT], use_threads=False
                )
                for batch in taken:
                    column = batch.column(0).slice(start).cast(pa.large_binary())
                    start = max(0, start - batch.num_rows)
                    for value in column:
                        yield value.as_py()
        except self._broken as error:
            raise _parquet_error(error) from None

    def _batch_rows(self, group: Any) -> int:
        columns = (group.column(index) for index in range(group.num_columns))
        chunk = next(one for one in columns if one.path_in_schema == DOCUMENT)
        if any("DICTIONARY" in encoding for encoding in chunk.encodings):
            return 1  # a few bytes may stand for any number of long documents
        fitting: int = _BATCH_BYTES * group.num_rows // max(chunk.total_uncompressed_size, 1)
        return max(1, min(_BATCH_ROWS, fitting))


def _parquet_error(error: Exception) -> Exception:
    """Trouble with the disk stays what it is; all else is about the file's content."""
    return error if isinstance(error, OSError) and error.errno else ParquetError(str(error).partition("\n")[0])
