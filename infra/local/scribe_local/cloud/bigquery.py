"""BigQuery: a row a scan."""

from collections.abc import Iterator, Mapping
from typing import Any

from google.cloud.bigquery import Client

from scribe_local.cloud.gcp import PROJECT, anonymous
from scribe_local.cloud.service import Service
from scribe_local.servers import BigQuery as Server

DATASET = "scribe"
TABLE = "scans"


class BigQuery(Service):
    """A dataset in which the exporter makes its table."""

    name = "warehouse"
    connection = "gcp"
    what = "BigQuery, a row a scan"
    keeps_bytes = False

    def __init__(self, server: Server) -> None:
        self._server = server
        self._bigquery: Any = Client(
            project=PROJECT, credentials=anonymous(), client_options={"api_endpoint": server.url}
        )

    def prepare(self) -> None:
        self._bigquery.create_dataset(DATASET, exists_ok=True)

    def destination(self) -> Mapping[str, Any]:
        return {
            "type": "gcp_bigquery",
            "endpoint_url": self._server.url,
            "storage_endpoint_url": f"http://{self._server.target}",
            "dataset": DATASET,
            "table": TABLE,
            "method": "storage_write",
            "create_table": {"partition_by": "timestamp", "cluster_by": ["material"]},
            "min_table_age": "0s",  # the real one needs its ten minutes
            "batch": {"max_age": "1s"},
        }

    def copies(self) -> Iterator[bytes]:
        for row in self._bigquery.query(f"SELECT TO_JSON_STRING(document) AS scan FROM {DATASET}.{TABLE}").result():  # noqa: S608
            yield row["scan"].encode()

    def close(self) -> None:
        self._bigquery.close()
