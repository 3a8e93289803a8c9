"""Everything that the server keeps, in one DuckDB: rows in tables, and what describes them as documents."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import duckdb
import msgspec

from scribe_local.bigquery.names import DatasetName, TableName, quoted
from scribe_local.bigquery.schema import Fields, alterations, columns_sql

Document = dict[str, Any]

# BigQuery's functions that have no name in DuckDB.
_MACROS = (
    "CREATE MACRO IF NOT EXISTS lax_int64(j) AS TRY_CAST(j ->> '$' AS BIGINT)",
    "CREATE MACRO IF NOT EXISTS lax_float64(j) AS TRY_CAST(j ->> '$' AS DOUBLE)",
    "CREATE MACRO IF NOT EXISTS lax_bool(j) AS TRY_CAST(j ->> '$' AS BOOLEAN)",
    "CREATE MACRO IF NOT EXISTS lax_string(j) AS (j ->> '$')",
)


class Store:
    """Thread-safe; `file` None keeps everything in memory. What happens in one `transaction` happens whole or not."""

    def __init__(self, file: Path | None = None) -> None:
        self._lock = threading.RLock()
        self._lasting = file is not None
        self._connection = duckdb.connect(str(file) if file else ":memory:")
        self._undo: list[tuple[str, str, Document | None]] = []
        self._deep = False
        self._documents: dict[str, dict[str, Document]] = {}
        for statement in ("SET TimeZone = 'UTC'", "SET enable_external_access = false", *_MACROS):
            self._connection.execute(statement)
        self._connection.execute("CREATE TABLE IF NOT EXISTS documents (kind VARCHAR, name VARCHAR, body VARCHAR)")
        for kind, name, body in self._connection.execute("SELECT kind, name, body FROM documents").fetchall():
            self._documents.setdefault(kind, {})[name] = msgspec.json.decode(body)

    def close(self) -> None:
        """Write what is open to the file."""
        with self._lock:
            self._connection.close()

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """Hold the store for this thread; an exception undoes what was done. One within another is part of it."""
        with self._lock:
            if self._deep:
                yield
                return
            self._deep = True
            self._connection.execute("BEGIN")
            try:
                yield
                self._connection.execute("COMMIT")
            except BaseException:
                self._connection.execute("ROLLBACK")
                for kind, name, document in reversed(self._undo):
                    self._remember(kind, name, document)
                raise
            finally:
                self._undo.clear()
                self._deep = False

    def document(self, kind: str, name: str) -> Document | None:
        """Not to be changed in place."""
        with self._lock:
            return self._documents.get(kind, {}).get(name)

    def documents(self, kind: str) -> dict[str, Document]:
        """All of a kind by name, in the order of their creation."""
        with self._lock:
            return dict(self._documents.get(kind, {}))

    def put(self, kind: str, name: str, document: Document) -> None:
        """Create or replace a document."""
        self._set(kind, name, document)

    def forget(self, kind: str, name: str) -> None:
        """Delete a document."""
        self._set(kind, name, None)

    def _set(self, kind: str, name: str, document: Document | None) -> None:
        with self.transaction():
            self._undo.append((kind, name, self.document(kind, name)))
            self._remember(kind, name, document)
            if self._lasting:
                self._connection.execute("DELETE FROM documents WHERE kind = ? AND name = ?", [kind, name])
                if document is not None:
                    body = msgspec.json.encode(document).decode()
                    self._connection.execute("INSERT INTO documents VALUES (?, ?, ?)", [kind, name, body])

    def _remember(self, kind: str, name: str, document: Document | None) -> None:
        if document is None:
            self._documents.get(kind, {}).pop(name, None)
        else:
            self._documents.setdefault(kind, {})[name] = document

    def create_dataset(self, name: DatasetName) -> None:
        self.run(f"CREATE SCHEMA {name.sql}")

    def drop_dataset(self, name: DatasetName) -> None:
        self.run(f"DROP SCHEMA {name.sql} CASCADE")

    def create_table(self, name: TableName, fields: Fields) -> None:
        """A table without columns, which BigQuery allows, has one of its own until it gets a schema."""
        self.run(f"CREATE TABLE {name.sql} ({columns_sql(fields) or 'nothing INTEGER'})")

    def alter_table(self, name: TableName, old: Fields, new: Fields) -> None:
        """Bring its columns from one schema to a later one."""
        if not old and new:
            self.drop_table(name)
            self.create_table(name, new)
            return
        for alteration in alterations(old, new):
            self.run(f"ALTER TABLE {name.sql} {alteration}")

    def drop_table(self, name: TableName) -> None:
        self.run(f"DROP TABLE {name.sql}")

    def insert(self, name: TableName, rows: Any) -> None:
        """`rows` is a pyarrow table; columns that it has not are NULL."""
        if not rows.num_rows:
            return
        with self._lock:
            self._connection.register("incoming", rows)
            try:
                self._connection.execute(f"INSERT INTO {name.sql} BY NAME SELECT * FROM incoming")  # noqa: S608 - quoted
            finally:
                self._connection.unregister("incoming")

    def count(self, name: TableName) -> int:
        with self._lock:
            counted = self._connection.execute(f"SELECT COUNT(*) FROM {name.sql}").fetchall()  # noqa: S608 - quoted
            return int(counted[0][0])

    def page(self, name: TableName, fields: Fields, start: int, most: int) -> Any:
        """Some rows as a pyarrow table of `fields`, in the order in which they came."""
        columns = ", ".join(quoted(field.name) for field in fields) or "1"
        return self.select(f"SELECT {columns} FROM {name.sql} LIMIT {most} OFFSET {start}")[1]  # noqa: S608 - quoted

    def run(self, sql: str, parameters: Any = None) -> int:
        """Run a statement without rows to show, and say how many rows it changed."""
        with self._lock:
            rows = self._connection.execute(sql, parameters or None).fetchall()
            return rows[0][0] if rows and isinstance(rows[0][0], int) else 0

    def describe(self, sql: str, parameters: Any = None) -> list[tuple[str, Any]]:
        """The columns' names and DuckDB types of a SELECT that is not run."""
        with self._lock:
            relation = self._connection.sql(sql, params=parameters or None)
            return list(zip(relation.columns, relation.types, strict=True))

    def select(self, sql: str, parameters: Any = None) -> tuple[list[tuple[str, Any]], Any]:
        """The columns and the rows, as a pyarrow table, of a SELECT."""
        with self._lock:
            relation = self._connection.sql(sql, params=parameters or None)
            columns = list(zip(relation.columns, relation.types, strict=True))
            return columns, relation.to_arrow_table()
