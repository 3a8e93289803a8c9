"""Opening a state folder: locked, sound, tidied; a damaged journal is set aside and what verifies is recovered."""

import sqlite3
from dataclasses import dataclass
from pathlib import Path

import structlog

from scribe_export.clock import Clock
from scribe_export.errors import JournalError, JournalUnusable
from scribe_export.journal.database import DEFAULT_QUOTA, FILE_NAME, LARGE_HOLE, PAGE_SIZE, Database, unopened
from scribe_export.journal.folder import StateFolder, sync_folder
from scribe_export.journal.recover import RecoveryReport, interrupted, recover, recovered, set_aside

log = structlog.get_logger()

CHECKED_BYTES = 128 * 2**20
"""Journals up to this size are checked whole at each start; a larger one would not be ready in time, and is checked
by its bodies' sha256s and by SQLite as it is read."""

DAMAGE_MARK = "journal.damaged"


@dataclass(frozen=True, slots=True)
class OpenJournal:
    """A database and the lock it is held under; `recovery` if it had to be recovered just now."""

    folder: StateFolder | None
    database: Database
    recovery: RecoveryReport | None = None

    def close(self) -> None:
        """Close and give the folder up."""
        self.database.close()
        if self.folder:
            self.folder.release()


def open_journal(path: Path, *, quota: int = DEFAULT_QUOTA, clock: Clock | None = None) -> OpenJournal:
    """Open the journal of a state folder.

    Raises `StateOwned` naming the owner, `JournalTooNew`, or `JournalError` for a folder that cannot be trusted.
    """
    folder = StateFolder(path)
    try:
        return OpenJournal(folder, *_sound(path, quota, clock))
    except BaseException:
        folder.release()
        raise


def open_in_memory(*, quota: int = DEFAULT_QUOTA, clock: Clock | None = None) -> OpenJournal:
    """A journal for as long as this process lives: nothing in it is safe, so nothing is acknowledged because of it."""
    return OpenJournal(None, Database(None, quota=quota, clock=clock))


def mark_damaged(path: Path, reason: str) -> None:
    """Leave word for the next start that the journal has to be recovered."""
    mark = path / DAMAGE_MARK
    mark.touch(mode=0o600)
    mark.write_text(reason, encoding="utf-8")


def _sound(path: Path, quota: int, clock: Clock | None) -> tuple[Database, RecoveryReport | None]:
    problem = _problem(path)
    if problem is None:
        try:
            return _tidied(Database(path, quota=quota, clock=clock)), None
        except JournalUnusable as error:
            problem = str(error)
    damaged = set_aside(path)
    database = Database(path, quota=quota, clock=clock)
    report = recover(database, damaged)
    log.error(
        "journal damaged",
        problem=problem,
        kept=str(damaged),
        scans_recovered=report.scans,
        scans_lost="unknown, perhaps all" if report.lost is None else report.lost,
        help="the damaged file is kept; see dlq list for classes corrupt and recovered, and read the sources again",
    )
    (path / DAMAGE_MARK).unlink(missing_ok=True)
    recovered(path)
    return _tidied(database), report


def _problem(path: Path) -> str | None:
    mark = path / DAMAGE_MARK
    if mark.exists():
        return mark.read_text(encoding="utf-8")
    if interrupted(path):
        return "a recovery was interrupted"
    file = path / FILE_NAME
    if not file.exists() or file.stat().st_size > CHECKED_BYTES:
        return None
    try:
        connection = sqlite3.connect(file)
        try:
            found = connection.execute("PRAGMA quick_check(1)").fetchone()[0]
        finally:
            connection.close()
    except sqlite3.DatabaseError as error:
        found = unopened(file, error)
        if not isinstance(found, JournalUnusable):
            raise found from error
        return str(error)
    return None if found == "ok" else str(found)


def _tidied(database: Database) -> Database:
    try:
        _tidy(database)
    except (sqlite3.Error, OSError) as error:
        database.close()
        if isinstance(error, sqlite3.Error):
            raise unopened(database.path, error) from error
        raise JournalError(f"{database.path}: cannot tidy the state folder: {error.strerror}") from error
    return database


def _tidy(database: Database) -> None:
    if database.folder:
        # A process that was killed early may have made these files and never synced their names.
        sync_folder(database.folder)
    rows = database.connection.execute("SELECT blob FROM body WHERE blob IS NOT NULL")
    database.blobs.remove_strays(frozenset(str(row[0]) for row in rows))
    free, pages = (
        database.connection.execute(f"PRAGMA {what}").fetchone()[0] for what in ("freelist_count", "page_count")
    )
    if free * PAGE_SIZE > LARGE_HOLE and free > 7 * (pages - free):
        database.rebuild()
