"""Which columns a scan becomes, and their types."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

RowKind = Literal["guide", "typed"]
ColumnType = Literal["STRING", "INT64", "FLOAT64", "TIMESTAMP", "JSON"]
Types = Mapping[str, ColumnType]
"""Column to type, in the order of the table."""


@dataclass(frozen=True, slots=True)
class Column:
    """`types` are those that its values can be written as; the first is what a new table gets."""

    name: str
    types: tuple[ColumnType, ...]
    description: str


_SCAN_ID = Column("scan_id", ("STRING", "INT64"), "The scan's id")
_TIMESTAMP = Column("timestamp", ("TIMESTAMP", "STRING"), "When the scan was made, or was received if it does not say")
_CONFIDENCE = Column("confidence", ("FLOAT64",), "Overall confidence of the interpretation, 0 to 1")
_MATERIAL = Column("material", ("STRING",), "The material that fits best")

COLUMNS: Mapping[RowKind, tuple[Column, ...]] = {
    "guide": (
        _SCAN_ID,
        _TIMESTAMP,
        _CONFIDENCE,
        _MATERIAL,
        Column("features_json", ("STRING", "JSON"), "The scan's features, as JSON"),
        Column("interpretation_json", ("STRING", "JSON"), "The scan's interpretation, as JSON"),
    ),
    "typed": (
        _SCAN_ID,
        _TIMESTAMP,
        Column("received_at", ("TIMESTAMP", "STRING"), "When the scan was journalled"),
        _CONFIDENCE,
        _MATERIAL,
        Column("signal_type", ("STRING",), "Form of the excitation"),
        Column("frequency", ("FLOAT64",), "Hertz"),
        Column("duration", ("FLOAT64",), "Seconds"),
        Column("amplitude", ("FLOAT64",), "0 to 1"),
        Column("source", ("STRING",), "Which source the scan came from"),
        Column("sha256", ("STRING",), "SHA-256 of the scan as its source gave it, in hex"),
        Column("document", ("JSON", "STRING"), "The whole scan"),
    ),
}
"""``guide`` is the row of the integration guide's `store_scan_in_bigquery`."""

_API_NAMES = {"INT64": "INTEGER", "FLOAT64": "FLOAT"}
_SQL_NAMES = {api: sql for sql, api in _API_NAMES.items()}


def column_types(kind: RowKind, chosen: Types) -> dict[str, ColumnType]:
    """The row's columns with their types; raise ValueError for a choice that its values cannot be written as."""
    columns = {column.name: column for column in COLUMNS[kind]}
    for name, wanted in chosen.items():
        if name not in columns:
            raise ValueError(f"a {kind} row has no column {name!r}; it has {', '.join(columns)}")
        if wanted not in columns[name].types:
            known = " or ".join(columns[name].types)
            raise ValueError(f"column {name} can be {known}, not {wanted}")
    return {name: chosen.get(name, column.types[0]) for name, column in columns.items()}


def api_name(kind: ColumnType) -> str:
    """A type as the API has always called it."""
    return _API_NAMES.get(kind, kind)


def sql_name(name: str) -> str:
    """A type that the API named, as SQL calls it."""
    return _SQL_NAMES.get(name, name)
