"""Small file systems of their own, where root may mount them."""

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from support.missing import missing


@contextmanager
def tmpfs(place: Path, size: str = "1m") -> Iterator[Path]:
    """A file system of `size`; where none can be mounted the test skips, and fails in CI."""
    place.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(place)]
    if subprocess.run(mount, capture_output=True).returncode:
        missing("a tmpfs cannot be mounted here: needs root")
    try:
        yield place
    finally:
        subprocess.run(["umount", str(place)], check=True)


def make_read_only(place: Path) -> None:
    subprocess.run(["mount", "-o", "remount,ro", str(place)], check=True)
