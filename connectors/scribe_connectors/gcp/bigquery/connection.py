"""BigQuery's REST API, through the official client and beside it."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from google.api_core.exceptions import from_http_response
from google.cloud import bigquery

from scribe_connectors.gcp._client import Rest, RestClient
from scribe_connectors.gcp._rpc_errors import speaks_of_credentials
from scribe_connectors.gcp.bigquery.options import TableOptions

ENDPOINT = "https://bigquery.googleapis.com"


@dataclass(frozen=True, slots=True)
class Connection:
    """`client` is google.cloud.bigquery's, whose retries each call turns off; its types do not allow for that."""

    rest: Rest
    client: Any

    @property
    def project(self) -> str:
        """The project of jobs and of the dataset."""
        return self.rest.need_project()

    def insert_all(self, table: bigquery.TableReference, body: bytes) -> dict[str, Any]:
        """tabledata.insertAll with a body that is encoded already; raises what the client would.

        https://cloud.google.com/bigquery/docs/reference/rest/v2/tabledata/insertAll
        """
        url = f"{self.rest.endpoint}/bigquery/v2{table.path}/insertAll"
        headers = {"Content-Type": "application/json"}
        response = self.rest.session.post(url, data=body, headers=headers, timeout=self.rest.timeout)
        if response.status_code != 200:
            raise from_http_response(response)
        answer: dict[str, Any] = response.json()
        return answer


def connect(options: TableOptions, folder: Path, *, timeout: float, connections: int) -> RestClient[Connection]:
    """Connects when it is first used."""
    return RestClient(
        ENDPOINT,
        options,
        _make,
        folder=folder,
        timeout=timeout,
        connections=connections,
        about_credentials=speaks_of_credentials,
    )


def _make(rest: Rest) -> Connection:
    client = bigquery.Client(
        project=rest.need_project(),
        credentials=rest.credentials,
        _http=rest.session,
        client_options={"api_endpoint": rest.endpoint},
    )
    return Connection(rest, client)
