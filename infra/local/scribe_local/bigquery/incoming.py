"""JSON values that come in, made ready for Arrow.

https://cloud.google.com/bigquery/docs/loading-data-cloud-storage-json#details_of_loading_json_data states the formats.
"""

import base64
import binascii
import datetime as dt
import math
import re
from collections.abc import Callable
from decimal import ROUND_HALF_UP, Context, Decimal, InvalidOperation
from typing import Any

import msgspec

from scribe_local.bigquery.schema import BIGNUMERIC_SCALE, Field, Fields

Convert = Callable[[Any], Any]

_INTEGER = re.compile(r"[+-]?\d{1,19}", re.ASCII)
_DATE = re.compile(r"(\d{4})[-/](\d{1,2})[-/](\d{1,2})", re.ASCII)
_PLAIN = re.compile(r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d(\.\d{1,6})?([+-]\d\d:\d\d)?$", re.ASCII)
_ZONE = re.compile(r"\s*(UTC|Z)$", re.IGNORECASE)
_TIME = re.compile(r"\d{1,2}:\d{1,2}(:\d{1,2}(\.\d{1,6})?)?", re.ASCII)
_NOT_FINITE = {"nan": math.nan, "inf": math.inf, "+inf": math.inf, "-inf": -math.inf}
_EPOCH = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)
_EXACT = Context(prec=80, rounding=ROUND_HALF_UP)
_LONGEST_SHOWN = 100


class BadValue(Exception):
    """A value that its column cannot hold; `location` is the column's path."""

    def __init__(self, location: str, message: str) -> None:
        super().__init__(message)
        self.location = location
        self.message = message


class RowReader:
    """Rows as JSON objects, made ready for the Arrow schema of `fields`.

    With `json_text`, a JSON column's value is a string of JSON, as insertAll wants it; else it is any JSON value, as in
    a file: https://cloud.google.com/bigquery/docs/json-data#ingest_json_data
    """

    def __init__(self, fields: Fields, *, ignore_unknown: bool = False, json_text: bool = False) -> None:
        self._columns: dict[str, tuple[str, Convert]] = {}
        for field in fields:
            convert = _convert(field, ignore_unknown=ignore_unknown, json_text=json_text)
            self._columns[field.name] = self._columns[field.name.lower()] = (field.name, convert)
        self._required = [field.name for field in fields if field.mode == "REQUIRED"]
        self._blank: dict[str, Any] = {field.name: [] for field in fields if field.mode == "REPEATED"}
        self._ignore_unknown = ignore_unknown

    def read(self, row: Any, path: str = "") -> dict[str, Any]:
        """Raises `BadValue`."""
        if not isinstance(row, dict):
            raise BadValue(path, f"This field: {path} is not a record." if path else "The row is not a JSON object.")
        found: dict[str, Any] = dict(self._blank)
        for name, value in row.items():
            column = self._columns.get(name) or self._columns.get(name.lower())
            if column is None:
                if self._ignore_unknown:
                    continue
                raise BadValue(path + name, f"no such field: {path + name}.")
            if value is not None:
                try:
                    found[column[0]] = column[1](value)
                except BadValue as error:
                    raise BadValue(f"{path}{column[0]}{error.location}", error.message) from None
        for name in self._required:
            if name not in found:
                raise BadValue(path + name, f"Missing required field: {path + name}.")
        return found


def scalar(kind: str, *, json_text: bool = True) -> Convert:
    """What reads a value of a type that is not RECORD; it raises `BadValue` without a location."""
    return (_json_text if json_text else _json_value) if kind == "JSON" else _SCALARS[kind]


def _convert(field: Field, *, ignore_unknown: bool, json_text: bool) -> Convert:
    one: Convert
    if field.type == "RECORD":
        reader = RowReader(field.fields, ignore_unknown=ignore_unknown, json_text=json_text)

        def record(value: Any) -> Any:
            try:
                return reader.read(value)
            except BadValue as error:
                raise BadValue(f".{error.location}" if error.location else "", error.message) from None

        one = record
    else:
        one = scalar(field.type, json_text=json_text)
    if field.mode != "REPEATED":
        return one

    def many(value: Any) -> Any:
        if not isinstance(value, list):
            raise BadValue("", f"Repeated field must be imported as a JSON array. Field: {field.name}.")
        if None in value:
            raise BadValue("", f"Only optional fields can be set to NULL. Field: {field.name}; Value: NULL")
        return [one(each) for each in value]

    return many


def _bad(kind: str, value: Any) -> BadValue:
    if isinstance(value, list):
        return BadValue("", "Array specified for non-repeated field.")
    if isinstance(value, dict):
        return BadValue("", "This field is not a record.")
    shown = str(value)
    shown = shown if len(shown) <= _LONGEST_SHOWN else shown[:_LONGEST_SHOWN] + "..."
    return BadValue("", f"Cannot convert value to {kind} (bad value): {shown}")


def _string(value: Any) -> str:
    if isinstance(value, str):
        return value
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | float):
        return str(value)
    raise _bad("string", value)


def _integer(value: Any) -> int:
    if (isinstance(value, str) and _INTEGER.fullmatch(value)) or (isinstance(value, float) and value.is_integer()):
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, int) or not -(2**63) <= value < 2**63:
        raise _bad("integer", value)
    return value


def _float(value: Any) -> float:
    if isinstance(value, str):
        try:
            return _NOT_FINITE.get(value.lower().replace("infinity", "inf")) or float(value)
        except ValueError:
            raise _bad("double", value) from None
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise _bad("double", value)
    return float(value)


def _boolean(value: Any) -> bool:
    if isinstance(value, bool):
        return value
    if isinstance(value, str) and value.lower() in ("true", "false"):
        return value.lower() == "true"
    raise _bad("boolean", value)


def _bytes(value: Any) -> bytes:
    if isinstance(value, str):
        try:
            return base64.b64decode(value, validate=True)
        except (binascii.Error, ValueError):
            raise _bad("bytes", value) from None
    raise _bad("bytes", value)


def _decimal(kind: str, scale: int) -> Convert:
    step = Decimal(1).scaleb(-scale)
    limit = Decimal(10) ** (38 - scale)

    def convert(value: Any) -> Decimal:
        if isinstance(value, bool) or not isinstance(value, str | int | float | Decimal):
            raise _bad(kind, value)
        try:
            number = Decimal(str(value)).quantize(step, context=_EXACT)
        except InvalidOperation:
            raise _bad(kind, value) from None
        if not number.is_finite() or abs(number) >= limit:
            raise _bad(kind, value)
        return number

    return convert


def _timestamp(value: Any) -> dt.datetime:
    """Text, or seconds since 1970."""
    try:
        if isinstance(value, str):
            found = _moment(value[:-1] + "+00:00" if value.endswith("Z") else _ZONE.sub("+00:00", value.strip()))
            return found.astimezone(dt.UTC) if found.tzinfo else found.replace(tzinfo=dt.UTC)
        if isinstance(value, int | float) and not isinstance(value, bool):
            return _EPOCH + dt.timedelta(microseconds=round(Decimal(str(value)) * 1_000_000))
    except (ValueError, OverflowError, InvalidOperation):
        pass
    raise _bad("timestamp", value)


def _datetime(value: Any) -> dt.datetime:
    if isinstance(value, str):
        try:
            found = _moment(value.strip())
        except ValueError:
            found = None
        if found is not None and found.tzinfo is None:
            return found
    raise _bad("datetime", value)


def _moment(text: str) -> dt.datetime:
    if _PLAIN.match(text):
        return dt.datetime.fromisoformat(text)
    day, rest = _DATE.match(text), ""
    if day is None:
        raise ValueError(text)
    date = dt.date(*(int(part) for part in day.groups()))
    rest = text[day.end() :].replace(" +", "+").replace(" -", "-")
    if rest and rest[0] not in "Tt ":
        raise ValueError(text)
    return dt.datetime.fromisoformat(f"{date.isoformat()}{rest}")


def _date(value: Any) -> dt.date:
    found = _DATE.fullmatch(value) if isinstance(value, str) else None
    if found:
        try:
            return dt.date(*(int(part) for part in found.groups()))
        except ValueError:
            pass
    raise _bad("date", value)


def _time(value: Any) -> dt.time:
    if isinstance(value, str) and _TIME.fullmatch(value):
        try:
            return dt.time.fromisoformat(value)
        except ValueError:
            pass
    raise _bad("time", value)


def _json_value(value: Any) -> str:
    return msgspec.json.encode(value).decode()


def _json_text(value: Any) -> str:
    if isinstance(value, dict | list):
        raise _bad("json", value)
    text = value if isinstance(value, str) else _json_value(value)
    try:
        msgspec.json.decode(text)
    except msgspec.DecodeError:
        raise _bad("json", value) from None
    return text


_SCALARS: dict[str, Convert] = {
    "STRING": _string,
    "INTEGER": _integer,
    "FLOAT": _float,
    "BOOLEAN": _boolean,
    "BYTES": _bytes,
    "NUMERIC": _decimal("numeric", 9),
    "BIGNUMERIC": _decimal("bignumeric", BIGNUMERIC_SCALE),
    "TIMESTAMP": _timestamp,
    "DATETIME": _datetime,
    "DATE": _date,
    "TIME": _time,
}
