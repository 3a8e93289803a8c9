"""The rows of a load job's file."""

import gzip
import io
import zlib
from dataclasses import dataclass, field
from typing import Any

import msgspec
import pyarrow as pa
import pyarrow.parquet

from scribe_local.bigquery.arrow_rows import fields_of_arrow, fit
from scribe_local.bigquery.incoming import BadValue, RowReader
from scribe_local.bigquery.refusals import Refused, invalid
from scribe_local.bigquery.schema import Fields, arrow_schema

# https://cloud.google.com/bigquery/quotas#load_jobs, 2026-08-22: the largest row of JSON.
LARGEST_JSON_ROW = 100 * 1024 * 1024

_GZIP = b"\x1f\x8b"
_READING = "Error while reading data, error message: "


@dataclass(frozen=True, slots=True)
class Loaded:
    """What a file holds: a pyarrow table, and the errors of the rows that were left out."""

    rows: Any
    bad: list[dict[str, str]] = field(default_factory=list)


def read_json(data: bytes, fields: Fields, *, ignore_unknown: bool, max_bad: int) -> Loaded:
    """Newline-delimited JSON, also gzipped. Raises `Refused` at the first bad row more than `max_bad`."""
    reader = RowReader(fields, ignore_unknown=ignore_unknown)
    rows: list[dict[str, Any]] = []
    bad: list[dict[str, str]] = []
    position = 0
    for line in _unzipped(data).split(b"\n"):
        start, position = position, position + len(line) + 1
        if not line or line.isspace():
            continue
        try:
            rows.append(_json_row(reader, line))
        except BadValue as error:
            message = f"{_READING}JSON parsing error in row starting at position {start}: {error.message}"
            bad.append({"reason": "invalid", "message": message, "location": error.location})
            if len(bad) > max_bad:
                raise _too_many(len(rows) + len(bad), bad) from None
    return Loaded(pa.Table.from_pylist(rows, schema=arrow_schema(fields)), bad)


def open_parquet(data: bytes) -> Any:
    """A pyarrow table. Raises `Refused`."""
    try:
        return pyarrow.parquet.read_table(io.BytesIO(data))
    except (pa.ArrowInvalid, OSError) as error:
        raise invalid(f"{_READING}Input file is not in Parquet format: {error}") from None


def parquet_fields(rows: Any, *, lists: bool) -> Fields:
    """The schema of the file itself. Raises `Refused`."""
    try:
        return fields_of_arrow(rows.schema, lists=lists)
    except BadValue as error:
        raise invalid(_READING + error.message, error.location) from None


def fit_parquet(rows: Any, fields: Fields, *, lists: bool, ignore_unknown: bool) -> Loaded:
    """Its rows for a table of `fields`. Raises `Refused` at the first bad value."""
    given = parquet_fields(rows, lists=lists)
    try:
        return Loaded(fit(rows, fields, given, ignore_unknown=ignore_unknown, json_text=False))
    except BadValue as error:
        raise invalid(_READING + error.message, error.location) from None


def _json_row(reader: RowReader, line: bytes) -> dict[str, Any]:
    if len(line) > LARGEST_JSON_ROW:
        raise BadValue("", f"Row size is larger than: {LARGEST_JSON_ROW}.")
    try:
        document = msgspec.json.decode(line)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise BadValue("", f"Parser terminated before end of string: {error}") from None
    return reader.read(document)


def _unzipped(data: bytes) -> bytes:
    if not data.startswith(_GZIP):
        return data
    try:
        return gzip.decompress(data)
    except (OSError, EOFError, zlib.error) as error:
        raise invalid(f"{_READING}Failed to decompress gzip: {error}") from None


def _too_many(rows: int, bad: list[dict[str, str]]) -> Refused:
    summary = f"JSON table encountered too many errors, giving up. Rows: {rows}; errors: {len(bad)}."
    more = " Please look into the errors[] collection for more details."
    return Refused(400, "invalid", _READING + summary + more, more=bad)
