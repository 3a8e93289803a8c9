"""SCRIBE's own database for Python programs, as the guide's `ScribeDatabaseIntegration`."""

import json
from collections.abc import Mapping, Sequence
from os import PathLike
from pathlib import Path
from typing import Any, TypedDict

from scribe_connectors.scribe._database_file import reading
from scribe_connectors.scribe._database_rows import COLUMNS, document
from scribe_connectors.scribe.documents import ScanDocument

# ruff: noqa: S608 - every name in these statements is the module's own
_SELECT = f"SELECT id, {COLUMNS} FROM scan_results"
_INSIGHTS = """SELECT
    (SELECT COUNT(*) FROM scan_results) AS total_scans,
    (SELECT COUNT(*) FROM user_feedback) AS total_feedback,
    (SELECT COUNT(*) FROM pattern_adaptations) AS total_adaptations,
    (SELECT AVG(CASE WHEN json_valid(interpretation)
                THEN json_extract(interpretation, '$.confidence_scores.overall') END)
     FROM scan_results WHERE julianday(timestamp) > julianday('now', '-24 hours')) AS recent_confidence"""


class LearningInsights(TypedDict):
    """How much SCRIBE has measured and was taught.

    `recent_confidence` is the mean of the last 24 hours, 0 to 1, and 0 without scans; a timestamp without an offset is
    taken for UTC.
    """

    total_scans: int
    total_feedback: int
    total_adaptations: int
    recent_confidence: float


class ScribeDatabase:
    """Reads SCRIBE's SQLite file, also while SCRIBE writes it; never changes it.

    Each call opens the file anew for one short read transaction, and waits up to `timeout` seconds for SCRIBE's locks.
    Every call raises `Misconfigured` (no such file or table, no right, damaged, on a network filesystem) or `Transient`
    (locked for longer). Safe for several threads at once.
    """

    def __init__(self, path: str | PathLike[str] = "scribe_learning.db", *, timeout: float = 30.0) -> None:
        self._path = Path(path)
        self._timeout = timeout

    def scan_results(self, limit: int = 100, offset: int = 0) -> list[ScanDocument]:
        """Scans by their time, the newest first, as the API gives them. Raises ValueError if one is no JSON."""
        query = f"{_SELECT} ORDER BY timestamp DESC, id DESC LIMIT ? OFFSET ?"
        return [_decoded(row) for row in self._rows(query, limit, offset)]

    def scan(self, scan_id: int) -> ScanDocument | None:
        """One scan; None if there is none of that id. Raises ValueError if it is no JSON."""
        rows = self._rows(f"{_SELECT} WHERE id = ?", scan_id)
        return _decoded(rows[0]) if rows else None

    def scan_bytes(self, scan_id: int) -> bytes | None:
        """One scan's JSON with every digit as SCRIBE wrote it; None if there is none of that id."""
        rows = self._rows(f"{_SELECT} WHERE id = ?", scan_id)
        return document(rows[0][0], rows[0][1:]) if rows else None

    def learning_insights(self) -> LearningInsights:
        """Counts, and the recent confidence."""
        with reading(self._path, self._timeout) as connection:
            scans, feedback, adaptations, confidence = connection.execute(_INSIGHTS).fetchone()
        return LearningInsights(
            total_scans=scans,
            total_feedback=feedback,
            total_adaptations=adaptations,
            recent_confidence=confidence or 0.0,
        )

    def feedback(self, limit: int = 100, offset: int = 0) -> list[Mapping[str, Any]]:
        """What users told SCRIBE of its scans, the newest first: every column, JSON decoded."""
        return self._all_columns("user_feedback", limit, offset)

    def adaptations(self, limit: int = 100, offset: int = 0) -> list[Mapping[str, Any]]:
        """What SCRIBE learned of them, the newest first: every column, JSON decoded."""
        return self._all_columns("pattern_adaptations", limit, offset)

    def _all_columns(self, table: str, limit: int, offset: int) -> list[Mapping[str, Any]]:
        with reading(self._path, self._timeout) as connection:
            found = connection.execute(f"SELECT * FROM {table} ORDER BY rowid DESC LIMIT ? OFFSET ?", (limit, offset))
            names = [column[0] for column in found.description]
            return [{name: _plain(value) for name, value in zip(names, row, strict=True)} for row in found]

    def _rows(self, query: str, *values: int) -> Sequence[tuple[Any, ...]]:
        with reading(self._path, self._timeout) as connection:
            connection.text_factory = bytes
            return connection.execute(query, values).fetchall()


def _decoded(row: Sequence[Any]) -> ScanDocument:
    found: ScanDocument = json.loads(document(row[0], row[1:]))
    return found


def _plain(value: Any) -> Any:
    """The guide says nothing of these columns: what looks like JSON and is, is decoded."""
    if isinstance(value, str) and value[:1] in {"{", "["}:
        try:
            return json.loads(value)
        except ValueError:
            return value
    return value
