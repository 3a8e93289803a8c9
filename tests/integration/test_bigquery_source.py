"""What is particular to BigQuery as a source: queries, rows without a document, order, lag, and where it stands."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import anyio
import pytest
from google.cloud.bigquery import Client, SchemaField, Table
from pydantic import ValidationError
from support.bigquery import PROJECT
from support.front import Answer, Front
from support.warehouse import make_table

from scribe_connectors.gcp.bigquery import BigQuerySource, BigQuerySourceOptions
from scribe_export.errors import Misconfigured, SinkError, Throttled, Transient
from scribe_export.interface import Context
from scribe_export.testing.clock import SimulatedClock
from scribe_export.testing.sealing import opened
from scribe_export.testing.source_driver import Intake, Notes
from scribe_local import servers

FAILING = Answer(503, b'{"error":{"code":503,"errors":[{"reason":"backendError"}],"message":"try later"}}')
QUOTA = Answer(403, b'{"error":{"code":403,"errors":[{"reason":"quotaExceeded"}],"message":"enough"}}')


@pytest.fixture
def front(bigquery: servers.BigQuery) -> Iterator[Front]:
    with Front(bigquery.port, unavailable=FAILING, denied=QUOTA) as front:
        yield front


def source(url: str, dataset: str, *, clock: SimulatedClock | None = None, **more: Any) -> BigQuerySource:
    options = {"project": PROJECT, "endpoint_url": url, "dataset": dataset} | more
    if "query" not in options:
        options["table"] = "scans"
    context = Context("old", once=True, clock=clock) if clock else Context("old", once=True)
    return BigQuerySource(BigQuerySourceOptions.model_validate(options), context)


def read(subject: BigQuerySource, notes: Notes) -> Intake:
    """One run to its end, all of it committed."""

    async def run() -> Intake:
        async with opened(subject):
            return await Intake(notes).run(subject, patience=20)

    found = anyio.run(run)
    if found.error:
        raise found.error
    return found


def odd_table(client: Client, dataset: str) -> None:
    """Rows without a document, with NULL and equal values where they are ordered."""
    columns = {
        "scan_id": "INTEGER",
        "day": "DATE",
        "score": "FLOAT",
        "price": "NUMERIC",
        "raw": "BYTES",
        "note": "STRING",
    }
    schema = [SchemaField(name, kind) for name, kind in columns.items()]
    client.create_table(Table(f"{PROJECT}.{dataset}.scans", schema=schema))
    rows: list[dict[str, Any]] = [
        {"scan_id": 1, "day": None, "note": None},
        {"scan_id": 2, "day": None, "note": "b"},
        {"scan_id": 3, "day": "2026-05-06", "note": None, "score": "NaN", "price": "1.10", "raw": "AAE="},
        {"scan_id": 4, "day": "2026-05-06", "note": "a"},
        {"scan_id": 5, "day": "2026-05-06", "note": "b"},
        {"scan_id": 6, "day": "2026-05-07", "note": None},
    ]
    assert client.insert_rows_json(f"{dataset}.scans", rows) == []


@pytest.mark.parametrize("size", [1, 2, 3, 4, 100])
def test_pages_that_end_anywhere_in_rows_with_null_lose_and_repeat_nothing(
    front: Front, bigquery_client: Client, dataset: str, size: int
) -> None:
    odd_table(bigquery_client, dataset)
    notes = Notes()
    subject = source(
        front.url, dataset, column=None, order_by=["day", "note", "scan_id"], page_size=size, rows_per_query=size
    )
    found = read(subject, notes)
    assert found.committed == ["1", "2", "3", "4", "5", "6"]
    assert json.loads(found.bodies["3"]) == {
        "scan_id": 3, "day": "2026-05-06", "note": None, "score": "nan", "price": "1.1", "raw": "AAE=",
    }  # fmt: skip
    assert read(subject, notes).committed == []


def test_a_query_is_read_like_a_table_and_its_text_is_where_it_stands(
    front: Front, bigquery_client: Client, dataset: str
) -> None:
    odd_table(bigquery_client, dataset)
    notes = Notes()
    more: dict[str, Any] = {"column": None, "order_by": ["scan_id"], "page_size": 2}
    even = source(front.url, dataset, query="SELECT * FROM scans WHERE MOD(scan_id, 2) = 0 -- even", **more)
    assert read(even, notes).committed == ["2", "4", "6"]
    assert read(even, notes).committed == []
    odd = source(front.url, dataset, query="SELECT * FROM scans WHERE MOD(scan_id, 2) = 1", **more)
    assert read(odd, notes).committed == ["1", "3", "5"]


def test_young_rows_are_left_until_none_can_come_before_them(
    front: Front, bigquery_client: Client, dataset: str
) -> None:
    make_table(bigquery_client, dataset)
    noon = 1_778_068_800  # 2026-05-06T12:00:00Z

    def put(scan_id: str, minute: int) -> None:
        row = {
            "scan_id": scan_id,
            "received_at": f"2026-05-06T12:{minute:02}:00Z",
            "document": json.dumps({"scan_id": scan_id}),
        }
        assert bigquery_client.insert_rows_json(f"{dataset}.scans", [row]) == []

    notes = Notes()
    put("early", 0)
    put("later", 8)

    def at(minute: int) -> BigQuerySource:
        return source(front.url, dataset, lag=300.0, clock=SimulatedClock(noon + 60.0 * minute))

    assert read(at(10), notes).committed == ["early"]
    put("between", 7)
    assert read(at(20), notes).committed == ["between", "later"]


def test_no_page_is_handed_over_behind_one_that_was_not_taken(
    front: Front, bigquery_client: Client, dataset: str
) -> None:
    odd_table(bigquery_client, dataset)
    subject = source(front.url, dataset, column=None, order_by=["scan_id"], page_size=2)

    seen: list[int] = []

    async def run() -> None:
        async with opened(subject):
            async for delivery in subject.deliveries(Notes()):
                seen.append(len(delivery.incoming))
                await delivery.nack()

    with pytest.raises(Transient, match="not taken"):
        anyio.run(run)
    assert seen == [2]


def test_what_the_operator_has_to_mend_is_said(front: Front, bigquery_client: Client, dataset: str) -> None:
    with pytest.raises(Misconfigured, match="Not found"):
        read(source(front.url, dataset), Notes())
    odd_table(bigquery_client, dataset)
    with pytest.raises(Misconfigured, match="refuses the query"):
        read(source(front.url, dataset), Notes())
    with pytest.raises(Misconfigured, match="no column document; they have scan_id"):
        read(source(front.url, dataset, order_by=["scan_id"]), Notes())


def test_quotas_and_failures_are_tried_again(front: Front, bigquery_client: Client, dataset: str) -> None:
    make_table(bigquery_client, dataset)
    kinds: list[type[SinkError]] = []
    for fault in (front.unavailable, front.denying):
        with fault(), pytest.raises(Transient) as caught:
            read(source(front.url, dataset), Notes())
        kinds.append(type(caught.value))
    assert kinds == [Transient, Throttled]


@pytest.mark.parametrize(
    ("more", "sentence"),
    [
        ({}, "either a table or a query"),
        ({"table": "scans", "query": "SELECT 1"}, "either a table or a query"),
        ({"query": "SELECT 1; DROP TABLE scans"}, "without a semicolon"),
        ({"table": "scans", "order_by": ["a`b"]}, "no name of a column"),
        ({"table": "scans", "order_by": []}, "at least 1"),
    ],
)
def test_options_that_make_no_sense_are_refused(more: dict[str, Any], sentence: str) -> None:
    with pytest.raises(ValidationError, match=sentence):
        BigQuerySourceOptions.model_validate({"dataset": "scribe", **more})
