"""Datasets: https://cloud.google.com/bigquery/docs/reference/rest/v2/datasets"""

import time
from typing import Any

from scribe_local.bigquery.etags import check_match, tagged
from scribe_local.bigquery.names import DatasetName
from scribe_local.bigquery.refusals import Refused, duplicate, invalid, not_found
from scribe_local.bigquery.store import Document, Store

KIND = "dataset"
_CHANGEABLE = ("friendlyName", "description", "labels", "defaultTableExpirationMs", "access")


class Datasets:
    """What is asked of datasets."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def need(self, name: DatasetName) -> Document:
        """What was kept of it. Raises `Refused`."""
        found = self._store.document(KIND, str(name))
        if found is None:
            raise not_found(f"Dataset {name}")
        return found

    def insert(self, project: str, body: dict[str, Any]) -> Document:
        reference = body.get("datasetReference") or {}
        name = DatasetName(project, str(reference.get("datasetId", ""))).checked()
        with self._store.transaction():
            if self._store.document(KIND, str(name)):
                raise duplicate(f"Dataset {name}")
            now = _now()
            kept = {key: body[key] for key in _CHANGEABLE if key in body}
            kept |= {
                "datasetReference": name.document(),
                "location": str(body.get("location") or "US"),
                "creationTime": now,
                "lastModifiedTime": now,
            }
            self._store.create_dataset(name)
            self._store.put(KIND, str(name), kept)
        return self._resource(name, kept)

    def get(self, name: DatasetName) -> Document:
        return self._resource(name, self.need(name))

    def list(self, project: str) -> Document:
        found = [
            {"kind": "bigquery#dataset", "id": name, **{k: kept[k] for k in ("datasetReference", "location")}}
            for name, kept in sorted(self._store.documents(KIND).items())
            if kept["datasetReference"]["projectId"] == project
        ]
        return {"kind": "bigquery#datasetList", "datasets": found}

    def patch(self, name: DatasetName, body: dict[str, Any], match: str | None) -> Document:
        with self._store.transaction():
            kept = self.need(name)
            check_match(self._resource(name, kept), match)
            if body.get("location") not in (None, kept["location"]):
                raise invalid("Dataset location can not be changed")
            kept = {**kept, **{key: body[key] for key in _CHANGEABLE if key in body}, "lastModifiedTime": _now()}
            self._store.put(KIND, str(name), kept)
        return self._resource(name, kept)

    def delete(self, name: DatasetName, *, contents: bool) -> None:
        with self._store.transaction():
            self.need(name)
            tables = [key for key, kept in self._store.documents("table").items() if kept["dataset"] == str(name)]
            if tables and not contents:
                raise Refused(400, "resourceInUse", f"Dataset {name} is still in use")
            for table in tables:
                self._store.forget("table", table)
            self._store.drop_dataset(name)
            self._store.forget(KIND, str(name))

    def _resource(self, name: DatasetName, kept: Document) -> Document:
        return tagged({"kind": "bigquery#dataset", "id": str(name), **kept})


def _now() -> str:
    return str(time.time_ns() // 1_000_000)
