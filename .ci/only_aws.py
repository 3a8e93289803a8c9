"""In an environment with ``scribe-export[aws]`` and nothing else: AWS works, and GCP says what to install."""

import importlib.util
import json
import subprocess
import sys
import tempfile
from importlib.metadata import entry_points
from pathlib import Path

PROGRAM = Path(sys.executable).with_name("scribe-export")
AWS = {
    "s3": {"type": "aws_s3", "region": "eu-west-1", "bucket": "scans", "key": "all/{batch_id}.{ext}"},
    "rest": {"type": "file", "directory": "./rest", "key": "all/{scan_id}.json"},
}


def run(command: str, destinations: dict[str, dict[str, str]], *more: str) -> "subprocess.CompletedProcess[str]":
    with tempfile.TemporaryDirectory() as folder:
        config = Path(folder, "export.yaml")
        config.write_text(json.dumps({"destinations": destinations}))
        return subprocess.run(
            [str(PROGRAM), command, str(config), *more],
            check=False,
            input='{"scan_id": 1}',
            capture_output=True,
            text=True,
        )


for package in ("google", "grpc", "redis", "duckdb", "starlette"):
    assert importlib.util.find_spec(package) is None, f"{package} came with [aws]"
for done in (run("check", AWS), run("plan", AWS, "-")):
    assert done.returncode == 0, done.stderr
gcp = [point.name for point in entry_points(group="scribe_export.sinks") if point.name.startswith("gcp_")]
assert gcp, "no sink of GCP is in the wheel"
for name in gcp:
    done = run("check", {"there": {"type": name}})
    assert done.returncode == 2, done
    assert "run: pip install 'scribe-export[gcp]'" in done.stderr, done
print(f"[aws] is enough for AWS; {', '.join(gcp)} say what to install")
