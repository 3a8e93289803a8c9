"""The local cloud in the foreground, started and stopped as a person would."""

import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml
from support.s3 import s3_client

from scribe_local import servers
from scribe_local.up import BUCKET

_CODE = """
import json, pathlib, sys
from scribe_local.up import up
up(folder=pathlib.Path(sys.argv[1]), **json.loads(sys.argv[2]))
"""


def _up(folder: Path, environment: dict[str, str] | None = None, **options: Any) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", _CODE, str(folder), json.dumps(options)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, **(environment or {})},
    )


def _stop(process: subprocess.Popen[str], which: signal.Signals) -> tuple[str, str]:
    process.send_signal(which)
    rest = process.communicate(timeout=30)
    assert process.returncode == 0
    return rest


def test_its_endpoints_answer_scans_keep_coming_and_sigterm_ends_it(
    tmp_path: Path, ministack: servers.LocalServer
) -> None:
    process = _up(tmp_path, json_output=True, scans=3, rate=20)
    assert process.stdout is not None
    endpoints = json.loads(process.stdout.readline())
    newest = f"{endpoints['scribe']['url']}/scans?limit=1"
    first = httpx.get(newest).json()["scans"][0]["scan_id"]
    assert first >= 3
    while httpx.get(newest).json()["scans"][0]["scan_id"] < first + 3:
        assert process.poll() is None
    client = s3_client(endpoints["aws"]["url"])
    client.put_object(Bucket=endpoints["aws"]["bucket"], Key="kept", Body=b"x")
    out, err = _stop(process, signal.SIGTERM)
    assert out == ""
    assert "stopped" in err
    with pytest.raises(httpx.ConnectError):
        httpx.get(newest)

    again = _up(tmp_path, json_output=True, scans=3, rate=0)
    assert again.stdout is not None
    endpoints = json.loads(again.stdout.readline())
    assert httpx.get(f"{endpoints['scribe']['url']}/scans?limit=1").json()["scans"][0]["scan_id"] >= first + 3
    kept = s3_client(endpoints["aws"]["url"])
    assert kept.get_object(Bucket=BUCKET, Key="kept")["Body"].read() == b"x"
    _stop(again, signal.SIGINT)
    client.close()
    kept.close()


def test_without_ministack_the_config_goes_on_with_files_and_says_what_is_left_out(tmp_path: Path) -> None:
    # A copy of the package, away from the repository's own environments.
    away = tmp_path / "one/two/three"
    shutil.copytree(Path(servers.__file__).parent, away / "scribe_local")
    environment = {
        "PATH": "/nowhere",
        "PYTHONPATH": os.pathsep.join((str(away), os.environ.get("PYTHONPATH", ""))),
        servers.CLOUD_ENVIRONMENT: str(tmp_path),
    }
    process = _up(tmp_path / "state", environment, scans=1, rate=0)
    assert process.stdout is not None
    lines: list[str] = []
    while not lines or "scribe-export status" not in lines[-1]:
        lines.append(process.stdout.readline())
    config = yaml.safe_load("".join(lines))
    assert list(config["destinations"]) == ["files"]
    assert config["connections"]["scribe"]["url"].startswith("http://127.0.0.1:")
    assert "S3               left out: ministack, which stands in for AWS" in "".join(lines)
    _stop(process, signal.SIGINT)
