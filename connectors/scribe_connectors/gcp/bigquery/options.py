"""What a user writes under a destination of type gcp_bigquery."""

from typing import Literal

from pydantic import Field, model_validator

from scribe_connectors.gcp._client import GcpOptions
from scribe_connectors.gcp.bigquery.columns import ColumnType, RowKind, column_types
from scribe_export.options import BatchOptions, Duration, Options, SinkOptions, Size, Url

# https://cloud.google.com/bigquery/quotas#load_jobs (seen 2026-11-23): 1,500 load jobs a table a day, about one a minute
LEAST_LOAD_AGE = 60.0
LOAD_BATCH = BatchOptions(max_records=50_000, max_bytes=64 * 2**20, max_age=120.0)
"""What fills the gaps of `batch` for load jobs, so that their number stays within the quota."""
MAX_ROW = {
    "load": 100_000_000,  # https://cloud.google.com/bigquery/quotas#load_jobs (seen 2026-11-23)
    "storage_write": 20_000_000,  # that of the request it is in
    "insert_rows": 10_000_000,  # https://cloud.google.com/bigquery/quotas#streaming_inserts (seen 2026-11-23)
}
# https://cloud.google.com/bigquery/quotas#write-api-limits and #streaming_inserts (seen 2026-11-23)
MAX_REQUEST = {"load": None, "storage_write": 20_000_000, "insert_rows": 10_000_000}
MAX_CLUSTERING = 4  # https://cloud.google.com/bigquery/docs/clustered-tables#limitations
YOUNG = 600.0

Method = Literal["load", "storage_write", "insert_rows"]


class TableOptions(GcpOptions):
    """Common to sink and source."""

    dataset: str = Field(pattern=r"^[A-Za-z0-9_]+$", max_length=1024)
    """The dataset's id, without the project."""
    location: str | None = Field(default=None, pattern=r"^[A-Za-z0-9-]{1,64}$")
    """Where jobs run, such as EU or europe-west1; where the table is if left out."""


class CreateTableOptions(Options):
    """How a missing table is made."""

    partition_by: str | None = None
    """A TIMESTAMP column of the row."""
    partition_unit: Literal["HOUR", "DAY", "MONTH", "YEAR"] = "DAY"
    """How much a partition holds."""
    partition_expiration: Duration | None = Field(default=None, gt=0)
    """After this, counted from a partition's own time, BigQuery deletes it."""
    cluster_by: tuple[str, ...] = Field(default=(), max_length=MAX_CLUSTERING, strict=False)
    """Columns by which rows are kept together, the most important first."""


class BigQuerySinkOptions(TableOptions, SinkOptions):
    """A table to write to."""

    table: str = Field(pattern=r"^[\w -]+$", max_length=1024)
    """The table's id."""
    method: Method = "load"
    """`load`: free, in jobs minutes apart. `storage_write`: at once, exact. `insert_rows`: at once, by the old API."""
    row: RowKind = "typed"
    """`typed`: a column a field and the whole scan as `document`. `guide`: the row of SCRIBE's integration guide."""
    column_types: dict[str, ColumnType] = Field(default_factory=dict)
    """Other types for some columns, such as {scan_id: INT64} or {document: STRING}."""
    schema_: Literal["freeze", "evolve"] = Field(default="freeze", alias="schema")
    """Where the table lacks columns: `freeze` holds and names them, `evolve` adds them."""
    create_table: CreateTableOptions | None = None
    """Make the table if it is missing; an empty mapping makes a plain one."""
    compression: Literal["none", "gzip"] = "none"
    """Of what is uploaded for a load job: less to send, slower to load, more CPU."""
    storage_endpoint_url: Url | None = None
    """As `endpoint_url`, for the Storage Write API, which is a service of its own."""
    job_timeout: Duration = Field(default=600.0, gt=0)
    """How long a load job is watched before the batch is put back; the next attempt watches the same job."""
    min_table_age: Duration = Field(default=YOUNG, ge=0)
    """A younger table is not streamed into, since BigQuery can lose rows there; `load` does not wait."""
    max_row_bytes: Size | None = Field(default=None, ge=1024)
    """A larger row is refused, or becomes what `oversize` says; the method's own limit if left out."""
    max_request_bytes: Size | None = Field(default=None, ge=1024)
    """All rows of one request, for the methods that stream; the method's own limit if left out."""
    concurrency: int = Field(default=4, ge=1, le=256)
    """Requests of `insert_rows` being made at once."""

    @property
    def row_limit(self) -> int:
        """Bytes a row."""
        return min(self.max_row_bytes or MAX_ROW[self.method], self.request_limit or MAX_ROW["load"])

    @property
    def request_limit(self) -> int | None:
        """Bytes a request, where there is a limit below that of a row."""
        return self.max_request_bytes or MAX_REQUEST[self.method]

    @property
    def sealing(self) -> BatchOptions:
        """When batches are sealed."""
        if self.method != "load":
            return self.batch
        wished = {name: value for name, value in self.batch.model_dump().items() if value is not None}
        return LOAD_BATCH.model_copy(update=wished)

    def place(self) -> str:
        """Two destinations must not have the same."""
        return f"{self.endpoint_url or 'bigquery'}/{self.project or ''}/{self.dataset}.{self.table}"

    @model_validator(mode="after")
    def _check(self) -> "BigQuerySinkOptions":
        types = column_types(self.row, self.column_types)
        if self.method == "load" and self.batch.max_age is not None and self.batch.max_age < LEAST_LOAD_AGE:
            raise ValueError(
                "method: load needs batch.max_age of at least 60s, for BigQuery takes 1,500 load jobs a table a day; "
                "use method: storage_write to have scans there sooner"
            )
        if self.compression != "none" and self.method != "load":
            raise ValueError("compression is for method: load; the methods that stream send rows as they are")
        if self.max_request_bytes is not None and self.method == "load":
            raise ValueError(
                "max_request_bytes is for the methods that stream; a load job is bounded by batch.max_bytes"
            )
        if self.method == "storage_write" and self.private and not self.storage_endpoint_url:
            raise ValueError(
                "method: storage_write needs storage_endpoint_url beside an endpoint_url that is not Google's"
            )
        if self.create_table:
            _check_layout(self.create_table, types)
        return self


def _check_layout(layout: CreateTableOptions, types: dict[str, ColumnType]) -> None:
    for name in layout.cluster_by:
        if types.get(name) not in {"STRING", "INT64", "TIMESTAMP"}:
            raise ValueError(
                f"create_table.cluster_by: {name!r} is no column of the row that tables can be clustered by"
            )
    if layout.partition_by is not None and types.get(layout.partition_by) != "TIMESTAMP":
        raise ValueError(f"create_table.partition_by: {layout.partition_by!r} is no TIMESTAMP column of the row")
    if layout.partition_expiration is not None and layout.partition_by is None:
        raise ValueError("create_table.partition_expiration needs partition_by")
