"""The command as a user runs it: a process of its own."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

PROGRAM = Path(sys.executable).with_name("scribe-export")

FILES = """\
journal: {quota: 64MiB, max_record: 4KiB}
destinations:
  archive: {type: file, directory: ./archive, key: "scans/{scan_id}.json"}
"""
"""A config without a source and with one folder."""


@dataclass(frozen=True)
class Ended:
    """How a command ended."""

    code: int
    stdout: str
    stderr: str

    def json(self) -> Any:
        """All of stdout as one JSON document."""
        return json.loads(self.stdout)


def command(folder: Path, *args: str, stdin: str = "", timeout: float = 60) -> Ended:
    """Run ``scribe-export ARGS`` in `folder`; whatever it says, it must not be a traceback."""
    done = subprocess.run(
        [str(PROGRAM), *args],
        cwd=folder,
        input=stdin,
        capture_output=True,
        text=True,
        timeout=timeout,
        env={**os.environ, "HOME": str(folder)},
    )
    ended = Ended(done.returncode, done.stdout, done.stderr)
    assert "Traceback" not in ended.stdout + ended.stderr, ended
    return ended


def wait_until(condition: Callable[[], object], *, within: float = 30.0) -> None:
    """Return once the condition holds; raise TimeoutError after `within` seconds."""
    until = time.monotonic() + within
    while not condition():
        if time.monotonic() > until:
            raise TimeoutError
        time.sleep(0.05)


def write_config(folder: Path, text: str = FILES) -> Path:
    """An ``export.yaml``."""
    path = folder / "export.yaml"
    path.write_text(text, encoding="utf-8")
    return path


def scan(scan_id: int | str, **more: Any) -> str:
    """A small scan, on one line."""
    return json.dumps({"scan_id": scan_id, "timestamp": "2026-03-01T12:00:00Z", **more})
