"""The programs that scribe-export is measured beside: how each is run, and what it says of itself.

dlt and the Singer targets pin libraries that no two of them can share, so each has an environment of its own under
`.venv-bench`, which `make bench` makes.
"""

import json
import os
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from benchmarks.measure import Run

ENVIRONMENTS = Path(os.environ.get("BENCH_ENV", ".venv-bench")).absolute()
_DLT = Path(__file__).with_name("dlt_load.py")
# Their environments must not see ours; none of them is to report home.
_ALONE = {"PYTHONPATH": "", "RUNTIME__DLTHUB_TELEMETRY": "false"}


@dataclass(frozen=True, slots=True)
class Rival:
    """`package` is installed in the environment of that name."""

    environment: str
    package: str

    @property
    def version(self) -> str:
        """That of the package; raises SystemExit if there is none."""
        python = ENVIRONMENTS / self.environment / "bin" / "python"
        if not python.exists():
            raise SystemExit(f"{python} is missing: run `make bench`, which installs it")
        code = f"import importlib.metadata as m; print(m.version({self.package!r}))"
        done = subprocess.run([python, "-c", code], check=True, capture_output=True, text=True)
        return f"{self.package} {done.stdout.strip()}"


DLT = Rival("dlt", "dlt")
SINGER = Rival("singer", "target-jsonl")
SINGER_S3 = Rival("singer-s3", "plinxore-target-s3")


def dlt(scans: Path, destination: str, work: Path, *, gzip: bool = True, unnest: bool = False, s3: str = "") -> Run:
    """A load of JSON lines in a folder to a URL. `work` keeps what dlt knows of it; `s3` is an s3:// URL's endpoint."""
    settings: dict[str, str] = {"DATA_WRITER__DISABLE_COMPRESSION": "false" if gzip else "true"}
    if s3:
        prefix = "DESTINATION__FILESYSTEM__CREDENTIALS__"
        settings |= {prefix + "AWS_ACCESS_KEY_ID": "test", prefix + "AWS_SECRET_ACCESS_KEY": "test"}
        settings |= {prefix + "ENDPOINT_URL": s3, prefix + "REGION_NAME": "us-east-1"}
    command = [str(ENVIRONMENTS / "dlt/bin/python"), str(_DLT), str(scans), destination, str(work)]
    return Run(command + (["unnest"] if unnest else []), environment=_ALONE | settings)


def singer(messages: Path, directory: Path) -> Run:
    """target-jsonl, reading from its standard input."""
    config = _written(directory.with_suffix(".config.json"), {"destination_path": str(directory)})
    return Run([str(ENVIRONMENTS / "singer/bin/target-jsonl"), "--config", str(config)], messages, _ALONE)


def singer_s3(messages: Path, bucket: str, url: str, work: Path, *, gzip: bool = True) -> Run:
    """plinxore-target-s3, reading from its standard input."""
    aws = {"aws_access_key_id": "test", "aws_secret_access_key": "test", "aws_region": "us-east-1"}
    settings = {
        "format": {"format_type": "jsonl"},
        "compression": "gzip" if gzip else "none",
        "cloud_provider": {
            "cloud_provider_type": "aws",
            "aws": {**aws, "aws_bucket": bucket, "aws_endpoint_override": url},
        },
        "prefix": "singer",
    }
    config = _written(work / "singer.json", settings)
    return Run([str(ENVIRONMENTS / "singer-s3/bin/target-s3"), "--config", str(config)], messages, _ALONE)


def _written(path: Path, document: Mapping[str, object]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(document), "utf-8")
    return path
