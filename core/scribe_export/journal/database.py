"""The journal's one connection, and what every part of the ledger shares.

SQLite in WAL mode with ``synchronous=FULL``: a commit that returned is on the disk (https://sqlite.org/wal.html). Only
one connection ever writes or checkpoints, which also keeps clear of SQLite's WAL-reset race
(https://sqlite.org/wal.html#walresetbug).
"""

import contextlib
import secrets
import shutil
import sqlite3
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

from scribe_export.clock import Clock, SystemClock
from scribe_export.errors import JournalError, JournalFull, JournalUnusable
from scribe_export.journal.blobs import Blobs
from scribe_export.journal.schema import APPLICATION_ID, BLOB_BYTES, DDL, MIGRATIONS, SCHEMA_VERSION, too_new
from scribe_export.journal.tally import Tally

LEAST_ROOM = 2**20
"""Free bytes below which a disk is called full."""
LARGE_HOLE = 256 * 2**20
"""Free pages that are worth giving back at a start; smaller holes are filled by the scans to come."""
PAGE_SIZE = 16384  # three scans of 5 KB share a page; at 4096 each would spill into an overflow page of its own
CHECKPOINT_PAGES = 1000
SYNCHRONOUS = "FULL"
DEFAULT_QUOTA = 10 * 2**30
FILE_NAME = "journal.db"
IN_MEMORY = ":memory:"


class Database:
    """An open journal. Use it from one thread at a time, inside `transaction` or through the store.

    `quota` is bytes that scans may take, files beside the journal included; beyond it a reserve is left for settling.
    Without a folder it lies in memory and ends with the process.
    """

    def __init__(self, folder: Path | None, *, quota: int = DEFAULT_QUOTA, clock: Clock | None = None) -> None:
        self.folder = folder
        self.path = folder / FILE_NAME if folder else Path(IN_MEMORY)
        self.quota = quota
        self.clock = clock or SystemClock()
        self._blobs = Blobs(folder) if folder else None
        self.after_commit: list[Callable[[], object]] = []
        self.released: list[int] = []
        """Scans that an exception or a divided batch has let go of: the collector looks at them once more."""
        self.rerouted = 0
        """How often scans that were not sealed yet were taken from a destination."""
        self.counted: dict[tuple[str, str], frozenset[str]] = {}
        """By destination and day, the units that have a row in `usage`."""
        self.tally = Tally()
        self.blob_bytes = 0
        self.rebuilding = False
        self.connection = _connect(self.path) if folder else _connect_in_memory()
        try:
            self._prepare()
            self.uuid = self.meta("uuid")
            self.blob_bytes = self._blob_bytes()
        except sqlite3.DatabaseError as error:
            self.connection.close()
            raise unopened(self.path, error) from error
        except JournalError as error:
            self.connection.close()
            if isinstance(error, JournalUnusable) and isinstance(error.__cause__, sqlite3.Error):
                # While it is opened, a call that failed is no reason to take the journal for damaged.
                raise unopened(self.path, error.__cause__) from error
            raise

    @property
    def blobs(self) -> Blobs:
        """The files of large bodies; in memory there are none."""
        assert self._blobs is not None
        return self._blobs

    def _prepare(self) -> None:
        run = self.connection.execute
        if run("PRAGMA journal_mode=WAL").fetchone()[0] != "wal" and self.folder:
            raise JournalError(f"{self.path}: this filesystem cannot hold a write-ahead log; use a local disk")
        run(f"PRAGMA synchronous={SYNCHRONOUS}")
        run("PRAGMA fullfsync=ON")
        run("PRAGMA trusted_schema=OFF")
        run("PRAGMA secure_delete=OFF")
        run("PRAGMA temp_store=MEMORY")  # pages of scans stay out of /var/tmp, which may be full or read-only
        run("PRAGMA cell_size_check=ON")
        run(f"PRAGMA wal_autocheckpoint={CHECKPOINT_PAGES}")
        run(f"PRAGMA journal_size_limit={CHECKPOINT_PAGES * PAGE_SIZE}")
        reserve = max(64 * 2**20, self.quota // 4)
        run(f"PRAGMA max_page_count={(self.quota + reserve) // PAGE_SIZE}")
        version = run("PRAGMA user_version").fetchone()[0]
        if version > SCHEMA_VERSION:
            raise too_new(self.path, version)
        if version == 0:
            self._create()
        elif version < SCHEMA_VERSION:
            self._migrate(version)

    def _create(self) -> None:
        with self.transaction():
            for statement in DDL.split(";\n"):
                if statement.strip():
                    self.connection.execute(statement)
            self.connection.execute("INSERT INTO meta VALUES('uuid', ?)", (uuid.uuid4().hex,))
            self.connection.execute("INSERT INTO meta VALUES('created', ?)", (repr(self.clock.now()),))
            self.connection.execute(f"PRAGMA user_version={SCHEMA_VERSION}")
            self.connection.execute(f"PRAGMA application_id={APPLICATION_ID}")

    def _migrate(self, version: int) -> None:
        backup = self.path.with_name(f"{FILE_NAME}.v{version}-{time.strftime('%Y%m%dT%H%M%S')}-{secrets.token_hex(4)}")
        backup.touch(mode=0o600)
        self.connection.execute("VACUUM INTO ?", (str(backup),))
        try:
            with self.transaction():
                for step in range(version, SCHEMA_VERSION):
                    MIGRATIONS[step](self.connection)
                self.connection.execute(f"PRAGMA user_version={SCHEMA_VERSION}")
        except sqlite3.OperationalError as error:
            raise JournalError(
                f"{self.path}: cannot be migrated from format {version} to {SCHEMA_VERSION}: {error}; "
                f"it is unchanged, and {backup.name} is a copy of it"
            ) from error

    @contextlib.contextmanager
    def transaction(self) -> Iterator[None]:
        """All of the body's changes, committed when it ends, or none of them when it raises."""
        self.begin()
        try:
            yield
        except BaseException:
            self.rollback()
            raise
        self.commit()

    def begin(self) -> None:
        """Start a transaction; raises `JournalFull` or `JournalUnusable`."""
        try:
            self.connection.execute("BEGIN IMMEDIATE")
        except sqlite3.Error as error:
            raise classified(error) from error

    def commit(self) -> None:
        """End a transaction durably.

        Raises `JournalFull` if there was no room: then nothing was committed, because the write-ahead log's last frame
        could not be written. Any other failure leaves the outcome unknown and raises `JournalUnusable`.
        """
        try:
            self.connection.execute("COMMIT")
        except sqlite3.Error as error:
            self.rollback()
            if isinstance(classified(error), JournalFull):
                raise JournalFull(str(error)) from error
            raise JournalUnusable(f"{self.path}: the outcome of a commit is unknown: {error}") from error
        actions, self.after_commit = self.after_commit, []
        for action in actions:
            action()

    def rollback(self) -> None:
        """Undo a transaction; safe if SQLite already has."""
        self.after_commit.clear()
        if self.connection.in_transaction:
            with contextlib.suppress(sqlite3.Error):
                self.connection.execute("ROLLBACK")
        self.blob_bytes = self._blob_bytes() if self.blob_bytes else 0

    def rebuild(self) -> None:
        """Make the file anew from its rows, outside a transaction: it takes long, and `rebuilding` is True meanwhile.

        Raises sqlite3.Error; then the file is as it was.
        """
        run = self.connection.execute
        size = run("PRAGMA page_count").fetchone()[0] * PAGE_SIZE
        self.rebuilding = True
        try:
            if size > LARGE_HOLE:
                run("PRAGMA temp_store=FILE")  # a copy of all its rows would not fit in memory
            run("VACUUM")
        finally:
            run("PRAGMA temp_store=MEMORY")
            self.rebuilding = False

    def meta(self, key: str) -> str:
        """One of the journal's own facts; empty if unset."""
        return meta_of(self.connection, key)

    def count(self, key: str, amount: int) -> None:
        """Raise one of the journal's own counters."""
        self.connection.execute(
            "INSERT INTO meta VALUES(?1, ?2) ON CONFLICT(key) DO UPDATE SET value = CAST(value AS INTEGER) + ?2",
            (key, amount),
        )

    def used(self) -> int:
        """Bytes that scans and their records take, without free pages."""
        pages = self.connection.execute("PRAGMA page_count").fetchone()[0]
        free = self.connection.execute("PRAGMA freelist_count").fetchone()[0]
        return int(pages - free) * PAGE_SIZE + self.blob_bytes

    def full(self) -> str:
        """Why nothing more can be taken in; empty if it can."""
        if self.used() >= self.quota:
            return "the journal's quota is used up"
        return "the disk is full" if self.folder and room(self.folder) < LEAST_ROOM else ""

    def _blob_bytes(self) -> int:
        return int(self.connection.execute(BLOB_BYTES).fetchone()[0])

    def close(self) -> None:
        """Close; the write-ahead log is folded into the file. Safe twice."""
        self.connection.close()


def meta_of(connection: sqlite3.Connection, key: str) -> str:
    """As `Database.meta`, of a connection that only reads."""
    row = connection.execute("SELECT value FROM meta WHERE key=?", (key,)).fetchone()
    return str(row[0]) if row else ""


def _connect(path: Path) -> sqlite3.Connection:
    new = not path.exists()
    try:
        path.touch(mode=0o600)
        connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False, cached_statements=256)
        if new:
            connection.execute(f"PRAGMA page_size={PAGE_SIZE}")
    except (sqlite3.Error, OSError) as error:
        raise JournalError(f"{path}: cannot open the journal: {error}") from error
    return connection


def _connect_in_memory() -> sqlite3.Connection:
    return sqlite3.connect(IN_MEMORY, isolation_level=None, check_same_thread=False, cached_statements=256)


def classified(error: sqlite3.Error) -> JournalError:
    """What an error of SQLite means for the journal (https://sqlite.org/rescode.html)."""
    code = getattr(error, "sqlite_errorcode", 0) & 0xFF
    if code == sqlite3.SQLITE_FULL:
        return JournalFull(str(error))
    if code in {sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB}:
        return damaged(error)
    return JournalUnusable(f"the journal cannot be written: {error}")


def damaged(error: sqlite3.Error) -> JournalUnusable:
    """The file is not what was written to it."""
    return JournalUnusable(f"the journal is damaged: {error}")


def unopened(path: Path, error: sqlite3.Error) -> JournalError:
    """What an error at the opening means: only content that is not a journal's is damage.

    On a full disk, for one, SQLite cannot make its shared memory and calls that an I/O error
    (https://sqlite.org/rescode.html#ioerr_shmsize).
    """
    code = getattr(error, "sqlite_errorcode", 0) & 0xFF
    if code in {sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_ERROR}:
        return damaged(error)
    if code == sqlite3.SQLITE_FULL or room(path.parent) < LEAST_ROOM:
        return JournalFull(f"{path}: no room on the disk to open the journal: {error}; nothing in it was touched")
    return JournalError(f"{path}: cannot open the journal now: {error}; nothing in it was touched")


def room(folder: Path) -> int:
    """Free bytes of the disk that holds `folder`."""
    return shutil.disk_usage(folder).free
