"""What the three methods share: the table, and how it is reached."""

from pathlib import Path
from typing import Any

from google.api_core.exceptions import GoogleAPICallError
from google.cloud import bigquery
from google.cloud.bigquery_storage_v1 import BigQueryWriteClient
from google.cloud.bigquery_storage_v1.services.big_query_write.transports import BigQueryWriteGrpcTransport

from scribe_connectors.gcp._rpc import Rpc, RpcClient
from scribe_connectors.gcp._rpc_errors import classify
from scribe_connectors.gcp.bigquery.connection import Connection, connect
from scribe_connectors.gcp.bigquery.options import BigQuerySinkOptions
from scribe_connectors.gcp.bigquery.table import TargetTable
from scribe_export.clock import Clock
from scribe_export.errors import SinkError

WRITE_HOST = "bigquerystorage.googleapis.com"


class Target:
    """Clients, made when they are first used, and the table that they are used for."""

    def __init__(self, options: BigQuerySinkOptions, folder: Path, clock: Clock) -> None:
        self.options, self.clock = options, clock
        connections = options.max_in_flight + options.concurrency
        self.rest = connect(options, folder, timeout=options.timeout, connections=connections)
        storage = options.model_copy(update={"endpoint_url": options.storage_endpoint_url})
        self.rpc = RpcClient(WRITE_HOST, storage, _write_client, folder=folder)
        self.table = TargetTable(options, lambda: self.connection.client, self.timeout, clock)

    @property
    def timeout(self) -> float:
        """For one call."""
        return self.options.timeout

    @property
    def connection(self) -> Connection:
        """The REST API."""
        return self.rest.get()

    @property
    def writer(self) -> Any:
        """The Storage Write API."""
        return self.rpc.get()

    @property
    def reference(self) -> bigquery.TableReference:
        """The table's full name."""
        return self.table.reference

    @property
    def location(self) -> str | None:
        """Where jobs run."""
        return self.table.location

    def classify(self, error: Exception) -> SinkError | None:
        """In the framework's terms; a client whose credentials were refused is made anew."""
        self.rest.failed(error)
        self.rpc.failed(error)
        if isinstance(error, GoogleAPICallError) and error.code == 404:
            self.table.forget()
        return classify(error)

    def close(self) -> None:
        """Close all connections; safe twice."""
        self.rest.close()
        self.rpc.close()


def describe(error: Any) -> str:
    """An entry of a list of errors, in one line."""
    where = f" at {error['location']}" if error.get("location") else ""
    return f"{error.get('reason', 'unknown')}{where}: {error.get('message', '')!s:.300}"


def _write_client(rpc: Rpc) -> BigQueryWriteClient:
    return BigQueryWriteClient(transport=BigQueryWriteGrpcTransport(channel=rpc.channel))
