"""Rows as protocol buffers, read by the descriptor that their writer sent.

https://cloud.google.com/bigquery/docs/supported-data-types#supported-protobuf-data-types states what becomes what.
"""

import datetime as dt
from collections.abc import Callable, Iterable
from typing import Any

from google.protobuf import descriptor_pb2, descriptor_pool, message, message_factory

from scribe_local.bigquery.incoming import BadValue, scalar
from scribe_local.bigquery.schema import Field, Fields

_EPOCH = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)
_EPOCH_DAY = dt.date(1970, 1, 1)
_KIND = descriptor_pb2.FieldDescriptorProto
_INTEGERS = {
    _KIND.TYPE_INT32,
    _KIND.TYPE_INT64,
    _KIND.TYPE_UINT32,
    _KIND.TYPE_UINT64,
    _KIND.TYPE_SINT32,
    _KIND.TYPE_SINT64,
    _KIND.TYPE_FIXED32,
    _KIND.TYPE_FIXED64,
    _KIND.TYPE_SFIXED32,
    _KIND.TYPE_SFIXED64,
}
_FLOATS = {_KIND.TYPE_DOUBLE, _KIND.TYPE_FLOAT}
_TEXT = {_KIND.TYPE_STRING}
_TAKEN = {
    "STRING": _TEXT | {_KIND.TYPE_ENUM},
    "BYTES": {_KIND.TYPE_BYTES} | _TEXT,
    "INTEGER": _INTEGERS | {_KIND.TYPE_ENUM},
    "FLOAT": _FLOATS | _INTEGERS,
    "BOOLEAN": {_KIND.TYPE_BOOL} | _INTEGERS,
    "NUMERIC": _TEXT | _FLOATS | _INTEGERS,
    "BIGNUMERIC": _TEXT | _FLOATS | _INTEGERS,
    "TIMESTAMP": _INTEGERS | _TEXT,
    "DATE": _INTEGERS | _TEXT,
    "DATETIME": _TEXT,
    "TIME": _TEXT,
    "JSON": _TEXT,
    "RECORD": {_KIND.TYPE_MESSAGE, _KIND.TYPE_GROUP},
}


class BadDescriptor(Exception):
    """A descriptor that does not stand on its own, or does not suit the table."""


class ExtraFields(BadDescriptor):
    """A descriptor with fields that the table does not have."""


class ProtoReader:
    """Serialized rows of one descriptor, made ready for the Arrow schema of `fields`."""

    def __init__(self, descriptor: Any, fields: Fields) -> None:
        """Raises `BadDescriptor`."""
        self._message = _message_class(descriptor)
        self._plan = _plan(self._message.DESCRIPTOR, fields, "")

    def read(self, row: bytes) -> dict[str, Any]:
        """Raises `BadValue`."""
        try:
            parsed = self._message.FromString(row)
        except message.DecodeError as error:
            raise BadValue("", f"The row is not of the writer schema: {error}") from None
        return self._plan(parsed)


def _message_class(descriptor: Any) -> Any:
    file = descriptor_pb2.FileDescriptorProto(name="row.proto", syntax="proto2")
    file.message_type.add().CopyFrom(descriptor)
    pool = descriptor_pool.DescriptorPool()
    try:
        pool.Add(file)
        return message_factory.GetMessageClass(pool.FindMessageTypeByName(descriptor.name))
    except (TypeError, KeyError) as error:
        raise BadDescriptor(f"Invalid proto schema: {error}") from None


def _plan(descriptor: Any, fields: Fields, path: str) -> Callable[[Any], dict[str, Any]]:
    columns = {field.name.lower(): field for field in fields}
    known: list[tuple[str, Field, Callable[[Any], Any]]] = []
    for given in descriptor.fields:
        field = columns.pop(given.name.lower(), None)
        if field is None:
            raise ExtraFields(f"Input schema has more fields than BigQuery schema, extra fields: '{path}{given.name}'")
        known.append((given.name, field, _value(given, field, path)))
    missing = next((field.name for field in columns.values() if field.mode == "REQUIRED"), None)
    if missing:
        raise BadDescriptor(f"The required field {path}{missing} is missing in the proto message")
    blank = [field.name for field in columns.values() if field.mode == "REPEATED"]

    def read(row: Any) -> dict[str, Any]:
        found: dict[str, Any] = {name: [] for name in blank}
        for name, field, convert in known:
            try:
                if field.mode == "REPEATED":
                    found[field.name] = [convert(each) for each in getattr(row, name)]
                elif row.HasField(name):
                    found[field.name] = convert(getattr(row, name))
                elif field.mode == "REQUIRED":
                    raise BadValue(path + name, f"Field {path}{name} is required, and the row has none")  # noqa: TRY301
            except BadValue as error:
                raise BadValue(error.location or path + name, error.message) from None
        return found

    return read


def _value(given: Any, field: Field, path: str) -> Callable[[Any], Any]:
    if given.type not in _TAKEN[field.type] or given.is_repeated != (field.mode == "REPEATED"):
        raise BadDescriptor(
            f"The proto field mismatched with BigQuery field at {path}{given.name}, the proto field type does not suit "
            f"the BigQuery field type {field.type} {field.mode}"
        )
    if field.type == "RECORD":
        return _plan(given.message_type, field.fields, f"{path}{given.name}.")
    if given.type == _KIND.TYPE_ENUM:
        names = given.enum_type.values_by_number
        return (lambda value: names[value].name) if field.type == "STRING" else int
    if given.type in _INTEGERS and field.type in _OF_INTEGER:
        return _OF_INTEGER[field.type]
    if given.type == _KIND.TYPE_BYTES:
        return bytes
    if field.type == "BYTES":
        return lambda value: str(value).encode()
    return scalar(field.type)


def _timestamp(micros: int) -> dt.datetime:
    try:
        return _EPOCH + dt.timedelta(microseconds=micros)
    except OverflowError:
        raise BadValue("", f"Cannot convert value to timestamp (bad value): {micros}") from None


def _date(days: int) -> dt.date:
    try:
        return _EPOCH_DAY + dt.timedelta(days=days)
    except OverflowError:
        raise BadValue("", f"Cannot convert value to date (bad value): {days}") from None


_OF_INTEGER: dict[str, Callable[[int], Any]] = {"TIMESTAMP": _timestamp, "DATE": _date, "BOOLEAN": bool}


def rows_with_errors(
    reader: ProtoReader, rows: Iterable[bytes]
) -> tuple[list[dict[str, Any]], list[tuple[int, BadValue]]]:
    """The rows, and what is wrong with which of them."""
    good, bad = [], []
    for index, row in enumerate(rows):
        try:
            good.append(reader.read(row))
        except BadValue as error:
            bad.append((index, error))
    return good, bad
