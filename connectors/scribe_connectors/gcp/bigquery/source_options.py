"""What a user writes under a source of type gcp_bigquery."""

from pydantic import Field, field_validator, model_validator

from scribe_connectors.gcp.bigquery.options import TableOptions
from scribe_export.options import Duration, Size, SourceOptions

_COLUMN = r"^[A-Za-z_][A-Za-z0-9_]*$"


class BigQuerySourceOptions(TableOptions, SourceOptions):
    """A table, or the rows of a query, with a scan each."""

    table: str | None = Field(default=None, pattern=r"^[\w -]+$", max_length=1024)
    """The table's or view's id."""
    query: str | None = None
    """Instead of a table: a SELECT in GoogleSQL. `dataset` is where it finds tables without one."""
    column: str | None = Field(default="document", pattern=_COLUMN)
    """The column that holds the whole scan; null if the row itself is the scan, a field a column."""
    order_by: tuple[str, ...] = Field(default=("received_at", "scan_id", "sha256"), min_length=1, strict=False)
    """Columns that order the rows and tell them apart. Only rows behind the last that was taken are read, so the first
    column has to grow with each row that is added."""
    lag: Duration = Field(default=0.0, ge=0)
    """Rows whose first `order_by` column, a TIMESTAMP, is younger wait: others may yet be added before them."""
    page_size: int = Field(default=500, ge=1, le=10_000)
    """Rows in one delivery."""
    rows_per_query: int = Field(default=50_000, ge=1)
    """Rows that one query sorts; the next goes on behind them."""
    max_bytes_billed: Size | None = None
    """A query that would be billed for more fails instead."""
    follow: bool = True
    """Keep looking for new rows, or end when all there is was read."""
    poll_interval: Duration = Field(default=300.0, gt=0)
    """How long to wait before the next query when there was nothing more. Every query is billed."""
    timeout: Duration = Field(default=30.0, gt=0)
    """Seconds before one call is given up."""
    query_timeout: Duration = Field(default=600.0, gt=0)
    """Seconds before a query is given up."""

    @field_validator("query")
    @classmethod
    def _check_query(cls, value: str | None) -> str | None:
        if value is not None and (";" in value or not value.strip()):
            raise ValueError("query must be one SELECT, without a semicolon")
        return value

    @field_validator("order_by")
    @classmethod
    def _check_order(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for name in value:
            if not name.replace("_", "a").isalnum() or not name.isascii() or name[0].isdigit():
                raise ValueError(f"{name!r} is no name of a column")
        return value

    @model_validator(mode="after")
    def _check(self) -> "BigQuerySourceOptions":
        if (self.table is None) == (self.query is None):
            raise ValueError("give either a table or a query")
        return self
