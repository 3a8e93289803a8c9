"""One connection of AppendRows: https://cloud.google.com/bigquery/docs/reference/storage/rpc/google.cloud.bigquery.storage.v1"""

from typing import Any

import pyarrow as pa
from google.cloud.bigquery_storage_v1 import types
from grpc import StatusCode

from scribe_local.bigquery.arrow_rows import fields_of_arrow, fit
from scribe_local.bigquery.incoming import BadValue
from scribe_local.bigquery.proto_rows import BadDescriptor, ExtraFields, ProtoReader, rows_with_errors
from scribe_local.bigquery.schema import Fields, arrow_schema
from scribe_local.bigquery.tables import Tables
from scribe_local.bigquery.write_schema import table_schema
from scribe_local.bigquery.write_status import fill
from scribe_local.bigquery.write_streams import Code, StreamRefused, WriteStreams, parse

# https://cloud.google.com/bigquery/quotas#write-api-limits, 2026-08-22; it was 10 MB before.
LARGEST_REQUEST = 20_000_000

Response = types.AppendRowsResponse.pb()
_ROWS_MESSAGE = (
    "Errors found while processing rows. Please refer to the row_errors field for details. The list may not be "
    "complete because of the size limitations."
)
# What a client may send the next request after, on the same connection.
_GOES_ON = {StatusCode.ALREADY_EXISTS, StatusCode.OUT_OF_RANGE, StatusCode.INVALID_ARGUMENT}


class _BadRows(Exception):
    def __init__(self, errors: list[tuple[int, BadValue]]) -> None:
        super().__init__(_ROWS_MESSAGE)
        self.errors = errors


class WriteConnection:
    """Remembers what a client need not say again: the stream, and the schema of its rows."""

    def __init__(self, streams: WriteStreams, tables: Tables) -> None:
        self._streams = streams
        self._tables = tables
        self._name = ""
        self._proto: Any = None
        self._arrow: Any = None
        self._reader: ProtoReader | None = None
        self._seen: Fields | None = None

    def answer(self, request: Any) -> Any:
        """The response to a request. Raises `StreamRefused` or `Refused` where the connection ends with it."""
        if request.ByteSize() > LARGEST_REQUEST:
            message = f"MessageSize is too large. Max allow: {LARGEST_REQUEST} Actual: {request.ByteSize()}"
            raise StreamRefused(StatusCode.INVALID_ARGUMENT, message)
        if request.write_stream and request.write_stream != self._name:
            self._name, self._reader = request.write_stream, None
        if not self._name:
            raise StreamRefused(StatusCode.INVALID_ARGUMENT, "The first request names no write_stream")
        table, _ = parse(self._name)
        fields = self._tables.fields(table)
        response = Response(write_stream=self._name)
        try:
            rows = self._rows(request, fields)
            offset = request.offset.value if request.HasField("offset") else None
            at = self._streams.append(self._name, rows, offset)
        except _BadRows as bad:
            fill(response.error, StreamRefused(StatusCode.INVALID_ARGUMENT, f"{bad} Entity: {self._name}"))
            for index, error in bad.errors:
                response.row_errors.add(index=index, code=1, message=f"{error.location}: {error.message}")
        except StreamRefused as refused:
            if refused.status not in _GOES_ON:
                raise
            fill(response.error, refused)
        else:
            response.append_result.SetInParent()
            if at is not None:
                response.append_result.offset.value = at
        if self._seen not in (None, fields):
            response.updated_schema.CopyFrom(table_schema(fields))
        return response

    def _rows(self, request: Any, fields: Fields) -> Any:
        """A pyarrow table for the table of the stream. Raises `StreamRefused` or `_BadRows`."""
        which = request.WhichOneof("rows")
        if which == "arrow_rows":
            return self._arrow_rows(request.arrow_rows, fields)
        if which != "proto_rows":
            raise StreamRefused(StatusCode.INVALID_ARGUMENT, "The request has no rows")
        if request.proto_rows.HasField("writer_schema"):
            self._proto, self._reader = request.proto_rows.writer_schema.proto_descriptor, None
        if self._proto is None:
            raise StreamRefused(StatusCode.INVALID_ARGUMENT, "The first request has no writer_schema")
        if self._reader is None:
            self._reader = self._proto_reader(fields)
            self._seen = fields
        good, bad = rows_with_errors(self._reader, request.proto_rows.rows.serialized_rows)
        if bad:
            raise _BadRows(bad)
        return pa.Table.from_pylist(good, schema=arrow_schema(self._seen or fields))

    def _proto_reader(self, fields: Fields) -> ProtoReader:
        try:
            return ProtoReader(self._proto, fields)
        except BadDescriptor as error:
            code = Code.SCHEMA_MISMATCH_EXTRA_FIELDS if isinstance(error, ExtraFields) else None
            message = f"{error} Entity: {self._name}"
            raise StreamRefused(StatusCode.INVALID_ARGUMENT, message, code, self._name) from None

    def _arrow_rows(self, given: Any, fields: Fields) -> Any:
        if given.HasField("writer_schema"):
            self._arrow, self._seen = pa.ipc.read_schema(pa.py_buffer(given.writer_schema.serialized_schema)), fields
        if self._arrow is None:
            raise StreamRefused(StatusCode.INVALID_ARGUMENT, "The first request has no writer_schema")
        try:
            batch = pa.ipc.read_record_batch(pa.py_buffer(given.rows.serialized_record_batch), self._arrow)
            rows = pa.Table.from_batches([batch])
            own = fields_of_arrow(self._arrow, lists=True)
            return fit(rows, fields, own, ignore_unknown=False, json_text=True)
        except BadValue as error:
            known = {field.name.lower() for field in fields}
            code = None if error.location.lower() in known else Code.SCHEMA_MISMATCH_EXTRA_FIELDS
            message = f"{error.message} Entity: {self._name}"
            raise StreamRefused(StatusCode.INVALID_ARGUMENT, message, code, self._name) from None
        except (pa.ArrowInvalid, OSError) as error:
            message = f"Invalid Arrow data: {error} Entity: {self._name}"
            raise StreamRefused(StatusCode.INVALID_ARGUMENT, message) from None
