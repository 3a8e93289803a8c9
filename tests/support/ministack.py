"""A real local AWS on a free port, in a process of its own."""

import os
import socket
import subprocess
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import boto3
from botocore.config import Config

REPOSITORY = Path(__file__).resolve().parents[2]


@dataclass(frozen=True)
class Ministack:
    url: str

    def client(self, service: str) -> Any:
        return boto3.Session("test", "test", region_name="eu-west-1").client(
            service,  # type: ignore[call-overload]  # the stubs list every service by name
            endpoint_url=self.url,
            config=Config(s3={"addressing_style": "path"}, retries={"total_max_attempts": 1}),
        )


def executable() -> Path | None:
    """Where ministack is installed, if it is."""
    named = os.environ.get("MINISTACK")
    found = Path(named) if named else REPOSITORY / ".venv-cloud" / "bin" / "ministack"
    return found if found.exists() else None


@contextmanager
def running(program: Path, folder: Path, **settings: str) -> Iterator[Ministack]:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    environment = {
        **os.environ,
        "IOT_MTLS_ENABLED": "0",
        "BIND_HOST": "127.0.0.1",
        "GATEWAY_PORT": str(port),
        "S3_DATA_DIR": str(folder),
        "TMPDIR": str(folder),
        "LOG_LEVEL": "WARNING",
        **settings,
    }
    environment.pop("PYTHONPATH", None)
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen([str(program)], env=environment, stdout=log, stderr=log, cwd=folder)
        try:
            _wait(f"http://127.0.0.1:{port}/_ministack/health", process)
            yield Ministack(f"http://127.0.0.1:{port}")
        finally:
            process.terminate()
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def _wait(url: str, process: "subprocess.Popen[bytes]") -> None:
    until = time.monotonic() + 30
    while True:
        try:
            with urllib.request.urlopen(url, timeout=2):  # noqa: S310 - our own server on the loopback
                return
        except OSError:
            if process.poll() is not None or time.monotonic() > until:
                raise
            time.sleep(0.05)
