"""Refusals of the Storage Write API as gRPC statuses, whose details hold a `StorageError`."""

from typing import Any

from google.cloud.bigquery_storage_v1 import types
from google.rpc import status_pb2
from grpc import StatusCode

from scribe_local.bigquery.refusals import Refused
from scribe_local.bigquery.write_streams import Code, StreamRefused

_OF_HTTP = {404: StatusCode.NOT_FOUND, 409: StatusCode.ALREADY_EXISTS, 400: StatusCode.INVALID_ARGUMENT}


def fill(status: Any, refused: StreamRefused) -> None:
    """Write a refusal into a `google.rpc.Status`."""
    status.code = refused.status.value[0]
    status.message = refused.message
    if refused.storage is not None:
        error = types.StorageError(code=refused.storage, entity=refused.entity, error_message=refused.message)
        status.details.add().Pack(types.StorageError.pb(error))


def status_of(error: StreamRefused | Refused) -> status_pb2.Status:
    """As a call ends with."""
    if isinstance(error, Refused):
        code = Code.TABLE_NOT_FOUND if error.reason == "notFound" else None
        error = StreamRefused(_OF_HTTP.get(error.status, StatusCode.UNKNOWN), error.message, code)
    status = status_pb2.Status()
    fill(status, error)
    return status
