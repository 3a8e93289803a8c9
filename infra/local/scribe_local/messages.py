"""What clients may send, checked by hand so that every refusal says which field and why."""

import math
from typing import Any

import msgspec

from scribe_local.config import SIGNAL_TYPES, ScanConfig
from scribe_local.scanner import Refused

_BOUNDS = {"frequency": (1.0, 20_000.0), "duration": (0.001, 60.0), "amplitude": (0.001, 1.0)}
_DEFAULT = ScanConfig()
_MOST_COMPARED = 100
_LARGEST_ID = 2**63 - 1


def read_json(body: bytes) -> Any:
    """Raises `Refused` for what is not JSON."""
    try:
        return msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise Refused(f"the body is not JSON: {error}") from None


def scan_config(body: bytes) -> ScanConfig:
    """The guide's `ScanConfig`, its defaults where a field is left out. Raises `Refused`."""
    fields = _object(body, {"signal_type", *_BOUNDS})
    signal_type = fields.get("signal_type", _DEFAULT.signal_type)
    if signal_type not in SIGNAL_TYPES:
        raise Refused(f"signal_type is {signal_type!r:.40}; known are {', '.join(SIGNAL_TYPES)}")
    return ScanConfig(
        signal_type,
        _bounded(fields, "frequency", _DEFAULT.frequency),
        _bounded(fields, "duration", _DEFAULT.duration),
        _bounded(fields, "amplitude", _DEFAULT.amplitude),
    )


def feedback(body: bytes) -> tuple[int, str, dict[str, Any]]:
    """Scan id, type and data. Raises `Refused`."""
    fields = _object(body, {"scan_id", "feedback_type", "feedback_data"})
    kind, data = fields.get("feedback_type"), fields.get("feedback_data")
    if not isinstance(kind, str) or not 0 < len(kind) <= 100:
        raise Refused("feedback_type must be text of 1 to 100 characters")
    if not isinstance(data, dict):
        raise Refused("feedback_data must be an object")
    return scan_id(fields.get("scan_id")), kind, data


def scan_ids(body: bytes) -> list[int]:
    """The list of scans to compare. Raises `Refused`."""
    value = read_json(body)
    if not isinstance(value, list) or not 2 <= len(value) <= _MOST_COMPARED:
        raise Refused(f"the body must be a list of 2 to {_MOST_COMPARED} scan ids")
    found = [scan_id(item) for item in value]
    if len(set(found)) < len(found):
        raise Refused("a scan id is named twice")
    return found


def scan_id(value: Any) -> int:
    """An id from JSON. Raises `Refused`."""
    if isinstance(value, bool) or not isinstance(value, int) or not 0 < value <= _LARGEST_ID:
        raise Refused(f"scan_id must be a whole number above 0, not {value!r:.40}")
    return value


def whole_number(name: str, text: str) -> int:
    """A number from a path or a query, 1 or more. Raises `Refused`."""
    if not text.isascii() or not text.isdigit() or not 0 < len(text) < 20 or not 0 < int(text) <= _LARGEST_ID:
        raise Refused(f"{name} must be a whole number above 0, not {text!r:.40}")
    return int(text)


def _object(body: bytes, known: set[str]) -> dict[str, Any]:
    value = read_json(body)
    if not isinstance(value, dict):
        raise Refused("the body must be a JSON object")
    unknown = sorted(set(value) - known)
    if unknown:
        raise Refused(f"unknown field {unknown[0]!r:.40}; known are {', '.join(sorted(known))}")
    return value


def _bounded(fields: dict[str, Any], name: str, default: float) -> float:
    value, (least, most) = fields.get(name, default), _BOUNDS[name]
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise Refused(f"{name} must be a number, not {value!r:.40}")
    if not least <= value <= most:
        raise Refused(f"{name} is {value:g}; from {least:g} to {most:g} are possible")
    return float(value)
