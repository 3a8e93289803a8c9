"""The state folder: private, on a local disk, and one process's at a time."""

import contextlib
import errno
import fcntl
import os
import stat
import sys
from pathlib import Path

from scribe_export.errors import JournalError, StateOwned
from scribe_export.filesystem import network_filesystem


class StateFolder:
    """Made if missing (0700) and locked for this process; `release` or the process's end gives it up.

    Raises `StateOwned` naming the owner, or `JournalError` for a folder that cannot be trusted with scans.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            _make(path)
            mode = path.stat()
        except OSError as error:
            raise JournalError(f"{path}: cannot make the state folder: {error.strerror}") from None
        if mode.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
            raise JournalError(f"{path}: others may write to the state folder; run: chmod 700 {path}")
        if mode.st_mode & 0o077:
            path.chmod(0o700)
        if kind := network_filesystem(path):
            raise JournalError(f"{path}: lies on {kind}, where SQLite's locks do not hold; use a local disk")
        self._lock = self._acquire()

    def _acquire(self) -> int:
        try:
            handle = os.open(self.path / "owner.lock", os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise JournalError(f"{self.path}: cannot open the state folder: {error.strerror}") from None
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            owner = os.pread(handle, 200, 0).decode("utf-8", "replace").strip()
            os.close(handle)
            if error.errno in {errno.EWOULDBLOCK, errno.EACCES}:
                raise StateOwned(f"{self.path}: in use by {owner or 'another process'}") from None
            raise JournalError(f"{self.path}: cannot lock the state folder: {error.strerror}") from None
        command = " ".join(Path(word).name for word in sys.argv[:2])
        with contextlib.suppress(OSError):  # on a full disk the lock holds without its owner's name
            os.ftruncate(handle, 0)
            os.pwrite(handle, f"process {os.getpid()} ({command})\n".encode(), 0)
        return handle

    @property
    def lost(self) -> bool:
        """Whether the folder, or its lock, is no longer the one that was locked."""
        try:
            there, ours = (self.path / "owner.lock").stat(), os.fstat(self._lock)
        except OSError:
            return True
        return (there.st_dev, there.st_ino) != (ours.st_dev, ours.st_ino)

    def release(self) -> None:
        """Give the folder up; safe twice."""
        if self._lock >= 0:
            os.close(self._lock)
            self._lock = -1


def _make(path: Path) -> None:
    """Make a folder and those above it, each durably: a power cut must not take the journal's name along."""
    made = [folder for folder in (path, *path.parents) if not folder.exists()]
    path.mkdir(mode=0o700, parents=True, exist_ok=True)
    for folder in made:
        sync_folder(folder.parent)


def sync_folder(path: Path) -> None:
    """Make a new name in a folder durable."""
    handle = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
