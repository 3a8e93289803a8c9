"""`method: storage_write`: a batch is the first append of a stream of its own, whose offset tells a repeat."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import lru_cache
from typing import Any

import grpc
from anyio import to_thread
from google.api_core.exceptions import AlreadyExists, GoogleAPICallError, InvalidArgument, NotFound
from google.cloud.bigquery_storage_v1 import types
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
from google.rpc.code_pb2 import Code

from scribe_connectors.gcp._rpc_errors import classify
from scribe_connectors.gcp.bigquery.columns import ColumnType
from scribe_connectors.gcp.bigquery.load import check_size
from scribe_connectors.gcp.bigquery.rows import RowForm
from scribe_connectors.gcp.bigquery.target import Target
from scribe_export.errors import Misconfigured, PartialFailure, Rejected, SinkError, Transient
from scribe_export.model import Batch, Encoded, Usage

_Descriptor = descriptor_pb2.DescriptorProto
_Field = descriptor_pb2.FieldDescriptorProto
# https://cloud.google.com/bigquery/docs/supported-data-types (seen 2026-11-23)
_PROTO = {
    "STRING": _Field.TYPE_STRING,
    "JSON": _Field.TYPE_STRING,
    "INT64": _Field.TYPE_INT64,
    "TIMESTAMP": _Field.TYPE_INT64,
    "FLOAT64": _Field.TYPE_DOUBLE,
}


class StorageWrite:
    """Appends a batch at offset 0 of a committed stream; the service refuses to append there a second time.

    https://cloud.google.com/bigquery/docs/write-api-streaming#exactly-once
    """

    def __init__(self, target: Target) -> None:
        self._target = target

    def encode(self, batch: Batch, shape: Mapping[str, Any], limit: int) -> Encoded:
        form = RowForm(shape, binary=True)
        message = _message(tuple(shape["types"].items()))
        rows: list[bytes] = []
        refused: dict[int, Rejected] = {}
        for index, record in enumerate(batch.records):
            try:
                row = message(**form.row(record)).SerializeToString(deterministic=True)
                check_size(len(row), limit)
                rows.append(row)
            except Rejected as error:
                refused[index] = error
        return Encoded(batch, tuple(rows), refused, sum(map(len, rows)))

    def usage(self, encoded: Encoded) -> Usage:
        """The append; the stream that it goes to is free."""
        kept = {"gcp_bigquery.streamed_bytes": encoded.size, "gcp_bigquery.stored_bytes": encoded.size}
        return Usage({"requests": 1, "bytes_sent": encoded.size}, kept)

    async def prepare(self) -> str:
        return await to_thread.run_sync(self._new_stream)

    async def write(self, encoded: Encoded) -> str:
        return await to_thread.run_sync(self._append, encoded)

    def _new_stream(self) -> str:
        self._target.table.expect_grown()
        reference = self._target.reference
        writer = self._target.writer
        with _open_channel():
            stream = writer.create_write_stream(
                parent=f"projects/{reference.project}/datasets/{reference.dataset_id}/tables/{reference.table_id}",
                write_stream=types.WriteStream(type_=types.WriteStream.Type.COMMITTED),
                retry=None,
                timeout=self._target.options.timeout,
            )
        return str(stream.name)

    def _append(self, encoded: Encoded) -> str:
        stream = encoded.batch.note
        try:
            answer = self._send(stream, encoded)
        except AlreadyExists:
            return f"{stream} had it"
        except NotFound as error:
            raise self._gone(encoded, error) from error
        except InvalidArgument as error:
            raise self._refused(error.message or "") from error
        if answer.row_errors:
            raise _of_rows(answer.row_errors, len(encoded.payload))
        code, message = answer.error.code, answer.error.message
        if code == Code.ALREADY_EXISTS:
            return f"{stream} had it"
        if code == Code.INVALID_ARGUMENT:
            raise self._refused(message)
        if code:
            raise _of_status(code, message)
        return stream

    def _send(self, stream: str, encoded: Encoded) -> types.AppendRowsResponse:
        message = _message(tuple(encoded.batch.shape["types"].items()))
        schema = types.ProtoSchema(proto_descriptor=_descriptor(message))
        request = types.AppendRowsRequest(
            write_stream=stream,
            offset=0,
            proto_rows=types.AppendRowsRequest.ProtoData(
                writer_schema=schema, rows=types.ProtoRows(serialized_rows=encoded.payload)
            ),
            trace_id="scribe-export",
        )
        writer = self._target.writer
        with _open_channel():
            answers: Iterator[types.AppendRowsResponse] = iter(
                writer.append_rows(
                    iter([request]),
                    retry=None,
                    timeout=self._target.options.timeout,
                    # What routes the call; the client adds it to all its calls but this one.
                    metadata=(("x-goog-request-params", f"write_stream={stream}"),),
                )
            )
        try:
            answer = next(answers)
        except StopIteration:
            raise Transient("the stream ended without an answer") from None
        for _ in answers:
            pass
        return answer

    def _refused(self, message: str) -> SinkError:
        """The table may have changed. If it fits the rows, either one of them is at fault, which the lane finds, or
        streams do not know yet of a column that was added."""
        try:
            self._target.table.look()
        except Misconfigured as error:
            return error
        return Transient(message, applied="no")

    def _gone(self, encoded: Encoded, error: NotFound) -> SinkError:
        """The stream was deleted, or the table with it."""
        try:
            self._target.table.look()
        except Misconfigured as misfit:
            return misfit
        if encoded.batch.attempt == 1:
            return Transient(f"a new stream is needed: {error.message}", applied="no", burned=True)
        return Transient(
            f"the stream that an earlier attempt may have written to is gone, so whether its rows are in the table only "
            f"a look can tell: {error.message}"
        )


@contextmanager
def _open_channel() -> Iterator[None]:
    try:
        yield
    except ValueError as error:
        # gRPC's word for a channel that was closed meanwhile: the call is not made.
        raise Transient(str(error), applied="no") from error


def _of_rows(errors: Any, count: int) -> PartialFailure:
    """Not one row of the append was taken, and the same rows cannot have been taken before."""
    bad: dict[int, SinkError] = {int(one.index): Rejected(one.message[:300], kind="row") for one in errors}
    rest = Transient("the append failed because of other rows", applied="no")
    return PartialFailure((), {index: bad.get(index, rest) for index in range(count)}, burned=True)


def _of_status(code: int, message: str) -> SinkError:
    by_number = {status.value[0]: status for status in grpc.StatusCode}
    known = classify(_Answered(message, by_number.get(code, grpc.StatusCode.UNKNOWN)))
    return known or Transient(message)


class _Answered(GoogleAPICallError):
    """A status within an answer, in the form that the classifier knows."""

    def __init__(self, message: str, code: grpc.StatusCode) -> None:
        super().__init__(message)  # type: ignore[no-untyped-call]
        self.grpc_status_code = code


@lru_cache(maxsize=32)
def _message(columns: tuple[tuple[str, ColumnType], ...]) -> Any:
    """The class of messages that a row is written as; proto2, so that a column left out is NULL and not empty."""
    row = _Descriptor(name="Row")
    for number, (name, kind) in enumerate(columns, start=1):
        row.field.add(name=name, number=number, type=_PROTO[kind], label=_Field.LABEL_OPTIONAL)
    file = descriptor_pb2.FileDescriptorProto(
        name="scribe_row.proto", package="scribe", syntax="proto2", message_type=[row]
    )
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return message_factory.GetMessageClass(pool.FindMessageTypeByName("scribe.Row"))


def _descriptor(message: Any) -> descriptor_pb2.DescriptorProto:
    found = _Descriptor()
    message.DESCRIPTOR.CopyToProto(found)
    return found
