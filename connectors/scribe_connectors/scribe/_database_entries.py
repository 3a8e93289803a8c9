"""A scan as a row of `scan_results`: from what was frozen when its batch was sealed."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import msgspec

from scribe_connectors.scribe._database_rows import PARTS
from scribe_export.archives.form import placed, timezone_named
from scribe_export.errors import Rejected
from scribe_export.fields import Selection
from scribe_export.model import Record
from scribe_export.options import FieldsOptions

# https://www.sqlite.org/limits.html#max_length (seen 2026-11-24)
MAX_ROW_BYTES = 1_000_000_000

_object = msgspec.json.Decoder(dict[str, msgspec.Raw])
_LARGEST_ID = 2**63 - 1


@dataclass(frozen=True, slots=True)
class Entry:
    """One scan's row. `member` is its record's index.

    `scan_key` and `version` are what it is known again by, `order` tells newer from older, `own_id` is the row that
    holds it already if it is SCRIBE's own scan. `columns` are the timestamp and the JSON text of `PARTS`.
    """

    member: int
    scan_key: str
    version: str
    sha256: str
    order: tuple[float, int]
    own_id: int | None
    columns: tuple[str, ...]

    @property
    def size(self) -> int:
        """Characters of the row."""
        return sum(map(len, self.columns))


class RowForm:
    """The frozen settings of a batch, read back from `Batch.shape`."""

    def __init__(self, shape: Mapping[str, Any]) -> None:
        self._versions = shape["versions"]
        self._timezone = timezone_named(shape["timezone"])
        fields = shape["fields"]
        self._selection = Selection(FieldsOptions.model_validate(fields)) if fields else None

    def entry(self, member: int, record: Record) -> Entry:
        """The record's row; raises `Rejected` and `InvalidScan`."""
        body = self._selection.apply(record.body) if self._selection else record.body
        try:
            found = _object.decode(body)
            if missing := [name for name in PARTS if name not in found]:
                raise Rejected(
                    f"no {' and no '.join(missing)}, and a row of scan_results has them all", kind="incomplete"
                )
            columns = (self._timestamp(found, record), *(str(found[name], "utf-8") for name in PARTS))
            columns[0].encode()
        except (msgspec.DecodeError, UnicodeError, RecursionError) as error:
            raise Rejected(f"not JSON: {error}", kind="invalid") from None
        entry = Entry(
            member=member,
            scan_key=record.scan_id,
            version=record.sha256[:12] if self._versions and record.version > 1 else "",
            sha256=record.sha256,
            order=(round(record.received_at, 6), record.seq),
            own_id=_whole(found.get("scan_id")),
            columns=columns,
        )
        if entry.size > MAX_ROW_BYTES:
            raise Rejected(f"a row of {entry.size} bytes, and SQLite takes {MAX_ROW_BYTES}", kind="too_large")
        return entry

    def _timestamp(self, found: Mapping[str, msgspec.Raw], record: Record) -> str:
        """The scan's own text; ISO 8601 where it has a number or nothing, so that text sorts as time does."""
        text = bytes(found["timestamp"]) if "timestamp" in found else b"null"
        value = msgspec.json.decode(text) if text.startswith(b'"') else None
        if isinstance(value, str):
            return value
        return placed(record, self._timezone, None).timestamp.isoformat().replace("+00:00", "Z")


def _whole(raw: msgspec.Raw | None) -> int | None:
    text = b"" if raw is None else bytes(raw)
    value = int(text) if len(text) < 20 and text.isdigit() else 0
    return value if 0 < value <= _LARGEST_ID else None
