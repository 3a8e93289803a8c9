"""The same id with other content, through the whole pipeline, by what each destination does with it."""

import json
from pathlib import Path

import pytest
from support.pipeline import Pipeline


@pytest.mark.parametrize(
    ("policy", "held", "code"),
    [
        ("dead_letter", {"scan-7.json": "oak"}, 1),
        ("keep", {"scan-7.json": "oak"}, 0),
        ("overwrite", {"scan-7.json": "elm"}, 0),
        ("version", {"scan-7.json": "oak", "scan-7~v": "elm"}, 0),
    ],
)
def test_what_a_folder_holds_after_a_conflict(tmp_path: Path, policy: str, held: dict[str, str], code: int) -> None:
    files = {"type": "file", "directory": "archive", "key": "scans/scan-{scan_id}.json", "on_conflict": policy}
    with Pipeline(tmp_path / "it", {"files": files}) as pipeline:
        for material in ("oak", "elm"):
            path = tmp_path / f"{material}.json"
            path.write_text(json.dumps({"scan_id": 7, "wood": material}))
            assert pipeline.call("send", str(path)).returncode == 0
            ended = pipeline.until_idle()
        assert ended.returncode == code, ended.stderr[-2000:]
    found = {path.name: json.loads(path.read_text())["wood"] for path in (tmp_path / "it/archive/scans").iterdir()}
    assert {name.partition("~v")[0] + ("~v" if "~v" in name else ""): wood for name, wood in found.items()} == held
