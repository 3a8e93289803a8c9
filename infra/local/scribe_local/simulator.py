"""``python -m scribe_local.simulator``: the SCRIBE simulator as a process of its own."""

import os
import socket
from pathlib import Path

import click
import msgspec
import uvicorn

from scribe_export.errors import ScribeExportError
from scribe_local.api import application
from scribe_local.live import MAX_MESSAGE
from scribe_local.materials import MATERIALS
from scribe_local.resonance import DEFAULT_NOISE
from scribe_local.scanner import SimulatedScanner
from scribe_local.scans import AUDIO_SAMPLES, MAX_AUDIO_SAMPLES, Bench

API_KEY = "SCRIBE_SIMULATOR_API_KEY"
"""The environment variable that holds the key: a command line is for everyone to see."""


@click.command()
@click.option("--port", type=click.IntRange(0, 65535), default=0, help="Of 127.0.0.1; 0 takes a free one.")
@click.option("--database", type=click.Path(dir_okay=False, path_type=Path), required=True, help="SQLite file.")
@click.option("--seed", type=click.IntRange(0), default=1, show_default=True, help="The same seed, the same scans.")
@click.option("--scans", type=click.IntRange(0), default=0, show_default=True, help="Begin with this many performed.")
@click.option("--material", type=click.Choice(list(MATERIALS)), help="What lies on the bench; all kinds if left out.")
@click.option("--audio-samples", type=click.IntRange(0, MAX_AUDIO_SAMPLES), default=AUDIO_SAMPLES, show_default=True)
@click.option("--noise", type=click.FloatRange(0, 1), default=DEFAULT_NOISE, show_default=True, help="Full scale is 1.")
@click.option("--clock", type=click.Choice(["seed", "real"]), default="seed", show_default=True, help="Of timestamps.")
def main(
    port: int,
    database: Path,
    seed: int,
    scans: int,
    material: str | None,
    audio_samples: int,
    noise: float,
    clock: str,
) -> None:
    """Serve the SCRIBE API on 127.0.0.1 and print {"url": …} once it answers.

    A key that clients must send is taken from SCRIBE_SIMULATOR_API_KEY.
    """
    try:
        bench = Bench(seed=seed, material=material, audio_samples=audio_samples, noise=noise)
        scanner = SimulatedScanner(database, bench, real_clock=clock == "real")
    except ScribeExportError as error:
        raise click.ClickException(str(error)) from None
    scanner.seed(scans)
    app = application(scanner, api_key=os.environ.get(API_KEY) or None)
    try:
        with _listener(port) as listener:
            config = uvicorn.Config(
                app, log_level="warning", lifespan="off", timeout_graceful_shutdown=2, ws_max_size=MAX_MESSAGE
            )
            _Announced(config).run([listener])
    finally:
        scanner.close()


class _Announced(uvicorn.Server):
    """Prints its URL once its sockets are served."""

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        host, port = (sockets or [])[0].getsockname()
        click.echo(msgspec.json.encode({"url": f"http://{host}:{port}"}).decode())


def _listener(port: int) -> socket.socket:
    # asyncio sets TCP_NODELAY only on sockets that name their protocol; without it an answer waits 40 ms for an ACK.
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind(("127.0.0.1", port))
    except OSError as error:
        listener.close()
        raise click.ClickException(f"127.0.0.1:{port} cannot be used: {error.strerror}") from None
    return listener


if __name__ == "__main__":
    main()
