"""A row of `scan_results` as the document that SCRIBE's API serves of it."""

from collections.abc import Sequence
from typing import Any

import msgspec

PARTS = ("signals", "response", "features", "interpretation", "config")
"""The columns that hold JSON, in the document's order."""
COLUMNS = f"timestamp, {', '.join(PARTS)}"

_any = msgspec.json.Decoder(msgspec.Raw)


def document(scan_id: int, row: Sequence[Any]) -> bytes:
    """The scan's JSON, from `COLUMNS` read as bytes; the text of each part as it stands there, so no digit changes.

    If a part is no JSON, what comes is no JSON either: it begins by saying which.
    """
    broken = []
    try:
        moment = _timestamp(row[0])
    except UnicodeDecodeError:
        moment, broken = b"null", ["timestamp"]
    pieces = [b'{"scan_id":%d,"timestamp":%s' % (scan_id, moment)]
    for name, value in zip(PARTS, row[1:], strict=True):
        text = value if isinstance(value, bytes) else msgspec.json.encode(value)
        # Each by itself: `1, "scan_id": 7` would make a whole document of another scan.
        if not _is_json(text):
            broken.append(name)
        pieces.append(b',"%s":%s' % (name.encode(), text))
    body = b"".join(pieces) + b"}"
    return f"<no JSON in {', '.join(broken)}> ".encode() + body if broken else body


def _timestamp(value: Any) -> bytes:
    return msgspec.json.encode(value.decode() if isinstance(value, bytes) else value)


def _is_json(text: bytes) -> bool:
    try:
        _any.decode(text)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return False
    return True
