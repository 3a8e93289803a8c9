"""Folders in memory: for files that have to outlive a kill and not the machine, where a sync need not wait for a disk."""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

MEMORY = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None
"""Where a folder costs no disk, on Linux."""
_ROOM = 256 * 2**20


@contextmanager
def folder_in_memory() -> Iterator[Path]:
    """A folder that goes in the end; on disk where there is no such memory, or little of it, as in some containers."""
    roomy = MEMORY is not None and shutil.disk_usage(MEMORY).free > _ROOM
    with TemporaryDirectory(prefix="scribe-", dir=MEMORY if roomy else None) as name:
        yield Path(name)
