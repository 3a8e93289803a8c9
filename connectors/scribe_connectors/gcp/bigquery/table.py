"""The table as it is: found or made, its columns compared with those of the row, its age watched."""

import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from google.api_core.exceptions import Conflict, NotFound
from google.cloud import bigquery

from scribe_connectors.gcp.bigquery.columns import COLUMNS, Types, api_name, column_types, sql_name
from scribe_connectors.gcp.bigquery.options import BigQuerySinkOptions
from scribe_export.clock import Clock
from scribe_export.errors import Misconfigured, Throttled


@dataclass(frozen=True, slots=True)
class Seen:
    """A table at the last look. `changed` is when its columns last changed by our doing or it was made, in seconds
    since the epoch."""

    location: str | None
    changed: float


class TargetTable:
    """Knows the table after `look`; shared by all threads."""

    def __init__(self, options: BigQuerySinkOptions, client: Callable[[], Any], timeout: float, clock: Clock) -> None:
        self._options, self._client, self._timeout, self._clock = options, client, timeout, clock
        self._types: Types = column_types(options.row, options.column_types)
        self._seen: Seen | None = None
        self._evolved = 0.0
        self._lock = threading.Lock()

    @property
    def reference(self) -> bigquery.TableReference:
        """The table's full name."""
        client = self._client()
        return bigquery.DatasetReference(client.project, self._options.dataset).table(self._options.table)

    @property
    def location(self) -> str | None:
        """Where its jobs run; None if the service is to find out."""
        return self._options.location or (self._seen.location if self._seen else None)

    def look(self) -> None:
        """Find, make or extend it; raises `Misconfigured` for one that does not fit, or what the client raises."""
        with self._lock:
            self._seen = None
            table = self._find()
            missing = self._compare(table)
            if missing:
                table = self._extend(table, missing)
            created = table.created.timestamp() if table.created else self._clock.now()
            self._seen = Seen(table.location, max(created, self._evolved))

    def forget(self) -> None:
        """Look again before the next streaming: it may have been made anew."""
        self._seen = None

    def assume_grown(self) -> None:
        """Take it for one that fits and is old enough, without a look."""
        self._seen = Seen(None, float("-inf"))

    def expect_grown(self) -> None:
        """Raise `Throttled` while it is too young to stream into.

        https://cloud.google.com/bigquery/docs/streaming-data-into-bigquery and the threads of
        https://github.com/googleapis/python-bigquery/issues/1331: rows are accepted and lost.
        """
        if self._seen is None:
            self.look()
        assert self._seen is not None
        left = self._seen.changed + self._options.min_table_age - self._clock.now()
        if left > 0:
            raise Throttled(
                f"the table is new or was changed; for another {left:.0f} s BigQuery can lose rows streamed into it",
                retry_after=left,
                applied="no",
            )

    def _find(self) -> bigquery.Table:
        try:
            return self._get()
        except NotFound as error:
            if self._options.create_table is None:
                raise Misconfigured(
                    f"no table {self.reference}: {error.message}; make it, or set create_table: {{}}"
                ) from error
        try:
            made: bigquery.Table = self._client().create_table(self._new(), retry=None, timeout=self._timeout)
            return made
        except Conflict:
            return self._get()
        except NotFound as error:
            raise Misconfigured(f"no dataset {self._options.dataset}: {error.message}; make it first") from error

    def _get(self) -> bigquery.Table:
        found: bigquery.Table = self._client().get_table(self.reference, retry=None, timeout=self._timeout)
        return found

    def _new(self) -> bigquery.Table:
        table = bigquery.Table(self.reference, schema=[self._field(name) for name in self._types])
        layout = self._options.create_table
        if layout and layout.partition_by:
            expiration = layout.partition_expiration
            table.time_partitioning = bigquery.TimePartitioning(
                type_=layout.partition_unit,
                field=layout.partition_by,
                expiration_ms=None if expiration is None else round(expiration * 1000),
            )
        if layout and layout.cluster_by:
            table.clustering_fields = list(layout.cluster_by)
        return table

    def _field(self, name: str) -> bigquery.SchemaField:
        described = {column.name: column.description for column in COLUMNS[self._options.row]}
        return bigquery.SchemaField(name, api_name(self._types[name]), description=described[name])

    def _compare(self, table: bigquery.Table) -> list[str]:
        """The columns that it lacks; raises `Misconfigured` naming one that differs."""
        has = {field.name.lower(): field for field in table.schema}
        for name, kind in self._types.items():
            field = has.get(name)
            if field is None:
                continue
            if sql_name(field.field_type) != kind or field.mode == "REPEATED":
                found = (
                    f"{field.mode} {sql_name(field.field_type)}"
                    if field.mode == "REPEATED"
                    else sql_name(field.field_type)
                )
                raise Misconfigured(
                    f"schema: column {name} of {self.reference} is {found}, and rows have {kind}; change the table, "
                    "or set column_types"
                )
        for name, field in has.items():
            if field.mode == "REQUIRED" and name not in self._types and not field.default_value_expression:
                raise Misconfigured(
                    f"schema: column {name} of {self.reference} is REQUIRED, and rows have no {name}; make it NULLABLE"
                )
        missing = [name for name in self._types if name not in has]
        if missing and self._options.schema_ == "freeze":
            named = ", ".join(f"{name} {self._types[name]}" for name in missing)
            raise Misconfigured(
                f"schema: {self.reference} has no column {named}; add what is missing, or set schema: evolve"
            )
        return missing

    def _extend(self, table: bigquery.Table, missing: list[str]) -> bigquery.Table:
        table.schema = [*table.schema, *(self._field(name) for name in missing)]
        changed: bigquery.Table = self._client().update_table(table, ["schema"], retry=None, timeout=self._timeout)
        self._evolved = self._clock.now()
        return changed
