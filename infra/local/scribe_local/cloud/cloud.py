"""All of it: the servers that can be had, and their services."""

import importlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from scribe_local.cloud.service import Service
from scribe_local.process import ServerMissing
from scribe_local.servers import LocalServer, bigquery, fake_gcs, ministack, pubsub

NAMES = ("archive", "announce", "index", "act", "lake", "publish", "warehouse")
"""The services, by their destinations' names."""


@dataclass(frozen=True, slots=True)
class LocalCloud:
    """`services` by name, as many as can be had; `missing` says why others cannot. `connections` are an export.yaml's."""

    servers: tuple[LocalServer, ...]
    services: Mapping[str, Service]
    missing: Mapping[str, str]
    connections: Mapping[str, Mapping[str, Any]]

    def destinations(self) -> dict[str, dict[str, Any]]:
        """An export.yaml's, by name."""
        return {
            name: {"type": options.pop("type"), "connection": service.connection, **options}
            for name, service in self.services.items()
            for options in [dict(service.destination())]
        }


@contextmanager
def local_cloud(folder: Path | None = None) -> Iterator[LocalCloud]:
    """Start and furnish it; all of it ends with the block. `folder` keeps the servers' files.

    A server or an SDK that is not installed leaves its services out. Raises `ServerFailed`.
    """
    with ExitStack() as stack:
        servers: list[LocalServer] = []
        services: dict[str, Service] = {}
        missing: dict[str, str] = {}
        connections: dict[str, Mapping[str, Any]] = {}
        for start, places in _SERVERS:
            try:
                made = {place: _class(place) for place in places}
                server = stack.enter_context(start(folder))
            except ModuleNotFoundError as error:
                missing |= dict.fromkeys(
                    places, f"{error.name} is not installed: run `pip install 'scribe-export[all]'`"
                )
                continue
            except ServerMissing as error:
                missing |= dict.fromkeys(places, str(error))
                continue
            servers.append(server)
            for place, make in made.items():
                services[place] = make(server)
                stack.callback(services[place].close)
                services[place].prepare()
                connections[services[place].connection] = _connection(services[place].connection, server)
        ordered = {name: services[name] for name in NAMES if name in services}
        yield LocalCloud(tuple(servers), ordered, missing, connections)


def _connection(provider: str, server: LocalServer) -> Mapping[str, Any]:
    if provider == "aws":
        return importlib.import_module("scribe_local.cloud.aws").connection(server.url)  # type: ignore[no-any-return]
    return {"provider": "gcp", "project": importlib.import_module("scribe_local.cloud.gcp").PROJECT}


def _class(place: str) -> Callable[[Any], Service]:
    """What makes a service of its server; imports its SDK."""
    module, name, of = _SERVICES[place]
    made: Callable[[Any], Service] = getattr(importlib.import_module(f"scribe_local.cloud.{module}"), name)
    return lambda server: made(of(server))


_SERVICES: dict[str, tuple[str, str, Callable[[Any], Any]]] = {
    "archive": ("s3", "S3", lambda server: server.url),
    "announce": ("sqs", "Sqs", lambda server: server.url),
    "index": ("dynamodb", "DynamoDb", lambda server: server.url),
    "act": ("lambda_", "Lambda", lambda server: server.url),
    "lake": ("storage", "Storage", lambda server: server.url),
    "publish": ("pubsub", "Pubsub", lambda server: server.port),
    "warehouse": ("bigquery", "BigQuery", lambda server: server),
}
_SERVERS: tuple[tuple[Callable[[Path | None], LocalServer], tuple[str, ...]], ...] = (
    (lambda folder: ministack(folder=folder and folder / "aws"), ("archive", "announce", "index", "act")),
    (lambda folder: fake_gcs(folder=folder and folder / "gcs"), ("lake",)),
    (lambda folder: pubsub(folder=folder and folder / "pubsub"), ("publish",)),
    (lambda folder: bigquery(keep=folder is not None, folder=folder and folder / "bigquery"), ("warehouse",)),
)
