"""`scribe-export local up`, by its command line."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import httpx
import pytest

from scribe_local import servers

LOCAL = [sys.executable, "-m", "scribe_export", "local"]


def test_the_printed_config_exports_the_scans_that_the_scanner_has(tmp_path: Path, pytestconfig: pytest.Config) -> None:
    os.environ.setdefault(servers.CLOUD_ENVIRONMENT, str(pytestconfig.rootpath / ".venv-cloud"))
    command = [*LOCAL, "up", "--scans", "5", "--rate", "0", "--folder", str(tmp_path / "deep/cloud")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as local:
        assert local.stdout is not None
        lines: list[str] = []
        while not lines or "scribe-export status" not in lines[-1]:
            lines.append(local.stdout.readline())
            assert lines[-1], local.communicate()[1]
        (tmp_path / "export.yaml").write_text("".join(lines))
        run = [sys.executable, "-m", "scribe_export", "run", "--until-idle", "--json", str(tmp_path / "export.yaml")]
        done = subprocess.run(run, capture_output=True, text=True, timeout=90)
        local.send_signal(signal.SIGINT)
        local.communicate(timeout=30)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["destinations"]["files"] == {"delivered": 5, "pending": 0, "dead": 0}
    assert len(list((tmp_path / "archive").rglob("*.json"))) == 5
    assert local.returncode == 0


def test_json_gives_the_endpoints_alone(tmp_path: Path) -> None:
    with subprocess.Popen(
        [*LOCAL, "up", "--json", "--scans", "2", "--rate", "0"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as local:
        assert local.stdout is not None
        endpoints = json.loads(local.stdout.readline())
        assert httpx.get(f"{endpoints['scribe']['url']}/scans").json()["scans"][0]["scan_id"] == 2
        local.send_signal(signal.SIGTERM)
        rest, _ = local.communicate(timeout=30)
    assert (rest, local.returncode) == ("", 0)


def test_a_folder_that_cannot_be_made_is_said_without_a_traceback(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    done = subprocess.run(
        [*LOCAL, "up", "--folder", str(tmp_path / "file/cloud")], capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 1
    assert done.stderr == f"Error: {tmp_path}/file/cloud: Not a directory; name another --folder\n"
