"""A state folder is private, one process's at a time, and read by releases that know its format."""

import fcntl
import os
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest
from support.journals import body_of, destinations, journalled, new_scan, opened, sealed

from scribe_export.errors import JournalError, JournalFull, JournalTooNew, StateOwned
from scribe_export.journal import blobs, database, schema
from scribe_export.journal.batches import batches, take_note
from scribe_export.journal.bodies import read_body
from scribe_export.journal.database import FILE_NAME, Database
from scribe_export.journal.destinations import forget
from scribe_export.journal.folder import StateFolder
from scribe_export.journal.opening import open_journal
from scribe_export.journal.settle import delivered

NEXT = schema.SCHEMA_VERSION + 1


def test_a_new_folder_and_all_in_it_are_its_owners_alone(tmp_path: Path) -> None:
    folder = tmp_path / "deep" / "state"
    with opened(folder) as db:
        destinations(db, "archive")
        journalled(db, new_scan(1, blob=db.blobs.write(b"{}", new_scan(1).sha256)))
        for path in (folder, *folder.rglob("*")):
            assert path.stat().st_mode & 0o077 == 0, path


def test_a_folder_that_others_can_read_is_made_private(tmp_path: Path) -> None:
    tmp_path.chmod(0o755)
    with opened(tmp_path):
        assert tmp_path.stat().st_mode & 0o777 == 0o700


@pytest.mark.parametrize("mode", [0o770, 0o702])
def test_a_folder_that_others_may_write_to_is_refused_with_what_to_do(tmp_path: Path, mode: int) -> None:
    tmp_path.chmod(mode)
    with pytest.raises(JournalError, match="chmod 700"):
        open_journal(tmp_path)
    assert not (tmp_path / FILE_NAME).exists()


def test_a_folder_that_cannot_be_made_is_an_error_naming_it(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(JournalError, match=r"file/state: cannot make the state folder: Not a directory"):
        open_journal(tmp_path / "file" / "state")


def test_a_second_opening_fails_at_once_naming_the_owner_until_the_first_is_closed(tmp_path: Path) -> None:
    first = open_journal(tmp_path)
    with pytest.raises(StateOwned, match=rf"in use by process {os.getpid()} \("):
        open_journal(tmp_path)
    first.close()
    open_journal(tmp_path).close()


def test_the_lock_of_a_dead_owner_holds_nobody_up(tmp_path: Path) -> None:
    script = "import sys, pathlib, time; from scribe_export.journal.folder import StateFolder\n"
    script += "StateFolder(pathlib.Path(sys.argv[1])); print('held', flush=True); time.sleep(60)"
    with subprocess.Popen([sys.executable, "-c", script, str(tmp_path)], stdout=subprocess.PIPE) as owner:
        assert owner.stdout is not None
        assert owner.stdout.readline() == b"held\n"
        with pytest.raises(StateOwned, match=f"process {owner.pid} "):
            StateFolder(tmp_path)
        owner.kill()
        owner.wait()
    StateFolder(tmp_path).release()


def test_a_link_in_place_of_the_lock_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "owner.lock").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(JournalError, match="cannot open the state folder"):
        open_journal(tmp_path)
    assert not (tmp_path / "elsewhere").exists()


def test_the_folder_is_given_up_when_the_journal_cannot_be_opened(tmp_path: Path) -> None:
    open_journal(tmp_path).close()
    _set_version(tmp_path, 99)
    with pytest.raises(JournalTooNew):
        open_journal(tmp_path)
    handle = os.open(tmp_path / "owner.lock", os.O_RDWR)
    fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    os.close(handle)


def test_a_newer_journal_is_refused_naming_both_versions_and_left_alone(tmp_path: Path) -> None:
    open_journal(tmp_path).close()
    _set_version(tmp_path, 7)
    before = (tmp_path / FILE_NAME).read_bytes()
    with pytest.raises(
        JournalTooNew, match=rf"format 7, this release reads up to {NEXT - 1}; install the release that wrote it"
    ):
        open_journal(tmp_path)
    assert (tmp_path / FILE_NAME).read_bytes() == before


def test_an_older_journal_is_migrated_after_a_backup(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _with_one_scan(tmp_path)
    _of_release(NEXT, monkeypatch, "ALTER TABLE scan ADD COLUMN note TEXT NOT NULL DEFAULT 'none'")
    with opened(tmp_path) as db:
        assert db.connection.execute("SELECT scan_id, note FROM scan").fetchall() == [("1", "none")]
        assert db.connection.execute("PRAGMA user_version").fetchone() == (NEXT,)
    (backup,) = tmp_path.glob(f"journal.db.v{schema.SCHEMA_VERSION}-*")
    assert backup.stat().st_mode & 0o077 == 0
    with closing(sqlite3.connect(backup)) as connection:
        assert connection.execute("PRAGMA user_version").fetchone() == (schema.SCHEMA_VERSION,)
        assert connection.execute("SELECT scan_id FROM scan").fetchall() == [("1",)]


def test_a_journal_of_the_first_release_is_migrated_with_its_open_batches(tmp_path: Path) -> None:
    with opened(tmp_path) as db:
        (archive,) = destinations(db, "archive")
        journalled(db, new_scan(1))
        (batch,) = sealed(db, archive.id)
    with closing(sqlite3.connect(tmp_path / FILE_NAME)) as connection:
        connection.execute("DROP TABLE usage")
        connection.execute("ALTER TABLE destination DROP COLUMN paused")
        connection.execute("ALTER TABLE batch DROP COLUMN note")
        connection.execute("DROP INDEX request_open")
        for column in ("source", "owed", "message", "answer", "reply_to"):
            connection.execute(f"ALTER TABLE request DROP COLUMN {column}")
    _set_version(tmp_path, 1)
    with opened(tmp_path) as db:
        assert batches(db, archive.id) == [batch]
        with db.transaction():
            take_note(db, batch, "stream 7, offset 0")
        assert batches(db)[0].note == "stream 7, offset 0"


def test_a_migration_that_fails_changes_nothing_and_can_be_tried_again_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _with_one_scan(tmp_path)
    with monkeypatch.context() as patch:
        _of_release(NEXT + 1, patch, "ALTER TABLE scan ADD COLUMN note TEXT", "CREATE TABLE scan(already INTEGER)")
        with pytest.raises(JournalError, match="cannot be migrated"):
            open_journal(tmp_path)
    assert not list(tmp_path.glob("*damaged*"))
    with opened(tmp_path) as db:
        assert db.connection.execute("PRAGMA user_version").fetchone() == (schema.SCHEMA_VERSION,)
        assert "note" not in [row[1] for row in db.connection.execute("PRAGMA table_info(scan)")]
    _of_release(NEXT, monkeypatch, "ALTER TABLE scan ADD COLUMN note TEXT")
    with opened(tmp_path) as db:
        assert db.connection.execute("SELECT scan_id, note FROM scan").fetchall() == [("1", None)]


@pytest.mark.parametrize(
    ("code", "error"), [(sqlite3.SQLITE_FULL, JournalFull), (sqlite3.SQLITE_BUSY, JournalError)], ids=["full", "busy"]
)
def test_a_sound_journal_that_cannot_be_opened_now_is_not_taken_for_damaged(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: int, error: type[JournalError]
) -> None:
    def cannot(db: Database) -> None:
        problem = sqlite3.OperationalError("cannot now")
        problem.sqlite_errorcode = code
        raise problem

    _with_one_scan(tmp_path)
    with monkeypatch.context() as patch:
        patch.setattr(Database, "_prepare", cannot)
        with pytest.raises(error, match="cannot now"):
            open_journal(tmp_path)
    assert not list(tmp_path.glob("*damaged*"))
    with opened(tmp_path) as db:
        assert read_body(db, 1) == body_of(1)


def test_a_new_destination_gets_no_bit_that_a_scan_still_holds(tmp_path: Path) -> None:
    with opened(tmp_path) as db:
        gone, slow = destinations(db, "gone", "slow")
        journalled(db, new_scan(1, mask=1 << gone.id | 1 << slow.id))
        (batch,) = sealed(db, gone.id)
        with db.transaction():
            delivered(db, batch, "")
        destinations(db, "slow")
        with db.transaction():
            forget(db, "gone")
            db.connection.execute("UPDATE meta SET value='63' WHERE key='next_bit'")
        _, new = destinations(db, "slow", "new")
        assert new.id not in {gone.id, slow.id}


def test_files_that_no_row_names_are_removed_at_a_start_and_others_kept(tmp_path: Path) -> None:
    with opened(tmp_path) as db:
        destinations(db, "archive")
        kept = db.blobs.write(body_of(1), new_scan(1).sha256)
        journalled(db, new_scan(1, blob=kept))
        stray = db.blobs.write(body_of(1), new_scan(1).sha256)
        assert stray != kept
    with opened(tmp_path) as db:
        assert [f"{path.parent.name}/{path.name}" for path in (tmp_path / "blobs").glob("*/*")] == [kept]
        assert read_body(db, 1) == body_of(1)
        assert db.blob_bytes == len(body_of(1))


def test_a_blob_that_could_not_be_synced_is_not_left_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def failing(handle: int) -> None:
        raise OSError(5, "Input/output error")

    store = blobs.Blobs(tmp_path)
    store.write(b"one", "ab" * 32)
    monkeypatch.setattr(os, "fsync", failing)
    with pytest.raises(OSError, match="Input/output"):
        store.write(b"two", "ab" * 32)
    assert len(list((tmp_path / "blobs").glob("*/*"))) == 1


def _with_one_scan(folder: Path) -> None:
    with opened(folder) as db:
        destinations(db, "archive")
        journalled(db, new_scan(1))


def _set_version(folder: Path, version: int) -> None:
    with closing(sqlite3.connect(folder / FILE_NAME)) as connection:
        connection.execute(f"PRAGMA user_version={version}")


def _of_release(version: int, patch: pytest.MonkeyPatch, *steps: str) -> None:
    """The release that knows `version`, whose migrations are these statements from today's on."""
    patch.setattr(database, "SCHEMA_VERSION", version)
    for before, statement in enumerate(steps, schema.SCHEMA_VERSION):
        patch.setitem(
            schema.MIGRATIONS, before, lambda connection, statement=statement: connection.execute(statement)  # type: ignore[misc]
        )  # fmt: skip


def test_a_folder_of_bodies_that_was_there_before_is_synced_once_by_each_process(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another process may have made it and been killed before its name was on the disk."""
    synced: list[str] = []
    monkeypatch.setattr(blobs, "sync_folder", lambda path: synced.append(path.name))
    (tmp_path / "blobs" / "ab").mkdir(parents=True)
    store = blobs.Blobs(tmp_path)
    for _ in range(2):
        store.write(b"body", "ab" * 32)
    assert synced == ["blobs", "ab", "ab"]
