"""SCRIBE's SQLite file, written and read by the integration guide's own class, unchanged."""

import json
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

from support.guide import load

from scribe_export.testing.destination import Destination
from scribe_export.testing.records import scan_document
from scribe_local.store import Store

PARTS = ("signals", "response", "features", "interpretation", "config")


def guide_database(path: Path) -> Any:
    """The guide's `ScribeDatabaseIntegration` on a file."""
    return load("Direct Database Access").ScribeDatabaseIntegration(str(path))


def new_database(path: Path) -> Path:
    """SCRIBE's tables, in WAL as SCRIBE has them, and no scans."""
    Store(path).close()
    return path


def add_by_guide(path: Path, *numbers: int) -> list[int]:
    """Scans as others add them, by the guide; their ids. One is told from another by its number."""
    guide = guide_database(path)
    return [guide.add_external_scan_data(scan_document(number, seed=7)) for number in numbers]


def query(path: Path, sql: str, *values: Any) -> list[tuple[Any, ...]]:
    """Rows, by plain SQL."""
    with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as connection:
        return connection.execute(sql, values).fetchall()


def execute(path: Path, *statements: str) -> None:
    """Statements in one transaction, by plain SQL."""
    with closing(sqlite3.connect(path)) as connection, connection:
        for statement in statements:
            connection.execute(statement)


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Somebody else is writing, and takes long."""
    with closing(sqlite3.connect(path, isolation_level=None, check_same_thread=False)) as connection:
        connection.execute("BEGIN EXCLUSIVE")
        yield
        connection.execute("ROLLBACK")


class Rows(Destination):
    """What scan_results holds, each row an effect, by the id of the scan that became it."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def held(self) -> Sequence[tuple[str, bytes]]:
        rows = query(self.path, f"SELECT id, timestamp, {', '.join(PARTS)} FROM scan_results")
        [(noted,)] = query(self.path, "SELECT count(*) FROM sqlite_master WHERE name = 'scribe_export_delivered'")
        keys = (
            dict(query(self.path, "SELECT row_id, scan_key FROM scribe_export_delivered ORDER BY version DESC"))
            if noted
            else {}
        )
        found = []
        for row_id, timestamp, *texts in rows:
            key = keys.get(row_id, f"row {row_id}")
            scan_id = int(key) if key.isdigit() else key
            parts = {name: json.loads(text) for name, text in zip(PARTS, texts, strict=True)}
            found.append((key, json.dumps({"scan_id": scan_id, "timestamp": timestamp, **parts}).encode()))
        return found
