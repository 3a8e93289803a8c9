"""The README does what it says: its ``sh`` blocks are run as they stand, in order, in one shell."""

import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from support.missing import missing

from scribe_local import servers
from scribe_local.process import ServerMissing

README = Path(__file__).parents[2] / "README.md"
BLOCK = re.compile(r"^```sh\n(.*?)^```\n(?:```text\n(.*?)^```\n)?", re.MULTILINE | re.DOTALL)
END = "-- end of block --"


def blocks() -> list[tuple[str, list[str]]]:
    """The commands of each block, and the lines that are shown for it."""
    return [
        (commands, [line for line in shown.splitlines() if line.strip()])
        for commands, shown in BLOCK.findall(README.read_text(encoding="utf-8"))
    ]


def shows(output: str, line: str) -> bool:
    """Whether some line of the output is as shown: spaces do not count, and … stands for anything."""
    pattern = r"\s+".join(
        ".*".join(re.escape(part) for part in word.split("…")) if word != "…" else ".*" for word in line.split()
    )
    return any(re.fullmatch(pattern, one.strip()) for one in output.splitlines())


def environment(home: Path, cloud: Path) -> dict[str, str]:
    """What a new user's shell has, and the command on its PATH."""
    return {
        "HOME": str(home),
        "PATH": f"{Path(sys.executable).parent}:/usr/local/bin:/usr/bin:/bin",
        "LANG": "C.UTF-8",
        "PYTHONPATH": os.environ.get("PYTHONPATH", ""),
        servers.CLOUD_ENVIRONMENT: str(cloud),
    }


def test_the_readme_leads_from_nothing_to_scans_in_every_archive(
    tmp_path: Path, pytestconfig: pytest.Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    # An installed wheel does not lie beside the repository's environments.
    monkeypatch.setenv(
        servers.CLOUD_ENVIRONMENT,
        os.environ.get(servers.CLOUD_ENVIRONMENT, str(pytestconfig.rootpath / ".venv-cloud")),
    )
    try:
        cloud = Path(servers.find_ministack()).parents[1]
    except ServerMissing as error:
        missing(error)
    home, folder = tmp_path / "home", tmp_path / "scans"
    home.mkdir()
    folder.mkdir()
    script = "set -e\n" + "".join(f"{commands}echo '{END}'\n" for commands, _ in blocks())
    shell = subprocess.Popen(
        ["bash", "-c", script],
        cwd=folder,
        env=environment(home, cloud),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    try:
        stdout, stderr = shell.communicate(timeout=100)
    except BaseException:
        os.killpg(shell.pid, signal.SIGKILL)
        raise
    assert shell.returncode == 0, stdout + stderr
    outputs = stdout.split(END)
    for (commands, shown), output in zip(blocks(), outputs, strict=False):
        for line in shown:
            assert shows(output, line), (
                f"the README shows {line!r} for:\n{commands}\nand there came:\n{output}\n{stderr}"
            )
    for name in ("files", "archive"):
        assert re.search(rf"^{name} +0 +2\d +0 +closed", outputs[-2], re.MULTILINE), outputs[-2] + stderr
    assert len(list((folder / "archive" / "scans").glob("20??-*/*.json"))) >= 20
    assert not list(home.iterdir())


def test_everything_in_the_readme_that_is_not_run_is_marked_so() -> None:
    languages = set(re.findall(r"^```(\w*)$", README.read_text(encoding="utf-8"), re.MULTILINE))
    assert languages == {"sh", "text", "console", "yaml", ""}
    assert len(blocks()) >= 5


def test_every_link_in_the_documentation_leads_somewhere() -> None:
    root = README.parent
    for page in [*root.glob("*.md"), *(root / "docs").rglob("*.md"), *(root / "infra").rglob("*.md")]:
        for target in re.findall(r"\]\((?!https?://|#)([^)#]+)(?:#[^)]*)?\)", page.read_text(encoding="utf-8")):
            assert (page.parent / target).exists(), f"{page.relative_to(root)} links to {target}, which is not there"
