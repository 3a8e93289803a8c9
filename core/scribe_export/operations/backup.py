"""A copy of the journal, bodies and all, made while the exporter works."""

import shutil
import sqlite3
import uuid
from dataclasses import dataclass
from pathlib import Path

import anyio.to_thread

from scribe_export.errors import ScribeExportError
from scribe_export.exporter import Exporter
from scribe_export.journal.blobs import Blobs
from scribe_export.journal.database import FILE_NAME
from scribe_export.journal.folder import sync_folder
from scribe_export.journal.status import open_read_only


@dataclass(frozen=True, slots=True)
class BackedUp:
    """`scans` whose bodies are in the copy, and its `bytes` on the disk."""

    scans: int
    bytes: int


async def backup(exporter: Exporter, target: Path) -> BackedUp:
    """Copy the journal, as it is at one moment, into a new folder; deliveries go on meanwhile.

    The copy is a state folder: started from it, an exporter delivers what waited then, under names of its own. Raises
    `ScribeExportError` if the folder is there already or cannot be written.
    """
    async with exporter.housekeeper.turn:
        return await anyio.to_thread.run_sync(_copy, exporter.config.state_folder, target)


def _copy(folder: Path, target: Path) -> BackedUp:
    unfinished = target.with_name(f"{target.name}.unfinished")
    if target.resolve().is_relative_to(folder.resolve()):
        # What lies there and is in no row is removed at the next start, or refuses it.
        raise ScribeExportError(f"{target} is in the state folder {folder}; name a folder outside it")
    if target.exists():
        raise ScribeExportError(f"{target} is there already; name a folder that is not")
    try:
        shutil.rmtree(unfinished, ignore_errors=True)
        unfinished.mkdir(mode=0o700, parents=True)
        scans = _copy_rows(folder / FILE_NAME, unfinished / FILE_NAME)
        _copy_blobs(folder, unfinished)
        sync_folder(unfinished)
        unfinished.rename(target)
        sync_folder(target.parent)
    except (OSError, sqlite3.Error) as error:
        shutil.rmtree(unfinished, ignore_errors=True)
        raise ScribeExportError(f"{target}: the journal could not be copied there: {error}") from error
    return BackedUp(scans, sum(path.stat().st_size for path in target.rglob("*") if path.is_file()))


def _copy_rows(source: Path, target: Path) -> int:
    target.touch(mode=0o600)
    old, new = open_read_only(source), sqlite3.connect(target, isolation_level=None)
    try:
        old.backup(new)
        # A batch's name is made of the journal's uuid: two journals must never give one name to other scans.
        new.execute("UPDATE meta SET value=? WHERE key='uuid'", (uuid.uuid4().hex,))
        scans: int = new.execute("SELECT count(*) FROM body").fetchone()[0]
        new.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    finally:
        old.close()
        new.close()
    return scans


def _copy_blobs(folder: Path, target: Path) -> None:
    """Those that the copied rows name; none of them is collected meanwhile."""
    read, blobs = Blobs(folder), Blobs(target)
    rows = sqlite3.connect(target / FILE_NAME)
    try:
        for (name,) in rows.execute("SELECT blob FROM body WHERE blob IS NOT NULL"):
            blobs.put(name, read.read(name))
    finally:
        rows.close()
