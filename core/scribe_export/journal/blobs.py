"""Large bodies, as files beside the journal.

A file's name is its sha256 and a token of its own, so that collecting one scan never takes another's. It is written and
synced before the row that names it is committed; what no row names is removed at the next start.
"""

import os
import secrets
from collections.abc import Iterable
from pathlib import Path

from scribe_export.journal.folder import sync_folder

BLOB_THRESHOLD = 256 * 1024
"""Bytes above which a body becomes a file: larger rows make the write-ahead log and its checkpoints heavy."""


class Blobs:
    """The folder ``blobs`` of a state folder."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder / "blobs"
        self._folder.mkdir(mode=0o700, exist_ok=True)
        self._safe: set[Path] = set()
        """The folders of this one whose names this process has seen synced; one found there may not be."""

    def write(self, body: bytes, sha256: str) -> str:
        """Store a body durably; returns the name for its row. Raises OSError."""
        name = f"{sha256[:2]}/{sha256}-{secrets.token_hex(8)}"
        self.put(name, body)
        return name

    def put(self, name: str, body: bytes) -> None:
        """Store a body durably under a name that is not there yet. Raises OSError."""
        path = self._folder / name
        if path.parent not in self._safe:
            path.parent.mkdir(mode=0o700, exist_ok=True)
            sync_folder(self._folder)
            self._safe.add(path.parent)
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        try:
            with os.fdopen(handle, "wb") as file:
                file.write(body)
                file.flush()
                os.fsync(file.fileno())
            sync_folder(path.parent)
        except OSError:
            path.unlink(missing_ok=True)
            raise

    def read(self, name: str) -> bytes:
        """A body by the name in its row; raises OSError."""
        return (self._folder / name).read_bytes()

    def remove(self, names: Iterable[str]) -> list[str]:
        """Forget bodies; those already gone are none of ours. Returns the files that are left for the next start."""
        left = []
        for name in names:
            try:
                (self._folder / name).unlink(missing_ok=True)
            except OSError:
                left.append(name)
        return left

    def remove_strays(self, known: frozenset[str]) -> int:
        """Remove the files that no row names; returns how many."""
        strays = [path for path in self._folder.glob("*/*") if f"{path.parent.name}/{path.name}" not in known]
        for path in strays:
            path.unlink(missing_ok=True)
        return len(strays)
