"""The folder that the demo makes and leaves behind."""

from pathlib import Path

import pytest

from scribe_local.demo.failure import DemoFailed
from scribe_local.demo.folder import MARKER, claimed


def test_what_an_earlier_demo_left_is_replaced(tmp_path: Path) -> None:
    folder = tmp_path / "demo"
    with claimed(folder):
        (folder / "state").mkdir()
        (folder / "state/journal").write_text("old")
        (folder / "link").symlink_to(tmp_path)
    with claimed(folder):
        assert [path.name for path in folder.iterdir()] == [MARKER]
    assert tmp_path.exists()


def test_a_running_demo_is_not_disturbed(tmp_path: Path) -> None:
    folder = tmp_path / "demo"
    with claimed(folder):
        (folder / "export.yaml").write_text("mine")
        with pytest.raises(DemoFailed, match="another demo is running in"), claimed(folder):
            pass
        assert (folder / "export.yaml").read_text() == "mine"


@pytest.mark.parametrize("kind", ["folder", "file", "link"])
def test_what_no_demo_made_is_refused(tmp_path: Path, kind: str) -> None:
    folder = tmp_path / "demo"
    if kind == "folder":
        folder.mkdir()
    elif kind == "file":
        folder.write_text("x")
    else:
        with claimed(tmp_path / "elsewhere"):
            folder.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(DemoFailed, match="is there already and no demo made it"), claimed(folder):
        pass
