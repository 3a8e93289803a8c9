"""From a scan to the values of its row."""

import math
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta, tzinfo
from typing import Any

import msgspec

from scribe_connectors.gcp.bigquery.columns import Types
from scribe_export.archives.codec import one_line
from scribe_export.archives.form import timezone_named
from scribe_export.errors import InvalidScan, Rejected
from scribe_export.fields import Selection
from scribe_export.model import Record
from scribe_export.options import FieldsOptions
from scribe_export.scan import ScanFields, parse_timestamp, read_fields

# https://cloud.google.com/bigquery/docs/partitioned-tables#date_timestamp_partitioned_tables (seen 2026-11-23)
FIRST_PARTITION, LAST_PARTITION = datetime(1960, 1, 1, tzinfo=UTC), datetime(2160, 1, 1, tzinfo=UTC)
# https://cloud.google.com/bigquery/docs/reference/standard-sql/data-types#json_type (seen 2026-11-23)
MAX_JSON_DEPTH = 500
MIN_INTEGER, MAX_INTEGER = -(2**63), 2**64 - 1

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_INT64 = range(-(2**63), 2**63)
_object = msgspec.json.Decoder(dict[str, msgspec.Raw])
_NUMERIC = bytes(
    ord("0") if chr(byte).isdigit() and byte < 128 else byte if chr(byte) in "eE+" else 32 for byte in range(256)
)
_MAY_NOT_FIT = (b"0" * 19, b"e00", b"E00", b"e+00", b"E+00")


class _Parts(msgspec.Struct):
    config: msgspec.Raw = msgspec.Raw(b"null")
    features: msgspec.Raw = msgspec.Raw(b"null")
    interpretation: msgspec.Raw = msgspec.Raw(b"null")


class _Excitation(msgspec.Struct):
    duration: float | None = None
    amplitude: float | None = None


_parts = msgspec.json.Decoder(_Parts)
_excitation = msgspec.json.Decoder(_Excitation)


class RowForm:
    """The frozen settings of a batch: what its rows hold.

    `binary`: integers and moments as the Storage Write API takes them (microseconds since the epoch), instead of as text.
    `nested`: JSON columns get the JSON itself, instead of its text.
    """

    def __init__(self, shape: Mapping[str, Any], *, binary: bool = False, nested: bool = False) -> None:
        self.types: Types = shape["types"]
        self._partition: str | None = shape["partition"]
        self._selection = Selection(FieldsOptions.model_validate(shape["fields"])) if shape["fields"] else None
        self._assume: tzinfo = timezone_named(shape["timezone"])
        self._binary, self._nested = binary, nested
        self._names = self.types.keys()

    def row(self, record: Record) -> dict[str, Any]:
        """Column to value, without those that are null. Raises `Rejected`."""
        try:
            return self._row(record)
        except InvalidScan as error:
            raise Rejected(str(error), kind="invalid") from None
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            raise Rejected(f"not JSON: {error}", kind="invalid") from None

    def _row(self, record: Record) -> dict[str, Any]:
        body = self._selection.apply(record.body) if self._selection else record.body
        fields = _fields_of(record, body) if self._selection else record.fields
        row = {
            "scan_id": self._scan_id(record),
            "timestamp": self._moment("timestamp", self._timestamp(record)),
            "confidence": fields.confidence,
        }
        rest = self._typed(record, fields, body) if "document" in self.types else self._guide(fields, body)
        return {name: value for name, value in (row | rest).items() if value is not None}

    def _guide(self, fields: ScanFields, body: bytes) -> dict[str, Any]:
        parts = _parts.decode(body)
        return {
            "material": "unknown" if fields.material is None else fields.material,
            "features_json": self._json("features_json", bytes(parts.features)),
            "interpretation_json": self._json("interpretation_json", bytes(parts.interpretation)),
        }

    def _typed(self, record: Record, fields: ScanFields, body: bytes) -> dict[str, Any]:
        config = _parts.decode(body).config
        try:
            shown = _excitation.decode(config)
        except msgspec.ValidationError:
            shown = _leniently(config)
        return {
            "received_at": self._moment("received_at", datetime.fromtimestamp(record.received_at, UTC)),
            "material": fields.material,
            "signal_type": fields.signal_type,
            "frequency": fields.frequency,
            "duration": shown.duration,
            "amplitude": shown.amplitude,
            "source": record.source,
            "sha256": record.sha256,
            "document": self._json("document", body),
        }

    def _scan_id(self, record: Record) -> str | int:
        if self.types["scan_id"] == "STRING":
            return record.scan_id
        try:
            number = int(record.scan_id)
        except ValueError:
            number = _INT64.stop
        if number not in _INT64 or str(number) != record.scan_id:
            raise Rejected(f"column scan_id is INT64, which cannot hold {record.scan_id!r:.80}", kind="scan_id")
        return number if self._binary else record.scan_id

    def _timestamp(self, record: Record) -> datetime:
        value = record.fields.timestamp
        if value is None:
            return datetime.fromtimestamp(record.received_at, UTC)
        try:
            return parse_timestamp(value, self._assume).astimezone(UTC)
        except (ValueError, OverflowError):
            raise Rejected(f"timestamp {value!r:.80} is not ISO 8601", kind="timestamp") from None

    def _moment(self, column: str, moment: datetime) -> str | int:
        if column == self._partition and not FIRST_PARTITION <= moment < LAST_PARTITION:
            raise Rejected(
                f"{column} {moment.isoformat()} is outside of what a table is partitioned by", kind="timestamp"
            )
        if self._binary and self.types[column] == "TIMESTAMP":
            return (moment - _EPOCH) // timedelta(microseconds=1)
        return moment.isoformat()

    def _json(self, column: str, text: bytes) -> str | msgspec.Raw | None:
        if text == b"null":
            return None
        if self.types[column] == "JSON":
            check_json(text, column)
            if self._nested:
                return msgspec.Raw(one_line(text))
        return text.decode()


def check_json(text: bytes, column: str) -> None:
    """Raise `Rejected` for what the type JSON cannot hold; a STRING column holds any scan as it is."""
    numbers = text.translate(_NUMERIC)
    if any(sign in numbers for sign in _MAY_NOT_FIT):
        _check_numbers(text, column)
    if text.count(b"[") + text.count(b"{") > MAX_JSON_DEPTH and _depth(text) > MAX_JSON_DEPTH:
        raise Rejected(f"{column} is nested deeper than {MAX_JSON_DEPTH} levels; {_as_text(column)}", kind="json")


def _check_numbers(text: bytes, column: str) -> None:
    try:
        document = msgspec.json.decode(text)
    except msgspec.ValidationError:
        raise Rejected(f"{column} holds a number beyond FLOAT64; {_as_text(column)}", kind="number") from None
    for value in _scalars(document):
        fits = MIN_INTEGER <= value <= MAX_INTEGER if isinstance(value, int) else math.isfinite(value)
        if not fits:
            raise Rejected(
                f"{column} holds the integer {value!r:.40}, beyond 64 bits; {_as_text(column)}", kind="number"
            )


def _scalars(value: Any) -> Iterator[int | float]:
    waiting = [value]
    while waiting:
        one = waiting.pop()
        if isinstance(one, dict):
            waiting.extend(one.values())
        elif isinstance(one, list):
            waiting.extend(one)
        elif isinstance(one, int | float):
            yield one


def _depth(text: bytes) -> int:
    deepest = depth = 0
    inside = escaped = False
    for byte in text:
        if inside:
            escaped, inside = byte == 92 and not escaped, byte != 34 or escaped
        elif byte == 34:
            inside = True
        elif byte in b"[{":
            depth += 1
            deepest = max(deepest, depth)
        elif byte in b"]}":
            depth -= 1
    return deepest


def _as_text(column: str) -> str:
    return f"set column_types: {{{column}: STRING}} to keep such scans"


def _leniently(config: msgspec.Raw) -> _Excitation:
    found = msgspec.json.decode(config)
    found = found if isinstance(found, dict) else {}

    def number(name: str) -> float | None:
        value = found.get(name)
        return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else None

    return _Excitation(number("duration"), number("amplitude"))


def _fields_of(record: Record, body: bytes) -> ScanFields:
    """The routing fields that `fields:` has left."""
    shaped = _object.decode(body)
    shaped["scan_id"] = msgspec.Raw(msgspec.json.encode(record.scan_id))
    return read_fields(msgspec.json.encode(shaped))
