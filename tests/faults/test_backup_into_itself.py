"""A copy of the journal in the journal's own folder would be no copy, and could keep it from opening."""

from pathlib import Path

import anyio
import pytest
from support.staged import staged

from scribe_export.errors import ScribeExportError
from scribe_export.operations.backup import backup


@pytest.mark.parametrize("place", ["copy", "blobs/ab", "blobs/ab/copy", "sub/../blobs/ab"])
def test_it_is_refused_and_the_journal_opens_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, place: str) -> None:
    async def scenario() -> None:
        async with staged(tmp_path, monkeypatch, {"a": {}}) as stage:
            await stage.give(1, 3)
            state = stage.exporter.config.state_folder
            before = sorted(state.rglob("*"))
            with pytest.raises(ScribeExportError, match=r"is in the state folder .*; name a folder outside it"):
                await backup(stage.exporter, state / place)
            assert sorted(state.rglob("*")) == before
        async with staged(tmp_path, monkeypatch, {"a": {}}) as stage:
            assert (await backup(stage.exporter, tmp_path / "copy")).scans <= 3

    anyio.run(scenario)
