"""Scans that a pipeline files one by one: what came by its sources."""

import json
from pathlib import Path
from typing import Any

from support.pipeline import until

FILES = {"files": {"type": "file", "directory": "archive", "key": "scans/{scan_id}.json"}}
"""The destination."""


def each_and_lake(records: int) -> dict[str, dict[str, Any]]:
    """Two folders that are exact: a file a scan, and one a batch of so many records at most."""
    return {
        "each": {"type": "file", "directory": "each", "key": "rest/{scan_id}.json", "batch": {"max_records": records}},
        "lake": {
            "type": "file",
            "directory": "lake",
            "key": "rest/{batch_id}.{ext}",
            "batch": {"max_records": records, "max_age": "20ms"},
        },
    }


def all_filed(folder: Path) -> dict[str, Any]:
    """Every scan's document so far, by its id; `folder` is the pipeline's."""
    return {path.stem: json.loads(path.read_bytes()) for path in (folder / "archive" / "scans").glob("*.json")}


def filed(folder: Path, scan_id: int) -> Any:
    """A scan's document, once it is there."""
    path = folder / "archive" / "scans" / f"{scan_id}.json"
    until(path.exists, what=f"filing scan {scan_id}")
    return json.loads(path.read_bytes())
