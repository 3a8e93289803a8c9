"""The folder that the demo leaves behind: made anew each time, and never somebody else's."""

import fcntl
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from scribe_local.demo.failure import DemoFailed

MARKER = ".made-by-scribe-export-demo"


@contextmanager
def claimed(folder: Path) -> Iterator[Path]:
    """An empty folder held for one demo. One that an earlier demo left is emptied.

    Raises `DemoFailed` for anything else that has the name, and while another demo holds it.
    """
    marker = folder / MARKER
    if folder.is_symlink() or (folder.exists() and not marker.is_file()):
        raise DemoFailed(
            f"{folder.absolute()} is there already and no demo made it: rename it, or run the demo in another folder"
        )
    folder.mkdir(exist_ok=True)
    descriptor = os.open(marker, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise DemoFailed(f"another demo is running in {folder.absolute()}; wait for it, or stop it") from None
        _empty(folder)
        yield folder
    finally:
        os.close(descriptor)


def _empty(folder: Path) -> None:
    for entry in folder.iterdir():
        if entry.name == MARKER:
            continue
        if entry.is_dir() and not entry.is_symlink():
            shutil.rmtree(entry)
        else:
            entry.unlink()
