"""Scans, feedback and adaptations in the SQLite tables that the integration guide reads and writes directly."""

import sqlite3
from collections.abc import Callable, Sequence
from pathlib import Path

import msgspec

from scribe_local.interpretation import Adaptation
from scribe_local.scans import COLUMNS, document

_SCHEMA = f"""
CREATE TABLE IF NOT EXISTS scan_results (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    timestamp TEXT NOT NULL,
    {", ".join(f"{name} TEXT NOT NULL CHECK (json_valid({name}))" for name in COLUMNS)}
);
CREATE TABLE IF NOT EXISTS user_feedback (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    timestamp TEXT NOT NULL,
    scan_id INTEGER NOT NULL REFERENCES scan_results (id),
    feedback_type TEXT NOT NULL,
    feedback_data TEXT NOT NULL CHECK (json_valid(feedback_data))
);
CREATE TABLE IF NOT EXISTS pattern_adaptations (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    timestamp TEXT NOT NULL,
    feedback_id INTEGER NOT NULL REFERENCES user_feedback (id),
    material TEXT NOT NULL,
    pattern TEXT NOT NULL CHECK (json_valid(pattern))
);
"""

_SELECT = f"SELECT id, timestamp, {', '.join(COLUMNS)} FROM scan_results"  # noqa: S608 - the module's own names
_INSERT = (
    f"INSERT INTO scan_results (id, timestamp, {', '.join(COLUMNS)}) "  # noqa: S608 - the module's own names
    f"VALUES (?, ?, {', '.join('?' * len(COLUMNS))})"
)


class Store:
    """One connection to the file; others may read and write it meanwhile, as the guide does.

    Rows hold JSON text and documents are put together from it, so a scan's bytes never change. Not safe for several
    threads at once. Raises sqlite3.Error where the file cannot be used.
    """

    def __init__(self, path: Path) -> None:
        self._connection = sqlite3.connect(path, timeout=2, isolation_level=None, check_same_thread=False)
        self._connection.executescript("PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL;" + _SCHEMA)

    def close(self) -> None:
        """Safe twice."""
        self._connection.close()

    def add_scans(self, perform: Callable[[int], tuple[str, dict[str, bytes]]], count: int = 1) -> int:
        """Perform and keep `count` scans in one transaction; `perform` gives number's timestamp and parts. The last id.

        The numbers follow the last that was ever given, also where others added scans.
        """
        with self._connection:
            self._connection.execute("BEGIN IMMEDIATE")
            row = self._connection.execute("SELECT seq FROM sqlite_sequence WHERE name = 'scan_results'").fetchone()
            last = int(row[0] if row else 0)
            for number in range(last + 1, last + count + 1):
                moment, parts = perform(number)
                self._connection.execute(_INSERT, (number, moment, *(parts[name].decode() for name in COLUMNS)))
        return last + count

    def count(self) -> int:
        """How many scans there are."""
        return int(self._connection.execute("SELECT COUNT(*) FROM scan_results").fetchone()[0])

    def scan(self, scan_id: int) -> bytes | None:
        """A scan's document."""
        row = self._connection.execute(_SELECT + " WHERE id = ?", (scan_id,)).fetchone()
        return _document(row) if row else None

    def newest(self, limit: int) -> list[bytes]:
        """The documents of the scans that came last, the very last first."""
        rows = self._connection.execute(_SELECT + " ORDER BY id DESC LIMIT ?", (limit,))
        return [_document(row) for row in rows]

    def features(self, scan_id: int) -> str | None:
        """The JSON text of a scan's features."""
        row = self._connection.execute("SELECT features FROM scan_results WHERE id = ?", (scan_id,)).fetchone()
        return str(row[0]) if row else None

    def add_feedback(
        self, timestamp: str, scan_id: int, kind: str, data: bytes, adaptation: Adaptation | None
    ) -> tuple[int, int | None]:
        """The ids of the feedback and of what it taught, committed together."""
        with self._connection:
            self._connection.execute("BEGIN IMMEDIATE")
            feedback = self._connection.execute(
                "INSERT INTO user_feedback (timestamp, scan_id, feedback_type, feedback_data) VALUES (?, ?, ?, ?)",
                (timestamp, scan_id, kind, data.decode()),
            ).lastrowid
            if adaptation is None:
                return int(feedback or 0), None
            pattern = msgspec.json.encode({"levels": adaptation.levels, "coverage": adaptation.coverage})
            taught = self._connection.execute(
                "INSERT INTO pattern_adaptations (timestamp, feedback_id, material, pattern) VALUES (?, ?, ?, ?)",
                (timestamp, feedback, adaptation.material, pattern.decode()),
            ).lastrowid
            return int(feedback or 0), taught

    def adaptations(self) -> list[Adaptation]:
        """What all corrections taught, in their order."""
        rows = self._connection.execute("SELECT material, pattern FROM pattern_adaptations ORDER BY id")
        return [Adaptation(material, **msgspec.json.decode(pattern)) for material, pattern in rows]


def _document(row: Sequence[int | str]) -> bytes:
    parts = {name: str(text).encode() for name, text in zip(COLUMNS, row[2:], strict=True)}
    return document(int(row[0]), str(row[1]), parts)
