"""The gRPC service google.cloud.bigquery.storage.v1.BigQueryWrite."""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NoReturn

import grpc
from google.cloud.bigquery_storage_v1 import types
from grpc_status import rpc_status

from scribe_local.bigquery.refusals import Refused
from scribe_local.bigquery.service import Service
from scribe_local.bigquery.write_connection import WriteConnection
from scribe_local.bigquery.write_schema import table_schema
from scribe_local.bigquery.write_status import status_of
from scribe_local.bigquery.write_streams import StreamRefused, WriteStreams, parse

_SERVICE = "google.cloud.bigquery.storage.v1.BigQueryWrite"

# Each open AppendRows holds a thread.
_THREADS = 64

# Above the API's own limit, so that its refusal and not gRPC's is what a client gets.
_LARGEST_MESSAGE = 64 * 1024 * 1024


def write_server(service: Service, port: int) -> tuple[grpc.Server, int]:
    """A server on 127.0.0.1 that is not started yet, and its port; `port` 0 takes a free one."""
    server = grpc.server(
        ThreadPoolExecutor(_THREADS, thread_name_prefix="write"),
        options=[("grpc.max_receive_message_length", _LARGEST_MESSAGE), ("grpc.so_reuseport", 0)],
    )
    calls = _Calls(service)
    handlers = {
        "CreateWriteStream": _unary(calls.create, types.CreateWriteStreamRequest, types.WriteStream),
        "GetWriteStream": _unary(calls.get, types.GetWriteStreamRequest, types.WriteStream),
        "FinalizeWriteStream": _unary(
            calls.finalize, types.FinalizeWriteStreamRequest, types.FinalizeWriteStreamResponse
        ),
        "BatchCommitWriteStreams": _unary(
            calls.commit, types.BatchCommitWriteStreamsRequest, types.BatchCommitWriteStreamsResponse
        ),
        "FlushRows": _unary(calls.flush, types.FlushRowsRequest, types.FlushRowsResponse),
        "AppendRows": grpc.stream_stream_rpc_method_handler(
            calls.append,
            request_deserializer=types.AppendRowsRequest.pb().FromString,
            response_serializer=types.AppendRowsResponse.pb().SerializeToString,
        ),
    }
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(_SERVICE, handlers),))
    return server, server.add_insecure_port(f"127.0.0.1:{port}")


class _Calls:
    def __init__(self, service: Service) -> None:
        self._tables = service.tables
        self._datasets = service.datasets
        self._streams: WriteStreams = service.streams

    def create(self, request: Any) -> Any:
        stream = self._streams.create(request.parent, types.WriteStream.Type(request.write_stream.type_))
        return self._described(stream.name, full=True)

    def get(self, request: Any) -> Any:
        return self._described(request.name, full=request.view == types.WriteStreamView.FULL)

    def finalize(self, request: Any) -> Any:
        return types.FinalizeWriteStreamResponse.pb()(row_count=self._streams.finalize(request.name))

    def flush(self, request: Any) -> Any:
        return types.FlushRowsResponse.pb()(offset=self._streams.flush(request.write_stream, request.offset.value))

    def commit(self, request: Any) -> Any:
        response = types.BatchCommitWriteStreamsResponse.pb()()
        committed, errors = self._streams.commit(request.parent, list(request.write_streams))
        if committed:
            response.commit_time.FromNanoseconds(int(committed * 1_000_000) * 1000)
        for error in errors:
            response.stream_errors.add(code=int(error.storage), entity=error.entity, error_message=error.message)
        return response

    def append(self, requests: Iterator[Any], context: grpc.ServicerContext) -> Iterator[Any]:
        connection = WriteConnection(self._streams, self._tables)
        for request in requests:
            try:
                response = connection.answer(request)
            except (StreamRefused, Refused) as error:
                _abort(context, error)
            yield response

    def _described(self, name: str, *, full: bool) -> Any:
        table, stream_id = parse(name)
        found = types.WriteStream.pb()(name=name, write_mode=types.WriteStream.WriteMode.INSERT)
        if stream_id == "_default":
            found.type_ = types.WriteStream.Type.COMMITTED
            found.create_time.FromMilliseconds(int(self._tables.need(table)["creationTime"]))
        else:
            stream = self._streams.need(name)
            found.type_ = stream.kind
            found.create_time.FromMilliseconds(int(stream.created * 1000))
            committed = stream.created if stream.kind == types.WriteStream.Type.COMMITTED else stream.committed
            if committed:
                found.commit_time.FromMilliseconds(int(committed * 1000))
        found.location = self._datasets.need(table.parent)["location"].lower()
        if full:
            found.table_schema.CopyFrom(table_schema(self._tables.fields(table)))
        return found


def _unary(call: Callable[[Any], Any], request: Any, response: Any) -> "grpc.RpcMethodHandler[Any, Any]":
    def answer(asked: Any, context: grpc.ServicerContext) -> Any:
        try:
            return call(asked)
        except (StreamRefused, Refused) as error:
            _abort(context, error)

    return grpc.unary_unary_rpc_method_handler(
        answer, request_deserializer=request.pb().FromString, response_serializer=response.pb().SerializeToString
    )


def _abort(context: grpc.ServicerContext, error: StreamRefused | Refused) -> NoReturn:
    context.abort_with_status(rpc_status.to_status(status_of(error)))
