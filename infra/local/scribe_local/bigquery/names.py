"""Names of datasets and tables, in requests and in DuckDB."""

import re
from dataclasses import dataclass

from scribe_local.bigquery.refusals import invalid

# https://cloud.google.com/bigquery/docs/datasets#dataset-naming and /tables#table_naming, 2026-08-22.
_DATASET = re.compile(r"\w{1,1024}", re.ASCII)
_TABLE = re.compile(r"[\w\- ]{1,1024}")
_PROJECT = re.compile(r"[a-z0-9.:\-]{1,100}")


def quoted(name: str) -> str:
    """As an identifier in DuckDB's SQL."""
    return '"' + name.replace('"', '""') + '"'


@dataclass(frozen=True, slots=True)
class DatasetName:
    """A dataset of a project."""

    project: str
    dataset: str

    def __str__(self) -> str:
        return f"{self.project}:{self.dataset}"

    @property
    def sql(self) -> str:
        """Its schema in DuckDB."""
        return quoted(str(self))

    def document(self) -> dict[str, str]:
        return {"projectId": self.project, "datasetId": self.dataset}

    def checked(self) -> "DatasetName":
        """Itself. Raises `Refused` if it cannot be created."""
        if not _DATASET.fullmatch(self.dataset) or not _PROJECT.fullmatch(self.project):
            raise invalid(f'Invalid dataset ID "{self.dataset}".')
        return self


@dataclass(frozen=True, slots=True)
class TableName:
    """A table of a dataset."""

    project: str
    dataset: str
    table: str

    def __str__(self) -> str:
        return f"{self.project}:{self.dataset}.{self.table}"

    @property
    def parent(self) -> DatasetName:
        return DatasetName(self.project, self.dataset)

    @property
    def sql(self) -> str:
        """Its table in DuckDB."""
        return f"{self.parent.sql}.{quoted(self.table)}"

    def document(self) -> dict[str, str]:
        return {**self.parent.document(), "tableId": self.table}

    def checked(self) -> "TableName":
        """Itself. Raises `Refused` if it cannot be created."""
        if not _TABLE.fullmatch(self.table):
            raise invalid(f'Invalid table ID "{self.table}".')
        return self


def table_of(document: object, project: str) -> TableName:
    """A `tableReference`. Raises `Refused`."""
    if not isinstance(document, dict) or not document.get("datasetId") or not document.get("tableId"):
        raise invalid("Required parameter is missing: tableReference")
    return TableName(str(document.get("projectId") or project), str(document["datasetId"]), str(document["tableId"]))
