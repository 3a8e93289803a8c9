"""The documentation says what the program does.

``REGOLD=1 pytest tests/unit/test_docs.py`` writes the tables of options anew; read the difference before committing it.
"""

import os
import re
from pathlib import Path

import pytest
from support.option_pages import MARKED, with_tables

from scribe_export import config, registry

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
YAML = [
    pytest.param(block, id=f"{page.stem}-{number}")
    for page in PAGES
    for number, block in enumerate(
        re.findall(r"^```yaml\n(.*?)^```$", page.read_text("utf-8"), re.MULTILINE | re.DOTALL)
    )
]


@pytest.mark.parametrize(
    "page", [page for page in PAGES if MARKED.search(page.read_text("utf-8"))], ids=lambda page: page.stem
)
def test_every_table_of_options_is_that_of_the_models(page: Path) -> None:
    text = page.read_text("utf-8")
    fresh = with_tables(text)
    if os.environ.get("REGOLD"):
        page.write_text(fresh, "utf-8")
        text = fresh
    assert text == fresh


@pytest.mark.parametrize("block", YAML)
def test_every_config_in_the_documentation_is_right(block: str, tmp_path: Path) -> None:
    (tmp_path / "secrets").mkdir()
    (tmp_path / "secrets" / "scribe").write_text("key")
    (tmp_path / "export.yaml").write_text(block)
    assert config.load(tmp_path / "export.yaml", environ={"SCRIBE_API_KEY": "key", "ALERT_TOKEN": "key"}).destinations


def test_every_connector_has_its_page() -> None:
    for listed in registry.connectors():
        if listed.origin == "scribe-export":
            page = (ROOT / "docs" / "connectors" / f"{listed.name}.md").read_text("utf-8")
            assert f"<!-- options: {listed.kind} {listed.name} -->" in page


def test_every_decision_is_short_and_numbered_in_order() -> None:
    pages = sorted((ROOT / "docs" / "decisions").glob("*.md"))
    assert [int(page.name[:4]) for page in pages] == list(range(1, len(pages) + 1))
    for page in pages:
        assert len(page.read_text("utf-8").splitlines()) <= 30
