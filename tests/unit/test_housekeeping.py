"""What the journal does for itself."""

import json
from pathlib import Path

import anyio
from support.pipeline import Pipeline

from scribe_export.exporter import Exporter


def test_an_exporter_that_is_soon_done_forgets_history_too(tmp_path: Path) -> None:
    kept = {"type": "file", "directory": "kept", "key": "all/{scan_id}.json"}
    made = Pipeline(tmp_path / "it", {"kept": kept}, journal={"quota": "1GiB", "history": "1ms"})

    async def run(*scan_ids: int) -> list[tuple[str]]:
        async with Exporter(made.load(), once=True) as exporter:
            if scan_ids:
                await exporter.accept([json.dumps({"scan_id": one}).encode() for one in scan_ids], source="test")
            assert await exporter.until_idle(20)
        return made.query("SELECT scan_id FROM scan ORDER BY seq")

    assert anyio.run(run, 1, 2, 3) == [("1",), ("2",), ("3",)]
    assert anyio.run(run) == [("3",)], "the newest stays, so that numbers are not used again"
