"""Arrow rows of any writer, brought to a table's schema."""

from typing import Any

import pyarrow as pa

from scribe_local.bigquery.incoming import BadValue
from scribe_local.bigquery.schema import Field, Fields, arrow_schema

# What Arrow's naive timestamps are read as besides DATETIME: Parquet files of old writers have no zone.
_ALIKE = {("DATETIME", "TIMESTAMP"), ("NUMERIC", "BIGNUMERIC"), ("BIGNUMERIC", "NUMERIC")}


def fields_of_arrow(schema: Any, *, lists: bool) -> Fields:
    """The schema that rows have by themselves; without `lists`, a list is the RECORD that Parquet stores it as.

    https://cloud.google.com/bigquery/docs/loading-data-cloud-storage-parquet#parquet_conversions. Raises `BadValue`.
    """
    return tuple(_field(each, lists=lists) for each in schema)


def fit(rows: Any, fields: Fields, given: Fields, *, ignore_unknown: bool, json_text: bool) -> Any:
    """The pyarrow table `rows`, whose own schema is `given`, as one of `fields`. Raises `BadValue`.

    `json_text` lets text be JSON, which the Storage Write API has and Parquet has not.
    """
    columns = {field.name.lower(): index for index, field in enumerate(given)}
    arrays = []
    for field in fields:
        index = columns.pop(field.name.lower(), None)
        if index is None:
            if field.mode == "REQUIRED":
                raise BadValue(field.name, f"Missing required field: {field.name}.")
            empty: list[Any] = [[]] * rows.num_rows if field.mode == "REPEATED" else [None] * rows.num_rows
            arrays.append(pa.array(empty, field.arrow))
            continue
        _check(field, given[index], json_text=json_text)
        column = rows.column(index)
        if field.mode == "REQUIRED" and column.null_count:
            raise BadValue(field.name, f"Only optional fields can be set to NULL. Field: {field.name}; Value: NULL")
        arrays.append(_cast(field, column))
    if columns and not ignore_unknown:
        name = given[min(columns.values())].name
        raise BadValue(name, f"no such field: {name}.")
    return pa.table(arrays, schema=arrow_schema(fields))


def _cast(field: Field, column: Any) -> Any:
    try:
        return column.cast(field.arrow)
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as error:
        raise BadValue(field.name, f"Field {field.name}: {error}") from None


def _check(wanted: Field, given: Field, *, json_text: bool) -> None:
    alike = wanted.type == given.type or (given.type, wanted.type) in _ALIKE
    if json_text and (given.type, wanted.type) == ("STRING", "JSON"):
        alike = True
    if not alike or (wanted.mode == "REPEATED") != (given.mode == "REPEATED"):
        have, want = (f"{f.type}{' REPEATED' if f.mode == 'REPEATED' else ''}" for f in (given, wanted))
        raise BadValue(wanted.name, f"Field {wanted.name} has type {have}, which does not match the column's {want}")
    inner = {field.name.lower(): field for field in given.fields}
    for field in wanted.fields:
        if field.name.lower() in inner:
            _check(field, inner.pop(field.name.lower()), json_text=json_text)
    if inner:
        name = f"{wanted.name}.{next(iter(inner.values())).name}"
        raise BadValue(name, f"no such field: {name}.")


def _field(column: Any, *, lists: bool) -> Field:
    kind = column.type
    if pa.types.is_list(kind) or pa.types.is_large_list(kind):
        one = _field(pa.field(column.name, kind.value_type), lists=lists)
        if lists:
            return Field(column.name, one.type, "REPEATED", one.fields)
        element = Field("element", one.type, one.mode, one.fields)
        return Field(column.name, "RECORD", "NULLABLE", (Field("list", "RECORD", "REPEATED", (element,)),))
    if pa.types.is_struct(kind):
        inner = tuple(_field(kind.field(index), lists=lists) for index in range(kind.num_fields))
        return Field(column.name, "RECORD", "NULLABLE", inner)
    return Field(column.name, _scalar(column.name, kind))


def _scalar(name: str, kind: Any) -> str:
    if pa.types.is_decimal(kind):
        return "NUMERIC" if kind.scale <= 9 and kind.precision - kind.scale <= 29 else "BIGNUMERIC"
    if pa.types.is_timestamp(kind):
        return "TIMESTAMP" if kind.tz else "DATETIME"
    for test, found in (
        (pa.types.is_integer, "INTEGER"),
        (pa.types.is_floating, "FLOAT"),
        (pa.types.is_boolean, "BOOLEAN"),
        (pa.types.is_string, "STRING"),
        (pa.types.is_large_string, "STRING"),
        (pa.types.is_binary, "BYTES"),
        (pa.types.is_large_binary, "BYTES"),
        (pa.types.is_date, "DATE"),
        (pa.types.is_time, "TIME"),
    ):
        if test(kind):
            return found
    raise BadValue(name, f"Field {name} has the type {kind}, which BigQuery does not know")
