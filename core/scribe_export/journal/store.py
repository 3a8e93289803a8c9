"""The store thread: everything that changes the journal, committed in groups.

While one group is being synced to the disk the next one gathers, so that under load many commands share a sync, and
alone a command waits for nobody. A command's result is handed back only after the commit that holds it has returned.
"""

import asyncio
import contextlib
import queue
import sqlite3
import threading
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from scribe_export.errors import JournalFull, JournalUnusable
from scribe_export.journal.ballast import BALLAST_BYTES, Ballast
from scribe_export.journal.database import Database, classified, room
from scribe_export.journal.measured import StoreMeter

T = TypeVar("T")
MAX_GROUP = 256

Command = Callable[[Database], T]


@dataclass(slots=True)
class _Pending(Generic[T]):
    run: Command[T]
    future: "asyncio.Future[T]"
    result: T | None = None
    error: BaseException | None = None


class Store:
    """Owns the database from `start` to `stop`; `do` may be called by any task of the loop that started it.

    `on_failure` is called, in that loop, when the journal has become unusable: the process has to stop.
    """

    def __init__(self, database: Database, *, on_failure: Callable[[JournalUnusable], None] | None = None) -> None:
        self.database = database
        self.failure: JournalUnusable | None = None
        self.meter = StoreMeter()
        self._ballast = Ballast(database.folder) if database.folder else None
        self._on_failure = on_failure
        self._queue: queue.SimpleQueue[_Pending[Any] | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._work, name="store", daemon=True)
        self._loop: asyncio.AbstractEventLoop | None = None

    def start(self) -> None:
        """Begin to take commands, for the running event loop."""
        self._loop = asyncio.get_running_loop()
        self._thread.start()

    @property
    def alive(self) -> bool:
        """Whether its thread runs, as it does from `start` to `stop`."""
        return self._thread.is_alive()

    @property
    def ballast_held(self) -> bool:
        """Whether the disk has room enough for the ballast; True without a folder."""
        return self._ballast is None or self._ballast.held

    async def do(self, command: Command[T]) -> T:
        """Run a command in the store thread and commit it; its exception is raised here and undoes it alone.

        Raises `JournalFull` when there is no room, `JournalUnusable` once a commit's outcome is unknown. Cancelling
        does not undo it.
        """
        if self.failure:
            raise JournalUnusable(str(self.failure))
        assert self._loop is not None
        pending = _Pending(command, self._loop.create_future())
        self._queue.put(pending)
        result: T = await pending.future
        return result

    def stop(self) -> None:
        """Finish what was asked for and close the database; blocks until the last sync."""
        if self._thread.is_alive():
            self._queue.put(None)
            self._thread.join()
        self.database.close()

    def _work(self) -> None:
        while True:
            first = self._queue.get()
            group = [] if first is None else [first]
            stopping = first is None
            with contextlib.suppress(queue.Empty):
                while len(group) < MAX_GROUP and not stopping:
                    pending = self._queue.get_nowait()
                    stopping = pending is None
                    if pending is not None:
                        group.append(pending)
            if group:
                self._commit(group)
                self._report(group)
            if stopping:
                return

    def _commit(self, group: list[_Pending[Any]]) -> None:
        if self.failure is None:
            try:
                self._commit_together(group)
            except JournalFull:
                self._commit_apart(group)
            except JournalUnusable as error:
                self.failure = error
            except sqlite3.Error as error:
                self._give_up(error)
        if self.failure is not None:
            for pending in group:
                pending.error = pending.error or JournalUnusable(str(self.failure))

    def _commit_together(self, group: Iterable[_Pending[Any]]) -> None:
        database = self.database
        before = database.connection.total_changes
        database.begin()
        try:
            for pending in group:
                self._attempt(pending)
        except BaseException:
            database.rollback()
            raise
        if database.connection.total_changes == before:
            database.commit()
        else:
            self.meter.time(database.commit)

    def _attempt(self, pending: _Pending[Any]) -> None:
        """One command inside the group's transaction; an error of its own undoes only what it did."""
        run = self.database.connection.execute
        pending.error = None
        actions = len(self.database.after_commit)
        try:
            run("SAVEPOINT command")
            try:
                pending.result = pending.run(self.database)
            except sqlite3.Error:
                raise
            except Exception as error:  # noqa: BLE001 - it is the caller's, and is raised there
                run("ROLLBACK TO command")
                del self.database.after_commit[actions:]
                pending.error = error
            run("RELEASE command")
        except sqlite3.Error as error:
            raise classified(error) from error

    def _commit_apart(self, group: Iterable[_Pending[Any]]) -> None:
        """There was no room for the group: what fits one by one, such as a settling, still gets through."""
        if self._ballast and self.database.folder and room(self.database.folder) < BALLAST_BYTES:
            self._ballast.release()
        for pending in group:
            try:
                self._commit_together([pending])
            except JournalFull as error:
                pending.error = error

    def _give_up(self, error: sqlite3.Error) -> None:
        unusable = classified(error)
        self.failure = unusable if isinstance(unusable, JournalUnusable) else JournalUnusable(str(unusable))

    def _report(self, group: list[_Pending[Any]]) -> None:
        assert self._loop is not None
        with contextlib.suppress(RuntimeError):  # the loop was closed: nobody waits any more
            self._loop.call_soon_threadsafe(self._resolve, group)
        if self._ballast and not self._ballast.held:
            self._ballast.restore()

    def _resolve(self, group: list[_Pending[Any]]) -> None:
        for pending in group:
            if pending.future.done():
                continue
            if pending.error is not None:
                pending.future.set_exception(pending.error)
            else:
                pending.future.set_result(pending.result)
        if self.failure and self._on_failure:
            report, self._on_failure = self._on_failure, None
            report(self.failure)
