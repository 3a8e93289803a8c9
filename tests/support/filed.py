"""Scans that a pipeline files one by one: what came by its sources."""

import json
from pathlib import Path
from typing import Any

from support.pipeline import until

FILES = {"files": {"type": "file", "directory": "archive", "key": "scans/{scan_id}.json"}}
"""The destination."""


def all_filed(folder: Path) -> dict[str, Any]:
    """Every scan's document so far, by its id; `folder` is the pipeline's."""
    return {path.stem: json.loads(path.read_bytes()) for path in (folder / "archive" / "scans").glob("*.json")}


def filed(folder: Path, scan_id: int) -> Any:
    """A scan's document, once it is there."""
    path = folder / "archive" / "scans" / f"{scan_id}.json"
    until(path.exists, what=f"filing scan {scan_id}")
    return json.loads(path.read_bytes())
