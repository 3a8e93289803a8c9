"""SQLite connections of which one call fails, as a disk or another process would make it fail."""

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Literal

import pytest

Moment = Literal["before", "after"]


@dataclass(slots=True)
class Fault:
    """The `number`-th call fails with an SQLite code: ``before`` it did anything, or ``after`` it was done.

    `calls` counts all of them.
    """

    number: int
    code: int
    moment: Moment = "before"
    calls: int = 0


@contextmanager
def failing(fault: Fault) -> Iterator[None]:
    """Within the block every connection that is opened counts its calls, and the one in question fails."""

    class Failing(sqlite3.Connection):
        def execute(self, sql: str, parameters: Any = (), /) -> sqlite3.Cursor:
            return self._counted(super().execute, sql, parameters)

        def executemany(self, sql: str, parameters: Any, /) -> sqlite3.Cursor:
            return self._counted(super().executemany, sql, parameters)

        def _counted(self, call: Any, sql: str, parameters: Any) -> sqlite3.Cursor:
            fault.calls += 1
            if fault.calls != fault.number:
                cursor: sqlite3.Cursor = call(sql, parameters)
                return cursor
            if fault.moment == "after":
                call(sql, parameters)
            elif self.in_transaction and fault.code != sqlite3.SQLITE_BUSY:
                super().execute(
                    "ROLLBACK"
                )  # as SQLite itself does after these (https://sqlite.org/lang_transaction.html)
            error = sqlite3.OperationalError(f"call {fault.number}: {sql[:60]}")
            error.sqlite_errorcode = fault.code
            raise error

    connect = sqlite3.connect
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sqlite3, "connect", lambda *given, **options: connect(*given, factory=Failing, **options))
        yield
