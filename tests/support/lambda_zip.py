"""The zip of the function, as it is shipped."""

import json
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from scribe_export.errors import ScribeExportError

ROOT = Path(__file__).parents[2]


class BuildFailed(ScribeExportError):
    """What the build said."""


def wheel(folder: Path) -> Path:
    """Of this checkout, by the environment's own tools."""
    done = subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", folder],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
    )
    if done.returncode:
        raise BuildFailed(done.stderr)
    (built,) = folder.glob("*.whl")
    return built


def build(folder: Path, config: Mapping[str, Any], wheel: Path, name: str = "function.zip") -> Path:
    """For the Python that runs the tests."""
    (folder / "config.yaml").write_text(json.dumps(config))
    version = f"{sys.version_info.major}.{sys.version_info.minor}"
    given = {"config": folder / "config.yaml", "wheel": wheel, "python": version, "output": folder / name}
    options = [f"--{option}={value}" for option, value in given.items()]
    command = [sys.executable, str(ROOT / "infra/aws/lambda/build.py"), *options]
    done = subprocess.run(command, capture_output=True, text=True, timeout=100)
    if done.returncode:
        raise BuildFailed(done.stdout + done.stderr)
    return folder / name
