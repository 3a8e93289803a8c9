"""A request to the REST API, read."""

from dataclasses import dataclass

import msgspec

from scribe_local.bigquery.names import DatasetName, TableName
from scribe_local.bigquery.refusals import invalid
from scribe_local.bigquery.service import Service
from scribe_local.bigquery.store import Document


@dataclass(frozen=True, slots=True)
class Call:
    """Names of headers are in lower case; `raw` is the body, unpacked."""

    service: Service
    path: dict[str, str]
    query: dict[str, str]
    headers: dict[str, str]
    raw: bytes

    @property
    def body(self) -> Document:
        """Raises `Refused`."""
        try:
            return msgspec.json.decode(self.raw, type=Document) if self.raw else {}
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise invalid(f"Invalid JSON payload received. {error}") from None

    @property
    def project(self) -> str:
        return self.path["project"]

    @property
    def dataset(self) -> DatasetName:
        return DatasetName(self.project, self.path["dataset"])

    @property
    def table(self) -> TableName:
        return TableName(self.project, self.path["dataset"], self.path["table"])

    @property
    def match(self) -> str | None:
        return self.headers.get("if-match")

    @property
    def location(self) -> str | None:
        return self.query.get("location")
