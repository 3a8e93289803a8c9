"""Every guarantee names a test that there is."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "guarantees.md"
ROWS = [
    line
    for line in PAGE.read_text("utf-8").splitlines()
    if line.startswith("| ") and not line.startswith(("| promise", "| destination |", "| not promised"))
]
WITHOUT_A_TEST = ("That a destination's copy stays",)
"""Nothing of ours could show it."""


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row[2:60])
def test_every_row_leads_to_a_test_that_exists(row: str) -> None:
    links = re.findall(r"\]\(([^)#]+)(?:#(test_\w+))?\)", row)
    assert links or any(word in row for word in WITHOUT_A_TEST)
    for target, name in links:
        path = PAGE.parent / target
        assert path.exists(), target
        if name:
            assert re.search(rf"^(async )?def {name}\(", path.read_text("utf-8"), re.MULTILINE), f"{target}: no {name}"


def test_every_destination_has_its_row() -> None:
    text = PAGE.read_text("utf-8")
    pages = [page.stem for page in (ROOT / "docs" / "connectors").glob("*.md")]
    for name in set(pages) - {"parquet", "scribe_api", "scribe_websocket"}:
        assert re.search(rf"^\| `{name}`", text, re.MULTILINE), (
            f"{name}: a source, or a destination without a guarantee"
        )
