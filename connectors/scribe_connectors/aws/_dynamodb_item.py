"""How a scan becomes an item: from what was frozen when its batch was sealed."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import msgspec

from scribe_connectors.aws._dynamodb_values import Binary, Number, Text, View, item_size, read_view, wire
from scribe_export.archives.codec import compress
from scribe_export.archives.form import placed, timezone_named
from scribe_export.errors import Rejected
from scribe_export.fields import Selection
from scribe_export.model import Record
from scribe_export.options import FieldsOptions
from scribe_export.oversize import POINTER
from scribe_export.text_template import TextTemplate

SHA256 = "scribe_sha256"
"""Attribute: the hex SHA-256 of the scan's body as its source gave it."""
ORDER = "scribe_order"
"""Attribute, a number: seconds since the epoch of the scan's journalling, and behind them its place in the journal."""
STRINGS = "scribe_strings"
"""Attribute: JSON pointers to numbers that are kept as text, because DynamoDB's have 38 digits."""
DOCUMENT = "document"
"""Attribute: the body, compressed with zstd."""
OWN = (SHA256, ORDER, STRINGS)

# https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/Constraints.html (seen 2026-11-24)
MAX_PARTITION_KEY = 2048
MAX_SORT_KEY = 1024

_WHOLE = re.compile(r"0|-?[1-9]\d{0,37}")

Attributes = tuple[tuple[str, bytes], ...]
"""Names and values as they go over the wire."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One scan's item. `member` is its record's index; `versioned` is its key beside other content that holds `key`,
    the same where there is none; `order` tells newer from older."""

    member: int
    key: Attributes
    versioned: Attributes
    rest: Attributes
    sha256: str
    order: str

    @property
    def size(self) -> int:
        """Bytes over the wire."""
        return sum(len(name) + len(value) + 4 for name, value in (*self.key, *self.rest))


class ItemForm:
    """The frozen settings of a batch, read back from `Batch.shape`."""

    def __init__(self, shape: Mapping[str, Any]) -> None:
        self._keys = [(key["name"], TextTemplate.parse(key["value"]), key["type"]) for key in shape["keys"]]
        self._versioned_key = _versioned_key(shape["keys"])
        self._versions = shape["versions"]
        self._compressed = shape["item"] == "document"
        self._attributes = {name: TextTemplate.parse(text) for name, text in shape["attributes"].items()}
        self._ttl = shape["ttl"]
        self._timezone = timezone_named(shape["timezone"])
        fields = shape["fields"]
        self._selection = Selection(FieldsOptions.model_validate(fields)) if fields else None

    def entry(self, member: int, record: Record, most: int) -> Entry:
        """The record's item; raises `Rejected`, of kind ``too_large`` above `most` bytes, and `InvalidScan`."""
        record = placed(record, self._timezone, None)
        rest = self._content(record)
        for name, template in self._attributes.items():
            if text := template.render(record):
                rest[name] = Text(text)
        if self._ttl:
            rest[self._ttl["attribute"]] = Number(str(int(record.timestamp.timestamp() + self._ttl["after"])))
        order = f"{record.received_at:.6f}{record.seq:012d}"
        rest[SHA256], rest[ORDER] = Text(record.sha256), Number(order)
        suffix = f"~v{record.sha256[:12]}"
        own = self._key(record, suffix if self._versions and record.version > 1 else "")
        versioned = self._key(record, suffix) if self._versioned_key is not None else own
        for name in own:
            rest.pop(name, None)
        try:
            entry = Entry(member, _encoded(own), _encoded(versioned), _encoded(rest), record.sha256, order)
        except UnicodeEncodeError:
            raise Rejected("a text is no Unicode; item: document takes it", kind="invalid") from None
        # No value has more bytes in an item than over the wire.
        if entry.size > most:
            size = item_size({name: msgspec.json.decode(value) for name, value in (*entry.key, *entry.rest)})
            if size > most:
                raise Rejected(f"an item of {size} bytes, and max_item_bytes is {most}", kind="too_large")
        return entry

    def _key(self, record: Record, suffix: str) -> dict[str, Number | Text]:
        key: dict[str, Number | Text] = {}
        for place, (name, template, kind) in enumerate(self._keys):
            text = template.render(record)
            if kind == "number":
                if not _WHOLE.fullmatch(text):
                    raise Rejected(
                        f"{text!r:.80} is no whole number of up to 38 digits, as the key {name} is; a table whose key is "
                        "a string takes it",
                        kind="name",
                    )
                key[name] = Number(text)
                continue
            if suffix and place == self._versioned_key:
                text += suffix
            most = MAX_SORT_KEY if place else MAX_PARTITION_KEY
            if not 0 < len(text.encode("utf-8", "replace")) <= most:
                raise Rejected(f"the key {name} has 1 to {most} bytes, not {text!r:.80}", kind="name")
            key[name] = Text(text)
        if suffix and self._versioned_key is None:
            raise Rejected(
                "another version of a scan needs a key that is a string, to be told from the first", kind="name"
            )
        return key

    def _content(self, record: Record) -> dict[str, Any]:
        body = self._selection.apply(record.body) if self._selection else record.body
        view = read_view(body)
        strings: list[str] = []
        content = self._routing(view, record, strings)
        if view.claim_check is not msgspec.UNSET:
            content[POINTER] = wire(view.claim_check, f"/{POINTER}", strings)
        if self._compressed:
            content[DOCUMENT] = Binary(compress(body, "zstd"))
            return content
        for name in ("features", "interpretation"):
            value = getattr(view, name)
            if value is not msgspec.UNSET:
                content[name] = wire(value, f"/{name}", strings)
        if strings:
            content[STRINGS] = wire(strings, "", [])
        return content

    def _routing(self, view: View, record: Record, strings: list[str]) -> dict[str, Any]:
        """What an item can be found by: of the scan as it leaves, or as it was if only a pointer is left of it."""
        found = {"scan_id": view.scan_id, "timestamp": view.timestamp}
        shown, inner = _dict(view.config), _dict(view.interpretation)
        pointed = view.claim_check is not msgspec.UNSET and self._selection is None
        confidence = _dict(inner.get("confidence_scores")).get("overall")
        if confidence is None and pointed and record.fields.confidence is not None:
            confidence = Number(repr(record.fields.confidence))
        if isinstance(confidence, Number | int) and not isinstance(confidence, bool):
            found["confidence"] = confidence
        materials = _dict(inner.get("pattern_matches")).get("materials")
        best = _dict(materials[0]).get("material") if isinstance(materials, list) and materials else None
        if best is None and pointed:
            best = record.fields.material
        found["material"] = best if isinstance(best, str) else "unknown"
        if self._compressed:
            found |= {"signal_type": shown.get("signal_type"), "frequency": shown.get("frequency")}
        return {name: wire(value, f"/{name}", strings) for name, value in found.items() if value is not None}


def _versioned_key(keys: list[dict[str, str]]) -> int | None:
    """Which of the keys, by its place, another version of a scan is told by; the sort key, if it can be."""
    return next((place for place in reversed(range(len(keys))) if keys[place]["type"] == "string"), None)


def _encoded(attributes: Mapping[str, Any]) -> Attributes:
    return tuple((name, msgspec.json.encode(value)) for name, value in attributes.items())


def _dict(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}
