"""``python -m scribe_local.bigquery``: the local BigQuery as a process of its own."""

import socket
from pathlib import Path

import click
import msgspec
import uvicorn

from scribe_local.bigquery.rest import application
from scribe_local.bigquery.service import Service
from scribe_local.bigquery.write_rpc import write_server

# So long that a client's pool does not find its connection closed between two batches.
_IDLE_SECONDS = 240


@click.command()
@click.option("--port", type=click.IntRange(0, 65535), default=0, help="Of 127.0.0.1, for REST; 0 takes a free one.")
@click.option("--grpc-port", type=click.IntRange(0, 65535), default=0, help="For the Storage Write API.")
@click.option(
    "--folder",
    type=click.Path(file_okay=False, path_type=Path),
    help="Keeps datasets, tables, rows and jobs over a restart; without it all is in memory.",
)
def main(port: int, grpc_port: int, folder: Path | None) -> None:
    """Serve BigQuery on 127.0.0.1 and print {"url": …, "grpc_port": …} once it answers."""
    if folder is not None:
        folder.mkdir(parents=True, exist_ok=True)
    service = Service(folder and folder / "bigquery.duckdb")
    writes, bound = write_server(service, grpc_port)
    writes.start()
    try:
        with _listener(port) as listener:
            config = uvicorn.Config(
                application(service),
                log_level="warning",
                lifespan="off",
                timeout_graceful_shutdown=2,
                timeout_keep_alive=_IDLE_SECONDS,
            )
            _Announced(config, bound).run([listener])
    finally:
        writes.stop(grace=1).wait()
        service.store.close()


class _Announced(uvicorn.Server):
    """Prints where it is once its sockets are served."""

    def __init__(self, config: uvicorn.Config, grpc_port: int) -> None:
        super().__init__(config)
        self._grpc_port = grpc_port

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        host, port = (sockets or [])[0].getsockname()
        told = {"url": f"http://{host}:{port}", "grpc_port": self._grpc_port}
        click.echo(msgspec.json.encode(told).decode())


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
