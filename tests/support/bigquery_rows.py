"""Rows for the Storage Write API, and the genuine client that sends them."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import grpc
from google.cloud.bigquery_storage_v1 import BigQueryWriteClient, types
from google.cloud.bigquery_storage_v1.services.big_query_write.transports import BigQueryWriteGrpcTransport
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

from scribe_local import servers

_KINDS = descriptor_pb2.FieldDescriptorProto
Columns = dict[str, tuple[int, bool]]
"""Names, each with its protobuf type and whether it is repeated."""

INT64, STRING, DOUBLE, BYTES, INT32 = (
    _KINDS.TYPE_INT64,
    _KINDS.TYPE_STRING,
    _KINDS.TYPE_DOUBLE,
    _KINDS.TYPE_BYTES,
    _KINDS.TYPE_INT32,
)


def write_client(server: servers.BigQuery) -> BigQueryWriteClient:
    """Close its `transport` after use."""
    transport = BigQueryWriteGrpcTransport(channel=grpc.insecure_channel(server.target))
    return BigQueryWriteClient(transport=transport)


def descriptor(columns: Columns) -> Any:
    """A DescriptorProto."""
    made = descriptor_pb2.DescriptorProto(name="Row")
    for number, (name, (kind, repeated)) in enumerate(columns.items(), 1):
        label = _KINDS.LABEL_REPEATED if repeated else _KINDS.LABEL_OPTIONAL
        made.field.add(name=name, number=number, type=kind, label=label)
    return made


def serialized(described: Any, rows: Iterable[dict[str, Any]]) -> list[bytes]:
    """Rows of a DescriptorProto."""
    pool = descriptor_pool.DescriptorPool()
    file = descriptor_pb2.FileDescriptorProto(name="row.proto")
    file.message_type.add().CopyFrom(described)
    pool.Add(file)
    row_class = message_factory.GetMessageClass(pool.FindMessageTypeByName(described.name))
    return [row_class(**row).SerializeToString() for row in rows]


def proto_request(
    stream: str, described: Any, rows: Iterable[dict[str, Any]], offset: int | None = None
) -> types.AppendRowsRequest:
    """With its schema, as the first request of a connection."""
    data = types.AppendRowsRequest.ProtoData(
        writer_schema=types.ProtoSchema(proto_descriptor=described),
        rows=types.ProtoRows(serialized_rows=serialized(described, rows)),
    )
    request = types.AppendRowsRequest(write_stream=stream, proto_rows=data)
    if offset is not None:
        request.offset = offset
    return request


def append(client: BigQueryWriteClient, *requests: types.AppendRowsRequest) -> list[types.AppendRowsResponse]:
    """The responses of one connection."""
    return list(client.append_rows(iter(requests), timeout=30))


def storage_error(details: Iterable[Any]) -> types.StorageError:
    """The one that a status holds, packed or unpacked; an empty one if it holds none."""
    found = types.StorageError.pb()()
    for detail in details:
        if hasattr(detail, "Unpack"):
            detail.Unpack(found)
        else:
            found.CopyFrom(types.StorageError.pb(detail))
    wrapped: types.StorageError = types.StorageError.wrap(found)
    return wrapped
