"""What the framework reads of a scan: its identity and the fields that rules and keys name.

The raw bytes are what is journalled and delivered; these are views of them. The usual shape is decoded in one pass
over a handful of fields; a document of another shape is decoded whole and read leniently, and only a document without
a usable `scan_id` is refused. Neither reading minds a value that nobody asks for, such as a number beyond any float.
"""

import json
import math
from collections.abc import Mapping
from datetime import UTC, datetime, tzinfo
from typing import Any

import msgspec

from scribe_export.errors import InvalidScan
from scribe_export.wellformed import check_structure, check_text, why_no_json

MAX_ID_LENGTH = 256


class _Config(msgspec.Struct):
    signal_type: str | None = None
    frequency: float | None = None


class _Confidence(msgspec.Struct):
    overall: float | None = None


class _Material(msgspec.Struct):
    material: str | None = None


class _Matches(msgspec.Struct):
    materials: list[_Material] = []


class _Interpretation(msgspec.Struct):
    confidence_scores: _Confidence | None = None
    pattern_matches: _Matches | None = None


class _Document(msgspec.Struct):
    scan_id: int | str
    timestamp: str | float | None = None
    config: _Config | None = None
    interpretation: _Interpretation | None = None


class ScanFields(msgspec.Struct, frozen=True):
    """The fields that rules and keys may name; None where the document has none.

    `scan_id` is text (decimal for a number); `timestamp` is as the document has it: ISO 8601, or seconds or
    milliseconds since the epoch. `confidence` is 0 to 1, `frequency` in hertz.
    """

    scan_id: str
    timestamp: str | float | None = None
    confidence: float | None = None
    material: str | None = None
    signal_type: str | None = None
    frequency: float | None = None


_decoder = msgspec.json.Decoder(_Document)
_object = msgspec.json.Decoder(dict[str, msgspec.Raw])
_array = msgspec.json.Decoder(list[msgspec.Raw])


def read_fields(body: bytes) -> ScanFields:
    """Decode the routing fields of a scan; raise `InvalidScan` saying why a body is none."""
    check_text(body)
    try:
        document = _decoder.decode(body)
    except msgspec.ValidationError:
        return _read_leniently(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise InvalidScan(why_no_json(body, error)) from None
    check_structure(body)
    found, shown = document.interpretation, document.config
    confidence = found.confidence_scores.overall if found and found.confidence_scores else None
    materials = found.pattern_matches.materials if found and found.pattern_matches else None
    return ScanFields(
        scan_id=_identity(document.scan_id),
        timestamp=document.timestamp,
        confidence=confidence,
        material=materials[0].material if materials else None,
        signal_type=shown.signal_type if shown else None,
        frequency=shown.frequency if shown else None,
    )


def decode_document(body: bytes) -> dict[str, Any]:
    """The whole document; raise `InvalidScan` if it is not a JSON object."""
    try:
        document = msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise InvalidScan(why_no_json(body, error)) from None
    if not isinstance(document, dict):
        raise InvalidScan(f"a scan is a JSON object, this is {_json_type(document)}")
    return document


def parse_timestamp(value: str | float, assume: tzinfo = UTC) -> datetime:
    """An aware datetime from ISO 8601 or the epoch; one without an offset is read in `assume`.

    Numbers above 1e11 are milliseconds. Raises ValueError.
    """
    if isinstance(value, str):
        moment = datetime.fromisoformat(value)
        return moment if moment.tzinfo else moment.replace(tzinfo=assume)
    try:
        return datetime.fromtimestamp(value / 1000 if abs(value) > 1e11 else value, UTC)
    except (OverflowError, OSError) as error:
        raise ValueError(str(error)) from None


def _identity(value: int | str) -> str:
    text = value if isinstance(value, str) else str(value)
    if not text:
        raise InvalidScan("scan_id is empty")
    if len(text) > MAX_ID_LENGTH:
        raise InvalidScan(f"scan_id has {len(text)} characters, more than {MAX_ID_LENGTH}")
    if "\0" in text or (not text.isascii() and any("\ud800" <= char <= "\udfff" for char in text)):
        raise InvalidScan("scan_id holds a NUL or a lone surrogate")
    return text


def _read_leniently(body: bytes) -> ScanFields:
    """Of a scan whose shape is not the usual one."""
    try:
        document = _object.decode(body)
    except msgspec.ValidationError:
        decode_document(body)  # says which kind of JSON it is
        raise InvalidScan("a scan is a JSON object") from None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise InvalidScan(why_no_json(body, error)) from None
    check_structure(body)
    if "scan_id" not in document:
        raise InvalidScan("no scan_id")
    scan_id = _value(document["scan_id"])
    if isinstance(scan_id, bool) or not isinstance(scan_id, int | str):
        raise InvalidScan(f"scan_id must be a whole number or text, this is {_json_type(scan_id)}")
    found, shown = _dict(document.get("interpretation")), _dict(document.get("config"))
    best = _first(_dict(found.get("pattern_matches")).get("materials"))
    timestamp = _value(document.get("timestamp"))
    return ScanFields(
        scan_id=_identity(scan_id),
        timestamp=timestamp if isinstance(timestamp, str) else _number(timestamp),
        confidence=_finite(_dict(found.get("confidence_scores")).get("overall")),
        material=_text(_dict(best).get("material")),
        signal_type=_text(shown.get("signal_type")),
        frequency=_finite(shown.get("frequency")),
    )


def _value(raw: msgspec.Raw | None) -> Any:
    """What a piece of JSON holds; an infinite float for a number that is beyond any other."""
    try:
        return None if raw is None else msgspec.json.decode(raw)
    except msgspec.ValidationError:
        text = bytes(raw or b"").strip()
        return -math.inf if text.startswith(b"-") else math.inf


def _dict(raw: msgspec.Raw | None) -> dict[str, msgspec.Raw]:
    return _object.decode(raw) if raw is not None and bytes(raw).lstrip().startswith(b"{") else {}


def _first(raw: msgspec.Raw | None) -> msgspec.Raw | None:
    elements = _array.decode(raw) if raw is not None and bytes(raw).lstrip().startswith(b"[") else ()
    return elements[0] if elements else None


def _text(raw: msgspec.Raw | None) -> str | None:
    value = _value(raw) if raw is not None and bytes(raw).lstrip().startswith(b'"') else None
    return value if isinstance(value, str) else None


def _finite(raw: msgspec.Raw | None) -> float | None:
    number = _number(_value(raw)) if raw is not None and not bytes(raw).lstrip().startswith((b"{", b"[")) else None
    return number if number is not None and math.isfinite(number) else None


def _number(value: Any) -> float | None:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    try:
        return float(value)
    except OverflowError:
        return math.inf if value > 0 else -math.inf


def _json_type(value: Any) -> str:
    names = {
        dict: "an object",
        list: "an array",
        str: "text",
        bool: "a boolean",
        float: "a fraction",
        int: "a number",
    }
    return "null" if value is None else names.get(type(value), type(value).__name__)


def encode_document(scan: Mapping[str, Any]) -> bytes:
    """A scan's JSON. Raises `InvalidScan` for what JSON cannot hold, such as NaN."""
    try:
        json.dumps(scan, allow_nan=False, default=str)
        return msgspec.json.encode(scan)
    except (ValueError, TypeError, RecursionError) as error:
        raise InvalidScan(f"no JSON can be made of it: {error}") from None
