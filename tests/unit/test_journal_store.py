"""The store thread: commands share commits, and nothing that is not on the disk is told to anybody."""

import asyncio
import sqlite3
import threading
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from support.journals import opened

from scribe_export.errors import JournalFull, JournalUnusable
from scribe_export.journal.ballast import Ballast
from scribe_export.journal.database import Database
from scribe_export.journal.store import Store


@asynccontextmanager
async def store_in(folder: Path, failures: list[JournalUnusable] | None = None) -> AsyncIterator[Store]:
    with opened(folder) as db:
        store = Store(db, on_failure=None if failures is None else failures.append)
        store.start()
        try:
            yield store
        finally:
            await asyncio.to_thread(store.stop)


def counting(key: str) -> Callable[[Database], None]:
    return lambda db: db.count(key, 1)


async def grouped(store: Store, *commands: Callable[[Database], object]) -> list[object]:
    """All in one group: they gather while the store is held."""
    held, go = threading.Event(), threading.Event()

    def hold(db: Database) -> None:
        held.set()
        go.wait(30)

    first = asyncio.ensure_future(store.do(hold))
    await asyncio.to_thread(held.wait, 30)
    futures = [asyncio.ensure_future(store.do(command)) for command in commands]
    await asyncio.sleep(0)
    go.set()
    await first
    return await asyncio.gather(*futures, return_exceptions=True)


def failing(db: Database) -> None:
    db.count("undone", 1)
    db.after_commit.append(lambda: pytest.fail("an action of a command that failed"))
    raise ZeroDivisionError


def test_commands_that_gather_share_one_commit_in_the_order_they_came(tmp_path: Path) -> None:
    async def check() -> None:
        seen: list[int] = []
        async with store_in(tmp_path / "state") as store:
            statements: list[str] = []
            store.database.connection.set_trace_callback(statements.append)
            await grouped(store, *((lambda db, n=n: seen.append(n)) for n in range(50)))
            assert statements.count("COMMIT") == 2
        assert seen == list(range(50))

    asyncio.run(check())


def test_an_error_of_one_command_undoes_it_alone(tmp_path: Path) -> None:
    async def check() -> None:
        async with store_in(tmp_path / "state") as store:
            results = await grouped(store, counting("a"), failing, counting("b"))
            assert [type(result) for result in results] == [type(None), ZeroDivisionError, type(None)]
        with opened(tmp_path / "state") as db:
            assert (db.meta("a"), db.meta("undone"), db.meta("b")) == ("1", "", "1")

    asyncio.run(check())


def test_a_result_is_handed_back_only_after_the_commit_that_holds_it(tmp_path: Path) -> None:
    async def check() -> None:
        async with store_in(tmp_path / "state") as store:
            other = sqlite3.connect(tmp_path / "state" / "journal.db")
            try:
                for n in range(1, 20):
                    await store.do(counting("n"))
                    assert other.execute("SELECT value FROM meta WHERE key='n'").fetchone() == (str(n),)
            finally:
                other.close()

    asyncio.run(check())


def test_after_a_commit_whose_outcome_is_unknown_every_command_raises_and_the_process_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(db: Database) -> None:
        raise JournalUnusable("the disk does not answer")

    async def check() -> None:
        failures: list[JournalUnusable] = []
        async with store_in(tmp_path / "state", failures) as store:
            await store.do(counting("before"))
            breaking: Callable[[Database], None] = lambda _: monkeypatch.setattr(Database, "commit", broken)  # noqa: E731 - a command
            results = await grouped(store, counting("a"), breaking, counting("b"))
            assert [type(result) for result in results] == [JournalUnusable] * 3
            monkeypatch.undo()
            with pytest.raises(JournalUnusable, match="does not answer"):
                await store.do(counting("after"))
            assert [str(failure) for failure in failures] == ["the disk does not answer"]
        with opened(tmp_path / "state") as db:
            assert (db.meta("before"), db.meta("a"), db.meta("after")) == ("1", "", "")

    asyncio.run(check())


def test_what_has_no_room_fails_alone_and_the_ballast_is_given_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def check() -> None:
        async with store_in(tmp_path / "state") as store:
            assert (tmp_path / "state" / "ballast").exists()
            monkeypatch.setattr(Ballast, "restore", lambda ballast: None)
            monkeypatch.setattr("scribe_export.journal.store.room", lambda folder: 0)
            monkeypatch.setattr(store.database, "commit", _full_if("hungry", store.database))
            results = await grouped(store, counting("a"), lambda db: db.count("hungry", 1), counting("b"))
            assert [type(result) for result in results] == [type(None), JournalFull, type(None)]
            assert not (tmp_path / "state" / "ballast").exists()
            assert (store.database.meta("a"), store.database.meta("hungry"), store.database.meta("b")) == ("1", "", "1")

    asyncio.run(check())


def _full_if(key: str, db: Database) -> Callable[[], None]:
    real = db.commit

    def commit() -> None:
        if db.meta(key):
            db.rollback()
            raise JournalFull("no room")
        real()

    return commit


def test_a_cancelled_caller_undoes_nothing(tmp_path: Path) -> None:
    async def check() -> None:
        async with store_in(tmp_path / "state") as store:
            caller = asyncio.ensure_future(store.do(counting("a")))
            await asyncio.sleep(0)
            caller.cancel()
            with pytest.raises(asyncio.CancelledError):
                await caller
            await store.do(counting("b"))
            assert store.database.meta("a") == "1"

    asyncio.run(check())


def test_the_ballast_takes_its_space_again_when_the_disk_has_twice_of_it(tmp_path: Path) -> None:
    ballast = Ballast(tmp_path, 4096)
    assert (tmp_path / "ballast").stat().st_size == 4096
    assert ballast.release()
    assert not ballast.held
    assert not ballast.release()
    ballast.restore()
    assert ballast.held


def test_without_room_for_a_ballast_there_is_none(tmp_path: Path) -> None:
    ballast = Ballast(tmp_path, 2**60)
    assert not ballast.held
    assert not ballast.release()
