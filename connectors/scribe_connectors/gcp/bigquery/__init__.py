"""Scans as rows in BigQuery, and back."""

from scribe_connectors.gcp.bigquery.options import BigQuerySinkOptions
from scribe_connectors.gcp.bigquery.sink import BigQuerySink

__all__ = ["BigQuerySink", "BigQuerySinkOptions"]
