"""The list of scans as the API answers with it: of each scan what tells it from the others."""

import json
from typing import Any

import msgspec


class Entry(msgspec.Struct, frozen=True):
    """What tells a scan of the list from others: its id, and the time as the API wrote it.

    The id is empty where the list has none that a scan could be asked for by.
    """

    scan_id: int | str
    timestamp: msgspec.Raw = msgspec.Raw(b"")


class _Entries(msgspec.Struct):
    scans: list[Entry]


_usual = msgspec.json.Decoder(_Entries)
_LONGEST_NUMBER = 1000


def read_list(body: bytes) -> list[Entry]:
    """The entries, in their order. Raises msgspec.DecodeError.

    The list may hold whole documents. One of them that is odd must not hide the others: NaN as Python's own json writes
    it, half of a surrogate pair, an id that is none.
    """
    try:
        return _usual.decode(body).scans
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        found = [_entry(scan) for scan in _leniently(body)]
        if found and not any(entry.scan_id != "" for entry in found):
            raise msgspec.ValidationError("no scan in it has a scan_id") from None
        return found


def _leniently(body: bytes) -> list[Any]:
    try:
        found = json.loads(body, strict=False, parse_int=_whole)
    except (ValueError, RecursionError) as error:
        raise msgspec.DecodeError(str(error)) from None
    scans = found.get("scans") if isinstance(found, dict) else None
    if not isinstance(scans, list):
        raise msgspec.ValidationError("no list `scans` in it")
    return scans


def _entry(scan: Any) -> Entry:
    scan = scan if isinstance(scan, dict) else {}
    scan_id, timestamp = scan.get("scan_id"), scan.get("timestamp")
    usable = isinstance(scan_id, int | str) and not isinstance(scan_id, bool) and _is_text(str(scan_id))
    return Entry(scan_id if usable else "", msgspec.Raw(json.dumps(timestamp).encode() if "timestamp" in scan else b""))


def _is_text(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _whole(digits: str) -> int | None:
    return int(digits) if len(digits) <= _LONGEST_NUMBER else None
