"""Large bodies as files: on the disk under their names before a row can name them."""

import os
from pathlib import Path

import pytest

from scribe_export.journal.blobs import Blobs

ONE, OTHER = "ab" * 32, "ab" + "cd" * 31


def test_a_body_and_its_name_are_synced_before_its_row_can_name_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    synced: list[str] = []
    real = os.fsync

    def fsync(handle: int) -> None:
        real(handle)
        path = Path(f"/proc/self/fd/{handle}").readlink().relative_to(tmp_path)
        synced.append(f"file of {path.stat().st_size}" if path.is_file() else str(path))

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(os, "fsync", fsync)
    blobs = Blobs(tmp_path)

    blobs.write(b"one", ONE)
    assert synced == ["blobs", "file of 3", "blobs/ab"]
    synced.clear()
    blobs.write(b"other", OTHER)
    assert synced == ["file of 5", "blobs/ab"]
