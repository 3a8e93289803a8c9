"""Tables: https://cloud.google.com/bigquery/docs/reference/rest/v2/tables"""

import time
from typing import Any

from scribe_local.bigquery.datasets import Datasets
from scribe_local.bigquery.etags import check_match, tagged
from scribe_local.bigquery.names import DatasetName, TableName, table_of
from scribe_local.bigquery.refusals import duplicate, invalid, not_found, unsupported
from scribe_local.bigquery.schema import Fields, changed, fields_of
from scribe_local.bigquery.store import Document, Store
from scribe_local.bigquery.streaming_buffer import StreamingBuffer

KIND = "table"
_TEXTS = ("friendlyName", "description", "labels", "expirationTime", "requirePartitionFilter")
_UNSUPPORTED = ("view", "materializedView", "externalDataConfiguration", "rangePartitioning", "snapshotDefinition")
_PARTITION_TYPES = ("DAY", "HOUR", "MONTH", "YEAR")
_UNIT_TYPES = {"TIMESTAMP", "DATETIME", "DATE"}

# https://cloud.google.com/bigquery/docs/clustered-tables#limitations, 2026-08-22.
_MOST_CLUSTERING_COLUMNS = 4


class Tables:
    """What is asked of tables, and their schemas for whoever writes rows."""

    def __init__(self, store: Store, datasets: Datasets, buffer: StreamingBuffer) -> None:
        self._store = store
        self._datasets = datasets
        self._buffer = buffer

    def find(self, name: TableName) -> Document | None:
        """What was kept of a table, or None if it does not exist. Raises `Refused` without its dataset."""
        self._datasets.need(name.parent)
        return self._store.document(KIND, str(name))

    def need(self, name: TableName) -> Document:
        """What was kept of a table. Raises `Refused`."""
        found = self.find(name)
        if found is None:
            raise not_found(f"Table {name}")
        return found

    def fields(self, name: TableName) -> Fields:
        """Its schema. Raises `Refused`."""
        return fields_of(self.need(name)["fields"])

    def age(self, name: TableName) -> float:
        """In seconds. Raises `Refused`."""
        return time.time() - int(self.need(name)["creationTime"]) / 1000

    def insert(self, dataset: DatasetName, body: dict[str, Any]) -> Document:
        name = table_of(body.get("tableReference"), dataset.project)
        if name.parent != dataset:
            raise invalid("The table's reference names another dataset than the path")
        self.create(name, body)
        return self.get(name)

    def create(self, name: TableName, body: dict[str, Any]) -> Fields:
        """From a table resource. Raises `Refused`."""
        for key in _UNSUPPORTED:
            if body.get(key):
                raise unsupported(f"{key} of a table")
        fields = fields_of((body.get("schema") or {}).get("fields") or [])
        with self._store.transaction():
            if self.find(name.checked()):
                raise duplicate(f"Table {name}")
            now = _now()
            kept: Document = {key: body[key] for key in _TEXTS if body.get(key) is not None}
            kept |= {
                "dataset": str(name.parent),
                "reference": name.document(),
                "fields": [field.document() for field in fields],
                "creationTime": now,
                "lastModifiedTime": now,
            }
            if body.get("timePartitioning"):
                kept["timePartitioning"] = _partitioning(body["timePartitioning"], fields)
            if body.get("clustering"):
                kept["clustering"] = _clustering(body["clustering"], fields)
            self._store.create_table(name, fields)
            self._store.put(KIND, str(name), kept)
        return fields

    def get(self, name: TableName) -> Document:
        with self._store.transaction():
            return self._resource(name, self.need(name))

    def list(self, dataset: DatasetName) -> Document:
        self._datasets.need(dataset)
        found = [
            {"kind": "bigquery#table", "id": name, "tableReference": kept["reference"], "type": "TABLE"}
            | {key: kept[key] for key in ("creationTime", "timePartitioning", "clustering", "labels") if key in kept}
            for name, kept in sorted(self._store.documents(KIND).items())
            if kept["dataset"] == str(dataset)
        ]
        return {"kind": "bigquery#tableList", "tables": found, "totalItems": len(found)}

    def patch(self, name: TableName, body: dict[str, Any], match: str | None) -> Document:
        with self._store.transaction():
            kept = self.need(name)
            check_match(self._resource(name, kept), match)
            old = fields_of(kept["fields"])
            if body.get("schema"):
                self.change_fields(name, changed(old, fields_of(body["schema"].get("fields") or []), table=str(name)))
            kept = {**self.need(name), **{key: body[key] for key in _TEXTS if key in body}, "lastModifiedTime": _now()}
            if "clustering" in body:
                kept.pop("clustering", None)
                if body["clustering"]:
                    kept["clustering"] = _clustering(body["clustering"], fields_of(kept["fields"]))
            if "timePartitioning" in body:
                kept["timePartitioning"] = _repartitioned(kept.get("timePartitioning"), body["timePartitioning"])
            self._store.put(KIND, str(name), {key: value for key, value in kept.items() if value is not None})
            return self._resource(name, self.need(name))

    def change_fields(self, name: TableName, fields: Fields) -> None:
        """Give a table a schema that `changed` made of its old one."""
        with self._store.transaction():
            kept = self.need(name)
            self._store.alter_table(name, fields_of(kept["fields"]), fields)
            documents = [field.document() for field in fields]
            self._store.put(KIND, str(name), {**kept, "fields": documents, "lastModifiedTime": _now()})

    def overwrite(self, name: TableName, fields: Fields) -> None:
        """Take all its rows, and give it a schema."""
        with self._store.transaction():
            kept = self.need(name)
            self._store.drop_table(name)
            self._store.create_table(name, fields)
            self._store.put(KIND, str(name), {**kept, "fields": [field.document() for field in fields]})
        self._buffer.drop(name)

    def touch(self, name: TableName) -> None:
        """Note that its rows changed."""
        self._store.put(KIND, str(name), {**self.need(name), "lastModifiedTime": _now()})

    def delete(self, name: TableName) -> None:
        with self._store.transaction():
            self.need(name)
            self._store.drop_table(name)
            self._store.forget(KIND, str(name))
        self._buffer.drop(name)

    def _resource(self, name: TableName, kept: Document) -> Document:
        buffered = self._buffer.rows(name)
        resource: Document = {
            "kind": "bigquery#table",
            "id": str(name),
            "tableReference": name.document(),
            "type": "TABLE",
            "schema": {"fields": kept["fields"]},
            "location": self._datasets.need(name.parent)["location"],
            "numRows": str(self._store.count(name) - buffered),
            **{key: value for key, value in kept.items() if key not in ("dataset", "reference", "fields")},
        }
        # Rows that come do not make it another version of the table.
        tag = tagged({**resource, "numRows": "", "lastModifiedTime": ""})["etag"]
        if buffered:
            resource["streamingBuffer"] = self._buffer.document(name)
        return {**resource, "etag": tag}


def _partitioning(given: dict[str, Any], fields: Fields) -> Document:
    if given.get("type") not in _PARTITION_TYPES:
        raise invalid(f"Invalid time partitioning type: {given.get('type')}")
    column = given.get("field")
    kinds = {field.name: field.type for field in fields if field.mode != "REPEATED"}
    if column is not None and kinds.get(column) not in _UNIT_TYPES:
        raise invalid(
            f"The field specified for partitioning, {column}, is no TIMESTAMP, DATETIME or DATE of the schema."
        )
    return {key: given[key] for key in ("type", "field", "expirationMs", "requirePartitionFilter") if key in given}


def _repartitioned(old: Document | None, new: Document | None) -> Document | None:
    """Only the expiration of partitions can change."""
    if bool(old) != bool(new) or (old and new and any(old.get(key) != new.get(key) for key in ("type", "field"))):
        raise invalid("Cannot change partitioning spec for a table")
    return new


def _clustering(given: dict[str, Any], fields: Fields) -> Document:
    columns = given.get("fields") or []
    known = {field.name: field for field in fields}
    if not 0 < len(columns) <= _MOST_CLUSTERING_COLUMNS:
        raise invalid(f"Clustering takes 1 to {_MOST_CLUSTERING_COLUMNS} columns")
    for column in columns:
        field = known.get(column)
        # https://cloud.google.com/bigquery/docs/clustered-tables#cluster_column_types
        if field is None or field.mode == "REPEATED" or field.type in ("RECORD", "JSON", "FLOAT", "BYTES", "TIME"):
            raise invalid(f"The field specified for clustering, {column}, cannot be clustered by.")
    return {"fields": list(columns)}


def _now() -> str:
    return str(time.time_ns() // 1_000_000)
