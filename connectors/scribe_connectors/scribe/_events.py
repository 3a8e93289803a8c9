"""The messages of the SCRIBE WebSocket, as the integration guide's client reads them."""

from typing import Any, TypeAlias

import msgspec

SUBSCRIBE = '{"type":"subscribe","channel":"scans"}'
_LONGEST_ID = 1024


class ScanCompleted(msgspec.Struct, tag_field="type", tag="scan_completed"):
    """A scan is complete. Only the id is used: the scan itself is fetched."""

    scan_id: int | str


class SystemStatus(msgspec.Struct, tag_field="type", tag="system_status"):
    """How the scanner is; `load` is 0 to 1."""

    status: Any = None
    load: Any = None


class Alert(msgspec.Struct, tag_field="type", tag="alert"):
    """Something a person should know."""

    message: Any = None
    severity: Any = None


class Unknown(msgspec.Struct):
    """A message of another type, or in another form."""

    type: Any = None


Event: TypeAlias = ScanCompleted | SystemStatus | Alert | Unknown
_known: msgspec.json.Decoder[ScanCompleted | SystemStatus | Alert] = msgspec.json.Decoder(
    ScanCompleted | SystemStatus | Alert
)
_any = msgspec.json.Decoder(Unknown)


def read_event(message: bytes) -> Event:
    """Read one message; what cannot be read is `Unknown`, with its `type` if it has one."""
    try:
        event = _known.decode(message)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return _other(message)
    if isinstance(event, ScanCompleted) and len(str(event.scan_id)) > _LONGEST_ID:
        return Unknown("scan_completed")
    return event


def _other(message: bytes) -> Unknown:
    try:
        return _any.decode(message)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return Unknown()


def shown(value: Any) -> str:
    """A value from a message, short and printable."""
    text = value if isinstance(value, str) else "" if value is None else msgspec.json.encode(value).decode()
    return "".join(char if char.isprintable() else " " for char in text[:500])
