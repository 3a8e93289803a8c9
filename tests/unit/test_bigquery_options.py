"""Which options of a gcp_bigquery destination go together, and what is frozen when a batch is sealed."""

from typing import Any

import pytest
from pydantic import ValidationError

from scribe_connectors.gcp.bigquery import BigQuerySink, BigQuerySinkOptions
from scribe_export.interface import Context
from scribe_export.lane.cut import BatchBounds
from scribe_export.model import EffectClass

PLAIN = {"project": "lab-1", "dataset": "scribe", "table": "scans"}


def options(**more: Any) -> BigQuerySinkOptions:
    return BigQuerySinkOptions.model_validate(PLAIN | more)


@pytest.mark.parametrize(
    ("more", "sentence"),
    [
        ({"batch": {"max_age": 59.9}}, "1,500 load jobs a table a day"),
        ({"method": "storage_write", "compression": "gzip"}, "compression is for method: load"),
        ({"max_request_bytes": 10**6}, "max_request_bytes is for the methods that stream"),
        ({"method": "storage_write", "endpoint_url": "http://127.0.0.1:1"}, "needs storage_endpoint_url"),
        ({"column_types": {"scan": "STRING"}}, "no column 'scan'"),
        ({"row": "guide", "column_types": {"document": "STRING"}}, "no column 'document'"),
        ({"column_types": {"scan_id": "FLOAT64"}}, "scan_id can be STRING or INT64"),
        ({"create_table": {"partition_by": "material"}}, "no TIMESTAMP column"),
        (
            {"create_table": {"partition_by": "timestamp"}, "column_types": {"timestamp": "STRING"}},
            "no TIMESTAMP column",
        ),
        ({"create_table": {"cluster_by": ["document"]}}, "'document' is no column"),
        ({"create_table": {"partition_expiration": 60.0}}, "needs partition_by"),
        ({"dataset": "a.b"}, "String should match"),
        ({"table": "a.b"}, "String should match"),
    ],
)
def test_what_does_not_go_together_is_refused_with_what_to_do(more: dict[str, Any], sentence: str) -> None:
    with pytest.raises(ValidationError, match=sentence):
        options(**more)


def test_load_jobs_are_made_of_batches_that_keep_to_the_quota() -> None:
    bounds = BatchBounds.of(BigQuerySink(options(), Context("w")))
    assert (bounds.max_records, bounds.max_bytes, bounds.max_age) == (50_000, 64 * 2**20, 120.0)
    wished = BatchBounds.of(BigQuerySink(options(batch={"max_records": 100, "max_age": 60.0}), Context("w")))
    assert (wished.max_records, wished.max_bytes, wished.max_age) == (100, 64 * 2**20, 60.0)
    soon = BatchBounds.of(BigQuerySink(options(method="insert_rows"), Context("w")))
    assert (soon.max_records, soon.max_age) == (500, 0.0)


@pytest.mark.parametrize(
    ("method", "identity", "kind"),
    [
        ("load", "batch", EffectClass.EXACT_PER_BATCH),
        ("storage_write", "batch", EffectClass.EXACT_PER_BATCH),
        ("insert_rows", "record", EffectClass.WINDOWED),
    ],
)
def test_each_method_says_what_a_repeat_does(method: str, identity: str, kind: EffectClass) -> None:
    sink = BigQuerySink(options(method=method), Context("w"))
    assert (sink.identity, sink.effect.kind) == (identity, kind)


def test_one_table_is_one_place_whatever_the_method() -> None:
    assert options().place() == options(method="insert_rows", row="guide").place()
    assert options().place() != options(table="other").place()
