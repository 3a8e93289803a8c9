"""What lies in the state folder is its owner's alone, whatever the umask, while the exporter works and after it."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.command_line import scan
from support.pipeline import Pipeline, until

from scribe_export.control import SOCKET


@pytest.fixture
def _open_umask() -> Iterator[None]:
    before = os.umask(0)
    yield
    os.umask(before)


def readable(folder: Path) -> list[str]:
    """What others than the owner may touch."""
    return [str(path.relative_to(folder)) for path in [folder, *folder.rglob("*")] if path.stat().st_mode & 0o077]


@pytest.mark.usefixtures("_open_umask")
def test_every_file_of_the_state_folder_is_its_owners_alone(tmp_path: Path) -> None:
    kept = {"type": "file", "directory": str(tmp_path / "missing" / "kept"), "key": "k/{scan_id}.json"}
    with Pipeline(tmp_path / "it", {"kept": kept}) as pipeline:
        bodies = tmp_path / "scans.jsonl"
        bodies.write_text(f"{scan(1)}\n{scan(2, padding='x' * 300_000)}\n")
        run = pipeline.start()
        run.ready()
        until((pipeline.state / SOCKET).exists, what="the control socket")
        assert pipeline.call("send", str(bodies)).returncode == 0
        names = {path.name for path in pipeline.state.iterdir()}
        assert names >= {"journal.db", "journal.db-wal", "owner.lock", "ballast", "blobs", SOCKET}
        assert list((pipeline.state / "blobs").glob("*/*"))
        assert readable(pipeline.state) == []
        run.terminate()
        assert run.ended() == 0
        raw = bytearray(pipeline.journal.read_bytes())
        raw[:100] = b"\0" * 100
        pipeline.journal.write_bytes(raw)
        assert pipeline.call("send", str(bodies)).returncode == 0
        assert list(pipeline.state.glob("journal.db.damaged-*"))
        assert readable(pipeline.state) == []
