"""Disk space held back, given up when the disk is really full, so that what was delivered can still be settled."""

import contextlib
import os
import shutil
from pathlib import Path

BALLAST_BYTES = 24 * 2**20
"""More than the write-ahead log grows to before its checkpoint, which settling needs room for."""


class Ballast:
    """One preallocated file. It never fails: on a disk too full for it there is simply none yet."""

    def __init__(self, folder: Path, size: int = BALLAST_BYTES) -> None:
        self._path = folder / "ballast"
        self._size = size
        self.held = self._path.exists()
        """Whether there is something to release."""
        self.restore()

    def release(self) -> bool:
        """Give the space up; False if it was given up before."""
        if not self.held:
            return False
        with contextlib.suppress(OSError):
            self._path.unlink()
            self.held = False
        return not self.held

    def restore(self) -> None:
        """Take the space again once the disk has twice of it."""
        if self.held or shutil.disk_usage(self._path.parent).free < 2 * self._size:
            return
        try:
            handle = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        except OSError:
            return
        try:
            if hasattr(os, "posix_fallocate"):
                os.posix_fallocate(handle, 0, self._size)
            else:
                os.write(handle, b"\0" * self._size)
            self.held = True
        except OSError:
            self._path.unlink(missing_ok=True)
        finally:
            os.close(handle)
