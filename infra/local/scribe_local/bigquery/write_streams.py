"""The Storage Write API's streams: https://cloud.google.com/bigquery/docs/write-api#overview"""

import re
import threading
import time
import uuid
from dataclasses import dataclass, field
from typing import Any

import pyarrow as pa
from google.cloud.bigquery_storage_v1.types import StorageError, WriteStream
from grpc import StatusCode

from scribe_local.bigquery.names import TableName
from scribe_local.bigquery.newborn import loses_rows
from scribe_local.bigquery.settings import LiveSettings
from scribe_local.bigquery.store import Document, Store
from scribe_local.bigquery.tables import Tables

KIND = "stream"
Code = StorageError.StorageErrorCode
_NAME = re.compile(r"projects/([^/]+)/datasets/([^/]+)/tables/([^/]+)(?:/(?:streams/)?([^/]+))?")
_DEFAULT = "_default"


class StreamRefused(Exception):
    """A call that cannot be done; `storage` is the code within a gRPC status's details."""

    def __init__(self, status: StatusCode, message: str, storage: Any = None, entity: str = "") -> None:
        super().__init__(message)
        self.status = status
        self.message = message
        self.storage = storage
        self.entity = entity


@dataclass(slots=True)
class Stream:
    """One that a client created. `batches` are those of its rows that are not in the table yet."""

    name: str
    table: TableName
    kind: Any
    created: float
    rows: int = 0
    flushed: int = 0
    finalized: bool = False
    committed: float = 0.0
    batches: list[Any] = field(default_factory=list)


class WriteStreams:
    """All streams. COMMITTED ones last with the store; the rows of the others are in memory until they are committed."""

    def __init__(self, store: Store, tables: Tables, settings: LiveSettings) -> None:
        self._store = store
        self._tables = tables
        self._settings = settings
        self._lock = threading.RLock()
        self._streams: dict[str, Stream] = {}
        for name, kept in store.documents(KIND).items():
            table, _ = parse(name)
            created = kept["created"]
            self._streams[name] = Stream(
                name, table, WriteStream.Type.COMMITTED, created, kept["rows"], finalized=kept["finalized"]
            )

    def create(self, parent: str, kind: Any) -> Stream:
        """Raises `StreamRefused`, or `Refused` without its table."""
        table, stream = parse(parent)
        if stream is not None:
            raise StreamRefused(StatusCode.INVALID_ARGUMENT, f"Not a table: {parent}")
        if kind not in (WriteStream.Type.COMMITTED, WriteStream.Type.PENDING, WriteStream.Type.BUFFERED):
            raise StreamRefused(StatusCode.INVALID_ARGUMENT, "Stream type is not set", Code.INVALID_STREAM_TYPE, parent)
        loses_rows(table, self._tables, self._settings)
        made = Stream(f"{parent}/streams/{uuid.uuid4().hex}", table, kind, time.time())
        with self._lock:
            self._streams[made.name] = made
            self._keep(made)
        return made

    def need(self, name: str) -> Stream:
        """Raises `StreamRefused`."""
        found = self._streams.get(name)
        if found is None or self._tables.find(found.table) is None:
            raise StreamRefused(
                StatusCode.NOT_FOUND, f"Requested entity was not found. Entity: {name}", Code.STREAM_NOT_FOUND, name
            )
        return found

    def append(self, name: str, rows: Any, offset: int | None) -> int | None:
        """Add a pyarrow table, and say at which offset it is; None for the default stream. Raises `StreamRefused`."""
        table, stream_id = parse(name)
        lost = loses_rows(table, self._tables, self._settings)
        if stream_id == _DEFAULT:
            if offset is not None:
                raise StreamRefused(
                    StatusCode.INVALID_ARGUMENT, f"The default stream takes no offset. Entity: {name}", None, name
                )
            if not lost:
                self._insert(table, rows)
            return None
        with self._lock:
            stream = self.need(name)
            _check_open(stream, offset)
            at = stream.rows
            if stream.kind == WriteStream.Type.COMMITTED:
                with self._store.transaction():
                    if not lost:
                        self._insert(table, rows)
                    self._keep(stream, rows=at + rows.num_rows)
            else:
                stream.batches.append(rows)
            stream.rows = at + rows.num_rows
            return at

    def finalize(self, name: str) -> int:
        """Take no more rows, and say how many there are. Raises `StreamRefused`."""
        with self._lock:
            if parse(name)[1] == _DEFAULT:
                message = f"The default stream cannot be finalized. Entity: {name}"
                raise StreamRefused(StatusCode.INVALID_ARGUMENT, message, Code.INVALID_STREAM_TYPE, name)
            stream = self.need(name)
            stream.finalized = True
            self._keep(stream)
            return stream.rows

    def flush(self, name: str, offset: int) -> int:
        """Make a BUFFERED stream's rows up to and with `offset` visible. Raises `StreamRefused`."""
        with self._lock:
            stream = self.need(name)
            if stream.kind != WriteStream.Type.BUFFERED:
                message = f"Only a BUFFERED stream is flushed. Entity: {name}"
                raise StreamRefused(StatusCode.INVALID_ARGUMENT, message, Code.INVALID_STREAM_TYPE, name)
            if offset >= stream.rows:
                message = f"The offset {offset} is beyond the end of the stream, {stream.rows}. Entity: {name}"
                raise StreamRefused(StatusCode.OUT_OF_RANGE, message, Code.OFFSET_OUT_OF_RANGE, name)
            until = offset + 1 - stream.flushed
            if until > 0:
                waiting = pa.concat_tables(stream.batches)
                self._insert(stream.table, waiting.slice(0, until))
                stream.batches = [waiting.slice(until)]
                stream.flushed = offset + 1
            return offset

    def commit(self, parent: str, names: list[str]) -> tuple[float, list[StreamRefused]]:
        """Make all rows of some PENDING streams visible at once, or say why none are. Raises `StreamRefused`."""
        table, _ = parse(parent)
        with self._lock:
            wrong = [error for name in names if (error := self._why_not(table, name))]
            if wrong:
                return 0.0, wrong
            streams = [self._streams[name] for name in names]
            with self._store.transaction():
                for stream in streams:
                    if stream.batches:
                        self._insert(table, pa.concat_tables(stream.batches))
            now = time.time()
            for stream in streams:
                stream.committed, stream.batches = now, []
            return now, []

    def _why_not(self, table: TableName, name: str) -> StreamRefused | None:
        stream = self._streams.get(name)
        for wrong, code, why in (
            (stream is None or stream.table != table, Code.STREAM_NOT_FOUND, "is not of this table"),
            (stream and stream.kind != WriteStream.Type.PENDING, Code.INVALID_STREAM_TYPE, "is not PENDING"),
            (stream and stream.committed, Code.STREAM_ALREADY_COMMITTED, "is committed already"),
            (stream and not stream.finalized, Code.INVALID_STREAM_STATE, "is not finalized"),
        ):
            if wrong:
                return StreamRefused(StatusCode.FAILED_PRECONDITION, f"Stream {why}. Entity: {name}", code, name)
        return None

    def _insert(self, table: TableName, rows: Any) -> None:
        with self._store.transaction():
            fields = self._tables.fields(table)
            # Rows of a stream may be older than their table's schema: a REPEATED column that they lack is empty.
            for each in fields:
                if each.mode == "REPEATED" and each.name not in rows.column_names:
                    rows = rows.append_column(each.name, pa.array([[]] * rows.num_rows, each.arrow))
            self._store.insert(table, rows)
            self._tables.touch(table)

    def _keep(self, stream: Stream, *, rows: int | None = None) -> None:
        if stream.kind == WriteStream.Type.COMMITTED:
            count = stream.rows if rows is None else rows
            kept: Document = {"created": stream.created, "rows": count, "finalized": stream.finalized}
            self._store.put(KIND, stream.name, kept)


def parse(name: str) -> tuple[TableName, str | None]:
    """A table's or a stream's full name; the second part is the stream's own. Raises `StreamRefused`."""
    found = _NAME.fullmatch(name)
    if found is None:
        raise StreamRefused(StatusCode.INVALID_ARGUMENT, f"Invalid stream name. Entity: {name}")
    return TableName(found[1], found[2], found[3]), found[4]


def _check_open(stream: Stream, offset: int | None) -> None:
    at = f"expected offset {stream.rows}, received {offset}. Entity: {stream.name}"
    if offset is not None and offset < stream.rows:
        message = f"The offset is within stream, {at}"
        raise StreamRefused(StatusCode.ALREADY_EXISTS, message, Code.OFFSET_ALREADY_EXISTS, stream.name)
    if stream.finalized:
        message = f"Stream has been finalized and cannot be appended. Entity: {stream.name}"
        raise StreamRefused(StatusCode.INVALID_ARGUMENT, message, Code.STREAM_FINALIZED, stream.name)
    if offset is not None and offset > stream.rows:
        message = f"The offset is beyond stream, {at}"
        raise StreamRefused(StatusCode.OUT_OF_RANGE, message, Code.OFFSET_OUT_OF_RANGE, stream.name)
