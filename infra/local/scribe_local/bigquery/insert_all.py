"""Rows by insertAll: https://cloud.google.com/bigquery/docs/reference/rest/v2/tabledata/insertAll"""

import threading
import time
from collections import deque
from typing import Any

import pyarrow as pa

from scribe_local.bigquery.incoming import BadValue, RowReader
from scribe_local.bigquery.names import TableName
from scribe_local.bigquery.newborn import loses_rows
from scribe_local.bigquery.refusals import Refused, invalid, unsupported
from scribe_local.bigquery.schema import arrow_schema
from scribe_local.bigquery.settings import LiveSettings
from scribe_local.bigquery.store import Document, Store
from scribe_local.bigquery.streaming_buffer import StreamingBuffer
from scribe_local.bigquery.tables import Tables

# https://cloud.google.com/bigquery/quotas#streaming_inserts, 2026-08-22.
MOST_ROWS = 50_000
LARGEST_REQUEST = 10 * 1024 * 1024
LONGEST_INSERT_ID = 128


class InsertAll:
    """Rows that are visible when it answers, each once for its insertId as long as that is remembered."""

    def __init__(self, store: Store, tables: Tables, buffer: StreamingBuffer, settings: LiveSettings) -> None:
        self._store = store
        self._tables = tables
        self._buffer = buffer
        self._settings = settings
        self._seen = _InsertIds(settings)

    def insert(self, name: TableName, body: dict[str, Any], size: int) -> Document:
        """`size` is the request's, in bytes. Raises `Refused`; a bad row is told in the answer."""
        if size > LARGEST_REQUEST:
            message = f"Request payload size exceeds the limit: {LARGEST_REQUEST} bytes."
            raise Refused(413, "requestTooLarge", message)
        if body.get("templateSuffix"):
            raise unsupported("templateSuffix")
        rows = body.get("rows") or []
        if not rows:
            raise invalid("No rows present in the request.")
        if len(rows) > MOST_ROWS:
            raise invalid(f"Too many rows present in the request, limit: {MOST_ROWS} row count: {len(rows)}.")
        lost = loses_rows(name, self._tables, self._settings)
        fields = self._tables.fields(name)
        reader = RowReader(fields, ignore_unknown=bool(body.get("ignoreUnknownValues")), json_text=True)
        good, errors = _sort_out(reader, rows)
        if errors and not body.get("skipInvalidRows"):
            errors += [_error(index, "stopped", "", "") for index, _, _ in good]
            good = []
        if good and not lost:
            self._keep(name, good, fields)
        answer: Document = {"kind": "bigquery#tableDataInsertAllResponse"}
        return {**answer, "insertErrors": sorted(errors, key=lambda error: error["index"])} if errors else answer

    def _keep(self, name: TableName, good: list[tuple[int, str | None, Document]], fields: Any) -> None:
        with self._store.transaction():
            fresh = self._seen.fresh(name, good)
            rows = pa.Table.from_pylist([row for _, _, row in fresh], schema=arrow_schema(fields))
            self._store.insert(name, rows)
            self._tables.touch(name)
        self._seen.add(name, fresh)
        self._buffer.add(name, rows.num_rows, rows.nbytes)


def _sort_out(
    reader: RowReader, rows: list[Any]
) -> tuple[list[tuple[int, str | None, Document]], list[dict[str, Any]]]:
    """The good rows with index and insertId, and the errors of the others."""
    good, errors = [], []
    for index, row in enumerate(rows):
        insert_id = row.get("insertId") if isinstance(row, dict) else None
        if insert_id is not None and len(str(insert_id)) > LONGEST_INSERT_ID:
            message = f"insertId is longer than {LONGEST_INSERT_ID} characters"
            errors.append(_error(index, "invalid", "insertId", message))
            continue
        try:
            good.append((index, insert_id, reader.read(row.get("json") if isinstance(row, dict) else None)))
        except BadValue as error:
            errors.append(_error(index, "invalid", error.location, error.message))
    return good, errors


def _error(index: int, reason: str, location: str, message: str) -> dict[str, Any]:
    entry = {"reason": reason, "location": location, "debugInfo": "", "message": message}
    return {"index": index, "errors": [entry]}


class _InsertIds:
    """The insertIds of each table that are remembered.

    https://cloud.google.com/bigquery/docs/streaming-data-into-bigquery#dataconsistency
    """

    def __init__(self, settings: LiveSettings) -> None:
        self._settings = settings
        self._lock = threading.Lock()
        self._known: dict[TableName, dict[str, float]] = {}
        self._order: deque[tuple[float, TableName, str]] = deque()

    def fresh(
        self, name: TableName, rows: list[tuple[int, str | None, Document]]
    ) -> list[tuple[int, str | None, Document]]:
        """Those rows whose insertId is not remembered, each once."""
        with self._lock:
            self._forget_old()
            known, found, now = self._known.get(name, {}), [], set()
            for row in rows:
                insert_id = row[1]
                if insert_id is None or (insert_id not in known and insert_id not in now):
                    found.append(row)
                    now.add(insert_id)
            return found

    def add(self, name: TableName, rows: list[tuple[int, str | None, Document]]) -> None:
        now = time.monotonic()
        with self._lock:
            known = self._known.setdefault(name, {})
            for _, insert_id, _ in rows:
                if insert_id is not None:
                    known[insert_id] = now
                    self._order.append((now, name, insert_id))

    def _forget_old(self) -> None:
        since = time.monotonic() - self._settings.now.insert_id_seconds
        while self._order and self._order[0][0] <= since:
            _, name, insert_id = self._order.popleft()
            self._known.get(name, {}).pop(insert_id, None)
