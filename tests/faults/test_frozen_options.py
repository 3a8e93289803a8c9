"""What names and encodes a batch is what the options said when it was sealed."""

import json
import shutil
from pathlib import Path
from typing import Any

import anyio
import pytest
from support.eventually import eventually
from support.pipeline import Pipeline

from scribe_export.exporter import Exporter
from scribe_export.journal.batches import batches

BREAKER = {"timeout": "50ms"}


def archive(key: str, *left_out: str) -> dict[str, Any]:
    fields = {"fields": {"exclude": list(left_out)}} if left_out else {}
    return {"rest": {"type": "file", "directory": "archive", "key": key, "breaker": BREAKER, **fields}}


@pytest.mark.parametrize("key", ["old/{scan_id}.json", "old/{batch_id}.{ext}"], ids=["a scan", "a batch"])
def test_a_batch_is_named_and_encoded_as_it_was_sealed_whatever_the_options_say_by_then(
    tmp_path: Path, key: str
) -> None:
    scan = {"scan_id": 1, "timestamp": "2026-05-06T12:00:00Z", "notes": "n", "operator": "o"}

    async def sealed_and_held() -> None:
        async with Exporter(pipeline.load()) as exporter:
            exporter.flush()
            await exporter.accept([json.dumps(scan | {"scan_id": 0}).encode()], source="test")
            await eventually(lambda: pipeline.status()["rest"].delivered == 1)
            shutil.rmtree(tmp_path / "it" / "archive")
            await exporter.accept([json.dumps(scan).encode()], source="test")
            await eventually(lambda: exporter.lanes["rest"].misconfigured)
            (batch,) = await exporter.store.do(batches)
            assert batch.error

    async def delivered() -> None:
        async with Exporter(pipeline.load()):
            await eventually(lambda: pipeline.status()["rest"].delivered == 2)

    with Pipeline(tmp_path / "it", archive(key, "notes")) as pipeline:
        anyio.run(sealed_and_held)
        pipeline.write(archive(key.replace("old", "new"), "operator"))
        anyio.run(delivered)
    (stored,) = (path for path in (tmp_path / "it" / "archive").rglob("*.json*") if path.is_file())
    assert stored.parent.name == "old"
    assert json.loads(stored.read_text()) == {name: scan[name] for name in ("scan_id", "timestamp", "operator")}
