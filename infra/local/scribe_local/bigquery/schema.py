"""Schemas: fields, their types in Arrow and DuckDB, and how a table's schema may change."""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import pyarrow as pa

from scribe_local.bigquery.names import quoted
from scribe_local.bigquery.refusals import Refused, invalid, unsupported

Fields = tuple["Field", ...]

# BIGNUMERIC has 76 digits in BigQuery; DuckDB's decimals have 38.
BIGNUMERIC_SCALE = 18

_STANDARD = {"INT64": "INTEGER", "FLOAT64": "FLOAT", "BOOL": "BOOLEAN", "STRUCT": "RECORD"}
_ARROW = {
    "STRING": pa.string(),
    "BYTES": pa.binary(),
    "INTEGER": pa.int64(),
    "FLOAT": pa.float64(),
    "BOOLEAN": pa.bool_(),
    "NUMERIC": pa.decimal128(38, 9),
    "BIGNUMERIC": pa.decimal128(38, BIGNUMERIC_SCALE),
    "TIMESTAMP": pa.timestamp("us", tz="UTC"),
    "DATETIME": pa.timestamp("us"),
    "DATE": pa.date32(),
    "TIME": pa.time64("us"),
    "JSON": pa.string(),
}
_DUCKDB = {
    "STRING": "VARCHAR",
    "BYTES": "BLOB",
    "INTEGER": "BIGINT",
    "FLOAT": "DOUBLE",
    "BOOLEAN": "BOOLEAN",
    "NUMERIC": "DECIMAL(38,9)",
    "BIGNUMERIC": f"DECIMAL(38,{BIGNUMERIC_SCALE})",
    "TIMESTAMP": "TIMESTAMPTZ",
    "DATETIME": "TIMESTAMP",
    "DATE": "DATE",
    "TIME": "TIME",
    "JSON": "JSON",
}
_MODES = ("NULLABLE", "REQUIRED", "REPEATED")
_KNOWN_KEYS = {"name", "type", "mode", "fields", "description"}

# https://cloud.google.com/bigquery/docs/schemas#column_names and #flexible-column-names, 2026-08-22.
_NAME = re.compile(r"[^!\"$()*,./;?@\[\\\]^`{}~\x00-\x1f]{1,300}")


@dataclass(frozen=True, slots=True)
class Field:
    """A column or a field of a RECORD; `type` has its legacy name, as in BigQuery's answers."""

    name: str
    type: str
    mode: str = "NULLABLE"
    fields: Fields = ()
    description: str = ""

    @property
    def arrow(self) -> Any:
        """Its pyarrow type."""
        one = arrow_struct(self.fields) if self.type == "RECORD" else _ARROW[self.type]
        return pa.list_(one) if self.mode == "REPEATED" else one

    @property
    def sql(self) -> str:
        """Its DuckDB type."""
        one = _DUCKDB.get(self.type) or f"STRUCT({', '.join(f'{quoted(f.name)} {f.sql}' for f in self.fields)})"
        return f"{one}[]" if self.mode == "REPEATED" else one

    def document(self) -> dict[str, Any]:
        """As in a table resource."""
        found: dict[str, Any] = {"name": self.name, "type": self.type, "mode": self.mode}
        if self.fields:
            found["fields"] = [field.document() for field in self.fields]
        if self.description:
            found["description"] = self.description
        return found


def fields_of(documents: object) -> Fields:
    """The fields of a request's schema. Raises `Refused`."""
    if not isinstance(documents, list):
        raise invalid("The schema's fields are not a list")
    fields = tuple(_field_of(document) for document in documents)
    seen: set[str] = set()
    for field in fields:
        if field.name.lower() in seen:
            raise invalid(f"Duplicate field name: {field.name}")
        seen.add(field.name.lower())
    return fields


def _field_of(document: object) -> Field:
    if not isinstance(document, dict):
        raise invalid("A schema's field is not an object")
    for key, value in document.items():
        if key not in _KNOWN_KEYS and value not in (None, {}, [], "", {"names": []}):
            raise unsupported(f"{key} in a schema")
    name = str(document.get("name", ""))
    if not _NAME.fullmatch(name):
        raise invalid(f'Invalid field name "{name}".', name)
    given = str(document.get("type", "")).upper()
    kind = _STANDARD.get(given, given)
    mode = str(document.get("mode") or "NULLABLE").upper()
    if mode not in _MODES:
        raise invalid(f"Invalid value for mode: {mode}", name)
    if kind not in _ARROW and kind != "RECORD":
        raise invalid(f"Invalid value for type: {given} is not a valid value", name)
    fields = fields_of(document.get("fields") or []) if kind == "RECORD" else ()
    if kind == "RECORD" and not fields:
        raise invalid(f"Field {name} is type RECORD but has no schema", name)
    return Field(name, kind, mode, fields, str(document.get("description") or ""))


def arrow_struct(fields: Iterable[Field]) -> Any:
    """As one pyarrow struct."""
    return pa.struct([pa.field(field.name, field.arrow) for field in fields])


def arrow_schema(fields: Iterable[Field]) -> Any:
    """As the pyarrow schema of a table's rows."""
    return pa.schema([pa.field(field.name, field.arrow) for field in fields])


def columns_sql(fields: Iterable[Field]) -> str:
    """As the columns of CREATE TABLE. REQUIRED is checked where rows come in, so that it can be relaxed for free."""
    return ", ".join(f"{quoted(field.name)} {field.sql}" for field in fields)


def changed(old: Fields, new: Fields, *, table: str, additions: bool = True, relaxations: bool = True) -> Fields:
    """The schema after a change to `new`, for a table that has rows. Raises `Refused` for what cannot be changed.

    Fields may be added at the end or within a RECORD, as NULLABLE or REPEATED, and REQUIRED may become NULLABLE:
    https://cloud.google.com/bigquery/docs/managing-table-schemas
    """
    by_name = {field.name.lower(): field for field in new}
    kept: list[Field] = []
    for field in old:
        wanted = by_name.pop(field.name.lower(), None)
        if wanted is None:
            raise mismatch(table, f"Field {field.name} is missing in new schema")
        kept.append(_changed_field(field, wanted, table, additions=additions, relaxations=relaxations))
    for field in by_name.values():
        if not additions:
            raise mismatch(table, f"Cannot add fields (field: {field.name})")
        if field.mode == "REQUIRED":
            raise mismatch(table, f"Cannot add required fields to an existing schema. (field: {field.name})")
        kept.append(field)
    return tuple(kept)


def mismatch(table: str, why: str) -> Refused:
    """A schema that a table cannot take on."""
    return invalid(f"Provided Schema does not match Table {table}. {why}")


def _changed_field(old: Field, new: Field, table: str, *, additions: bool, relaxations: bool) -> Field:
    if new.type != old.type:
        raise mismatch(table, f"Field {old.name} has changed type from {old.type} to {new.type}")
    relaxed = (old.mode, new.mode) == ("REQUIRED", "NULLABLE")
    if new.mode != old.mode and not (relaxed and relaxations):
        raise mismatch(table, f"Field {old.name} has changed mode from {old.mode} to {new.mode}")
    fields = changed(old.fields, new.fields, table=table, additions=additions, relaxations=relaxations)
    return replace(old, mode=new.mode, fields=fields, description=new.description or old.description)


def alterations(old: Sequence[Field], new: Sequence[Field]) -> list[str]:
    """What follows ALTER TABLE in DuckDB to make a table of `old` one of `new`, which came from `changed`."""
    before = {field.name: field for field in old}
    found = []
    for field in new:
        if field.name not in before:
            found.append(f"ADD COLUMN {quoted(field.name)} {field.sql}")
        elif before[field.name].sql != field.sql:
            found.append(f"ALTER COLUMN {quoted(field.name)} TYPE {field.sql}")
    return found
