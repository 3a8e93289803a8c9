"""SCRIBE's database keeps the contracts of sinks and sources, on real files."""

import json
import sqlite3
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from functools import partial
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from support.scribe_tables import PARTS, Rows, add_by_guide, execute, locked, new_database, query

from scribe_connectors.scribe.database import (
    ScribeDatabaseSink,
    ScribeDatabaseSinkOptions,
    ScribeDatabaseSource,
    ScribeDatabaseSourceOptions,
)
from scribe_export.interface import Context
from scribe_export.model import Record
from scribe_export.testing.records import make_record, make_records, scan_body
from scribe_export.testing.sink_contract import Destination, Faults, MakeRecords, MakeSink, SinkContract
from scribe_export.testing.source_contract import MakeSource, Put, SourceContract


@pytest.fixture
def database(tmp_path: Path) -> Path:
    return new_database(tmp_path / "scribe_learning.db")


@contextmanager
def aside(database: Path) -> Iterator[None]:
    """The file is not there."""
    moved = database.with_suffix(".aside")
    database.rename(moved)
    yield
    moved.rename(database)


@contextmanager
def refusing(database: Path, record: Record) -> Iterator[None]:
    """A trigger of the operator's that does not like one scan."""
    moment = json.loads(record.body)["timestamp"]
    execute(
        database,
        f"CREATE TRIGGER refused BEFORE INSERT ON scan_results WHEN NEW.timestamp = '{moment}' "
        "BEGIN SELECT RAISE(ABORT, 'not this one'); END",
    )
    yield
    execute(database, "DROP TRIGGER refused")


class DatabaseFixtures(SinkContract):
    body = "json"

    def make(self, database: Path, **more: Any) -> MakeSink:
        options = ScribeDatabaseSinkOptions.model_validate({"path": database.name, "timeout": 0.2, **more})
        return lambda: ScribeDatabaseSink(options, Context("database", folder=database.parent))

    @pytest.fixture
    def sink(self, database: Path) -> MakeSink:
        return self.make(database)

    @pytest.fixture
    def reshaped(self, database: Path) -> MakeSink:
        return self.make(database, fields={"exclude": ["response.audio_data"]}, on_conflict="version")

    @pytest.fixture
    def destination(self, database: Path) -> Destination:
        return Rows(database)

    @pytest.fixture
    def records(self) -> MakeRecords:
        # Ids that SQLite will not give: a scan that is found as the row of its id would hide one that is not noted.
        return partial(make_records, first=1000)

    @pytest.fixture
    def unacceptable(self) -> Record:
        return make_record(900, seq=900, body=scan_body(900, size=5000))

    @pytest.fixture
    def faults(self, database: Path) -> Faults:
        return Faults(down=partial(locked, database), deny=partial(aside, database), refuse=partial(refusing, database))


class TestRows(DatabaseFixtures):
    pass


class TestRowsWithARollbackJournal(DatabaseFixtures):
    """As SQLite has it where nobody asked for WAL: readers wait while somebody commits."""

    @pytest.fixture
    def database(self, tmp_path: Path) -> Path:
        path = new_database(tmp_path / "scribe_learning.db")
        with closing(sqlite3.connect(path)) as connection:
            connection.execute("PRAGMA journal_mode = DELETE")
        return path

    @pytest.fixture
    def faults(self, database: Path) -> Faults:
        # A lock would keep the observer out too.
        return Faults(down=partial(aside, database), deny=partial(aside, database), refuse=partial(refusing, database))

    @pytest.fixture
    def destination(self, database: Path) -> Destination:
        class Seen(Rows):
            def held(self) -> Any:
                # While the file is aside there is nothing to see.
                return super().held() if self.path.exists() else ()

        return Seen(database)


class SourceFixtures(SourceContract):
    @pytest.fixture
    def source(self, database: Path) -> MakeSource:
        given = {"path": database.name, "poll_interval": 0.02, "max_records": 2, "timeout": 0.2}
        options = ScribeDatabaseSourceOptions.model_validate(given)
        return lambda *, once: ScribeDatabaseSource(options, Context("database", folder=database.parent, once=once))

    @pytest.fixture
    def put(self, database: Path) -> Put:
        numbers = count(1)

        def put(amount: int) -> Mapping[str, bytes]:
            ids = add_by_guide(database, *(next(numbers) for _ in range(amount)))
            return {str(row): as_the_guide_has_it(database, row) for row in ids}

        return put

    @pytest.fixture
    def faults(self, database: Path) -> Faults:
        return Faults(down=partial(aside, database))


class TestDatabaseSource(SourceFixtures):
    pass


def as_the_guide_has_it(database: Path, row: int) -> bytes:
    """The document of a row, put together from its texts by another hand."""
    [(timestamp, *texts)] = query(database, f"SELECT timestamp, {', '.join(PARTS)} FROM scan_results WHERE id = ?", row)
    parts = "".join(f',"{name}":{text}' for name, text in zip(PARTS, texts, strict=True))
    return f'{{"scan_id":{row},"timestamp":"{timestamp}"{parts}}}'.encode()
