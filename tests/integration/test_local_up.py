"""The local cloud in the foreground, started and stopped as a person would."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml
from support.s3 import s3_client

from scribe_local import servers
from scribe_local.cloud.s3 import BUCKET

_CODE = """
import json, pathlib, sys
from scribe_local.up import up
up(folder=pathlib.Path(sys.argv[1]), **json.loads(sys.argv[2]))
"""


@contextmanager
def _up(folder: Path, environment: dict[str, str] | None = None, **options: Any) -> Iterator[subprocess.Popen[str]]:
    with subprocess.Popen(
        [sys.executable, "-c", _CODE, str(folder), json.dumps(options)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, **(environment or {})},
    ) as process:
        try:
            yield process
        finally:
            process.kill()


def _stop(process: subprocess.Popen[str], which: signal.Signals) -> tuple[str, str]:
    process.send_signal(which)
    rest = process.communicate(timeout=30)
    assert process.returncode == 0
    return rest


def _line(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    line = process.stdout.readline()
    assert line, "it ended"
    return line


def _newest(scribe_url: str) -> int:
    return int(httpx.get(f"{scribe_url}/scans?limit=1").json()["scans"][0]["scan_id"])


def test_its_endpoints_answer_scans_keep_coming_and_sigterm_ends_it(
    tmp_path: Path, ministack: servers.LocalServer
) -> None:
    with _up(tmp_path, json_output=True, scans=3, rate=20) as process:
        endpoints = json.loads(_line(process))
        scribe = endpoints["scribe"]["url"]
        first = _newest(scribe)
        assert first >= 3
        until = time.monotonic() + 20
        while _newest(scribe) < first + 3:
            assert time.monotonic() < until
        client = s3_client(endpoints["connections"]["aws"]["endpoint_url"])
        client.put_object(Bucket=BUCKET, Key="kept", Body=b"x")
        client.close()
        out, err = _stop(process, signal.SIGTERM)
        assert out == ""
        assert "stopped" in err
        with pytest.raises(httpx.ConnectError):
            _newest(scribe)

    with _up(tmp_path, json_output=True, scans=3, rate=0) as process:
        endpoints = json.loads(_line(process))
        assert _newest(endpoints["scribe"]["url"]) >= first + 3
        client = s3_client(endpoints["connections"]["aws"]["endpoint_url"])
        assert client.get_object(Bucket=BUCKET, Key="kept")["Body"].read() == b"x"
        client.close()
        _stop(process, signal.SIGINT)


def test_without_ministack_the_config_goes_on_with_files_and_says_what_is_left_out(tmp_path: Path) -> None:
    # A copy of the package, away from the repository's own environments.
    away = tmp_path / "one/two/three"
    shutil.copytree(Path(servers.__file__).parent, away / "scribe_local")
    environment = {
        "PATH": "/nowhere",
        "PYTHONPATH": os.pathsep.join((str(away), os.environ.get("PYTHONPATH", ""))),
        servers.CLOUD_ENVIRONMENT: str(tmp_path),
    }
    with _up(tmp_path / "state", environment, scans=1, rate=0) as process:
        lines = [_line(process)]
        while "scribe-export status" not in lines[-1]:
            lines.append(_line(process))
        _stop(process, signal.SIGINT)
    config = yaml.safe_load("".join(lines))
    assert not [name for name, one in config["destinations"].items() if one["type"].startswith("aws_")]
    assert config["connections"]["scribe"]["url"].startswith("http://127.0.0.1:")
    assert "archive          left out: ministack, which stands in for AWS" in "".join(lines)
