"""Queries: https://cloud.google.com/bigquery/docs/reference/rest/v2/Job#jobconfigurationquery"""

from dataclasses import dataclass
from typing import Any

import duckdb

from scribe_local.bigquery.query_parameters import Parameters
from scribe_local.bigquery.refusals import Refused, invalid, invalid_query, unsupported
from scribe_local.bigquery.schema import Field, Fields
from scribe_local.bigquery.sql import Statement, translate
from scribe_local.bigquery.store import Document, Store
from scribe_local.bigquery.streaming_buffer import StreamingBuffer
from scribe_local.bigquery.tables import Tables

_KNOWN = {
    "query",
    "useLegacySql",
    "parameterMode",
    "queryParameters",
    "defaultDataset",
    "useQueryCache",
    "priority",
    "maximumBytesBilled",
    "allowLargeResults",
    "flattenResults",
}
_TYPES = {
    "boolean": "BOOLEAN",
    "float": "FLOAT",
    "double": "FLOAT",
    "varchar": "STRING",
    "blob": "BYTES",
    "timestamp with time zone": "TIMESTAMP",
    "timestamp": "DATETIME",
    "date": "DATE",
    "time": "TIME",
    "json": "JSON",
    "decimal": "NUMERIC",
    "uuid": "STRING",
    '"null"': "INTEGER",
}


@dataclass(frozen=True, slots=True)
class Answer:
    """What a statement gave: rows as a pyarrow table for a SELECT, else the number of changed ones."""

    kind: str
    fields: Fields
    rows: Any = None
    changed: int | None = None


class Queries:
    """GoogleSQL over the tables, as far as sqlglot maps it to DuckDB's."""

    def __init__(self, store: Store, tables: Tables, buffer: StreamingBuffer) -> None:
        self._store = store
        self._tables = tables
        self._buffer = buffer

    def run(self, project: str, given: Document, *, dry: bool = False) -> Answer:
        """From a job's configuration; a `dry` run checks and does nothing. Raises `Refused`."""
        for key, value in given.items():
            # Every client sends an empty destination or writeDisposition only when it was told to.
            if key not in _KNOWN and value not in (None, False, {}, [], ""):
                raise unsupported(f"{key} in a query job")
        if given.get("useLegacySql", True) and "useLegacySql" in given:
            raise unsupported("legacy SQL")
        parameters = Parameters(given.get("queryParameters") or [])
        default = (given.get("defaultDataset") or {}).get("datasetId")
        text = str(given.get("query") or "")
        statement = translate(text, project=project, dataset=default, parameters=parameters.types)
        with self._store.transaction():
            for table in statement.tables:
                self._tables.need(table)
            try:
                return self._do(statement, parameters.values(statement.parameters), dry=dry)
            except duckdb.Error as error:
                raise invalid_query(str(error).splitlines()[0]) from None

    def _do(self, statement: Statement, values: dict[str, Any], *, dry: bool) -> Answer:
        if statement.changes is not None:
            if dry:
                return Answer(statement.kind, ())
            if statement.kind != "INSERT" and self._buffer.rows(statement.changes):
                # https://cloud.google.com/bigquery/docs/data-manipulation-language#limitations
                message = (
                    f"{statement.kind} statement over table {statement.changes} would affect rows in the streaming"
                )
                raise invalid_query(f"{message} buffer, which is not supported")
            changed = self._store.run(statement.sql, values)
            self._tables.touch(statement.changes)
            return Answer(statement.kind, (), changed=changed)
        if dry:
            return Answer(statement.kind, _fields(self._store.describe(statement.sql, values)))
        columns, rows = self._store.select(statement.sql, values)
        return Answer(statement.kind, _fields(columns), rows)


def _fields(columns: list[tuple[str, Any]]) -> Fields:
    names = [name.lower() for name, _ in columns]
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice:
        raise invalid(f"Duplicate column names in the result are not supported. Found duplicate(s): {twice}")
    return tuple(_field(name, kind) for name, kind in columns)


def _field(name: str, kind: Any) -> Field:
    which = str(kind).lower()
    if kind.id == "list":
        one = _field(name, kind.children[0][1])
        return Field(name, one.type, "REPEATED", one.fields)
    if kind.id == "struct":
        return Field(name, "RECORD", "NULLABLE", tuple(_field(inner, each) for inner, each in kind.children))
    if kind.id == "decimal":
        return Field(name, "NUMERIC" if dict(kind.children)["scale"] <= 9 else "BIGNUMERIC")
    if which.endswith(("int", "integer")):
        return Field(name, "INTEGER")
    if which not in _TYPES:
        raise Refused(501, "notImplemented", f"the local BigQuery has no type for DuckDB's {kind} (column {name})")
    return Field(name, _TYPES[which])
