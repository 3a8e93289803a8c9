"""The local cloud in the foreground: a scanner that keeps scanning, and the services for its scans."""

import asyncio
import random
import signal
import sys
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Any

import click
import httpx
import msgspec

from scribe_local.cloud.cloud import LocalCloud, local_cloud
from scribe_local.config import SIGNAL_TYPES
from scribe_local.process import ServerFailed
from scribe_local.servers import Simulator, simulator
from scribe_local.yaml_text import yaml_text


@dataclass(frozen=True, slots=True)
class Endpoints:
    """Where the local cloud answers."""

    scribe_url: str
    database: Path
    cloud: LocalCloud

    def document(self) -> dict[str, Any]:
        """For programs: the scanner, and the services as an export.yaml names them."""
        return {
            "scribe": {"url": self.scribe_url, "database": str(self.database)},
            "connections": dict(self.cloud.connections),
            "destinations": self.cloud.destinations(),
            "missing": dict(self.cloud.missing),
        }

    def config(self) -> str:
        """An export.yaml that sends every scan to a folder of files and to every service that is there."""
        files = {"type": "file", "directory": "./archive", "key": "scans/{timestamp:%Y-%m-%d}/{scan_id}.json"}
        document = {
            "version": 1,
            "pipeline": "local-scans",
            "state_dir": "./state",
            "connections": {"scribe": {"provider": "scribe", "url": self.scribe_url}, **self.cloud.connections},
            "sources": {"api": {"type": "scribe_api", "connection": "scribe", "poll_interval": "2s"}},
            "destinations": {"files": files, **self.cloud.destinations()},
        }
        return yaml_text(document)


def up(
    *, json_output: bool = False, folder: Path | None = None, scans: int = 20, rate: float = 1.0, seed: int = 1
) -> None:
    """Run the local cloud until SIGINT or SIGTERM, then stop its servers and return.

    `folder` keeps the servers' files, so the next start goes on where this one ended; None is a temporary folder that is
    removed. The scanner begins with `scans` scans performed and makes `rate` more a second; 0 makes none. Standard output
    gets a ready-to-use export.yaml between comments, or with `json_output` one JSON object of endpoints and nothing else;
    what a person should know meanwhile goes to standard error. Call it from the main thread. Raises `ServerFailed`.
    """
    signal.signal(signal.SIGTERM, _leave)
    with suppress(KeyboardInterrupt), ExitStack() as servers:
        _say(f"Starting the SCRIBE simulator with {scans} scans performed ...")
        scanner = servers.enter_context(
            simulator(seed=seed, scans=scans, real_clock=True, folder=folder and folder / "scribe")
        )
        _say("Starting the cloud: S3, SQS, DynamoDB, Lambda, Cloud Storage, Pub/Sub, BigQuery ...")
        cloud = servers.enter_context(local_cloud(folder))
        for name, why in cloud.missing.items():
            _say(f"{name} is left out: {why}")
        endpoints = Endpoints(scanner.url, scanner.database, cloud)
        told = msgspec.json.encode(endpoints.document()).decode() if json_output else _guidance(endpoints, rate)
        asyncio.run(_keep_scanning(scanner, rate, seed, told))
    _say("The local cloud is stopped.")


async def _keep_scanning(scanner: Simulator, rate: float, seed: int, told: str) -> None:
    """Print what is `told`, and ask for scans at an even rate until a signal comes.

    Raises `ServerFailed` if the simulator ends before.
    """
    done = asyncio.Event()
    loop = asyncio.get_running_loop()
    for which in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(which, done.set)
    # Only now, for whoever reads it may want to stop this at once.
    click.echo(told)
    sys.stdout.flush()
    choice = random.Random(seed)  # noqa: S311 - which scans are asked for is no secret
    async with httpx.AsyncClient(base_url=scanner.url, timeout=30) as client:
        due = loop.time()
        while not done.is_set():
            if not scanner.running:
                raise ServerFailed(f"the simulator ended by itself:\n{scanner.log_tail()}")
            due = max(due + (1 / rate if rate > 0 else 1.0), loop.time() - 1.0)
            try:
                await asyncio.wait_for(done.wait(), max(0.0, due - loop.time()))
            except TimeoutError:
                if rate > 0:
                    await _request_scan(client, choice)


async def _request_scan(client: httpx.AsyncClient, choice: random.Random) -> None:
    request = {
        "signal_type": choice.choice(SIGNAL_TYPES),
        "frequency": round(110 * 2 ** choice.uniform(0, 5), 1),
        "duration": round(choice.uniform(0.5, 4.0), 1),
        "amplitude": round(choice.uniform(0.2, 0.9), 2),
    }
    try:
        (await client.post("/scan", json=request)).raise_for_status()
    except httpx.HTTPError as error:
        _say(f"A scan was not performed: {str(error) or type(error).__name__}")


def _guidance(endpoints: Endpoints, rate: float) -> str:
    cloud = endpoints.cloud
    there = [f"#   {name:16} {service.what}" for name, service in cloud.services.items()]
    left = [f"#   {name:16} left out: {why}" for name, why in cloud.missing.items()]
    return "\n".join(
        (
            "# The local cloud is up, until Ctrl-C:",
            f"#   SCRIBE simulator {endpoints.scribe_url}  ({rate:g} scans a second)",
            *there,
            *left,
            "# Save this as export.yaml:",
            "",
            endpoints.config(),
            "# and in another terminal:",
            "#   scribe-export check export.yaml --connect",
            "#   scribe-export run export.yaml",
            "#   scribe-export status export.yaml",
        )
    )


def _say(text: str) -> None:
    click.echo(text, err=True)


def _leave(_: int, __: FrameType | None) -> None:
    raise KeyboardInterrupt
