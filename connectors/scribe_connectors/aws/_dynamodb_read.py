"""Items read back: as JSON, and compared with what would be written."""

import base64
import io
import re
from collections.abc import Collection, Mapping
from decimal import Decimal
from typing import Any

import msgspec

from scribe_connectors.aws._dynamodb_item import DOCUMENT, ORDER, OWN, SHA256, STRINGS, Attributes, Entry
from scribe_export.archives.codec import DAMAGED, decompressed, same_json
from scribe_export.oversize import POINTER

_JSON_NUMBER = re.compile(r"-?(0|[1-9]\d*)(\.\d+)?([eE][+-]?\d+)?")
_ZSTD = b"\x28\xb5\x2f\xfd"  # how a frame begins
_GUIDE = ("scan_id", "timestamp", "features", "interpretation", POINTER)
_CONTENT = (*_GUIDE, DOCUMENT)

Item = Mapping[str, Mapping[str, Any]]
"""As botocore gives it: binary values are bytes."""


class NotAScan(Exception):
    """An item that holds no scan or less than one; `kind` is that of the alarm."""

    def __init__(self, kind: str, reason: str) -> None:
        super().__init__(reason)
        self.kind = kind


def document(item: Item, most: int) -> bytes | None:
    """The compressed document, plain; None if there is none. Raises `NotAScan`, also above `most` plain bytes."""
    data = item.get(DOCUMENT, {}).get("B")
    if not isinstance(data, bytes) or not data.startswith(_ZSTD):
        return None
    try:
        with decompressed(io.BytesIO(data), "zstd") as stream:
            plain = stream.read(most + 1)
    except DAMAGED as error:
        raise NotAScan("unreadable", f"{type(error).__name__}: {error}") from None
    if len(plain) > most:
        raise NotAScan("too_long", f"longer than {most} bytes")
    return plain


def scan_json(item: Item) -> bytes:
    """The scan that an item of attributes holds, numbers with all their digits.

    Of an item of ours that is the guide's part of it; of any other item it is every attribute.
    """
    strings = {one.get("S") for one in item.get(STRINGS, {}).get("L", ())}
    names = [name for name in _GUIDE if name in item] if SHA256 in item else list(item)
    plain = {name: _json(item[name], f"/{name}", strings) for name in names if name not in OWN}
    return msgspec.json.encode(plain, order="sorted")  # DynamoDB keeps no order


def _json(attribute: Mapping[str, Any], path: str, strings: Collection[str | None]) -> Any:
    [(kind, value)] = attribute.items()
    if kind == "M":
        return {name: _json(one, f"{path}/{name}", strings) for name, one in value.items()}
    if kind == "L":
        return [_json(one, f"{path}/{index}", strings) for index, one in enumerate(value)]
    if kind == "N" or (kind == "S" and path in strings):
        return msgspec.Raw((value if _JSON_NUMBER.fullmatch(value) else str(Decimal(value))).encode())
    if kind == "NS":
        return [_json({"N": one}, path, strings) for one in sorted(value, key=Decimal)]
    if kind in {"B", "BS"}:
        return base64.b64encode(value).decode() if kind == "B" else [base64.b64encode(one).decode() for one in value]
    return None if kind == "NULL" else value


def order_of(item: Item) -> Decimal | None:
    """When an item's scan was journalled, as far as it says."""
    text = item.get(ORDER, {}).get("N")
    return Decimal(text) if text else None


def same_content(item: Item, entry: Entry, *, key: Attributes, passing: Collection[str]) -> bool:
    """Whether `item` holds the entry's scan: by the digest of its body, or else by all that the entry would put there
    but the attributes `passing`."""
    if item.get(SHA256, {}).get("S") == entry.sha256:
        return True
    ours = {name: value for name, value in (*key, *entry.rest) if name not in {*OWN, *passing}}
    if any(name in item and name not in ours for name in _CONTENT):
        return False
    return all(name in item and _same(name, item[name], value) for name, value in ours.items())


def _same(name: str, theirs: Mapping[str, Any], ours: bytes) -> bool:
    wanted = msgspec.json.decode(ours)
    if name == DOCUMENT and "B" in wanted:
        try:
            plain = [
                document({DOCUMENT: {"B": data}}, 2**26) for data in (theirs.get("B"), base64.b64decode(wanted["B"]))
            ]
        except NotAScan:
            return False
        return plain[0] is not None and plain[1] is not None and same_json(plain[0], plain[1])
    return bool(_plain(theirs) == _plain(wanted))


def _plain(attribute: Mapping[str, Any]) -> Any:
    [(kind, value)] = attribute.items()
    if kind == "M":
        return kind, {name: _plain(one) for name, one in value.items()}
    if kind == "L":
        return kind, [_plain(one) for one in value]
    return kind, Decimal(value) if kind == "N" else value
