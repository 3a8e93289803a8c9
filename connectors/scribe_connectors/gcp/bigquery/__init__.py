"""Scans as rows in BigQuery, and back."""

from scribe_connectors.gcp.bigquery.options import BigQuerySinkOptions
from scribe_connectors.gcp.bigquery.sink import BigQuerySink
from scribe_connectors.gcp.bigquery.source import BigQuerySource
from scribe_connectors.gcp.bigquery.source_options import BigQuerySourceOptions

__all__ = ["BigQuerySink", "BigQuerySinkOptions", "BigQuerySource", "BigQuerySourceOptions"]
