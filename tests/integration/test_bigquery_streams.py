"""BigQuery's sink by the Storage Write API: offsets, row errors, streams that are gone."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

import anyio
import grpc
import pytest
from google.cloud.bigquery import Client
from google.cloud.bigquery_storage_v1.types import AppendRowsRequest
from google.protobuf.json_format import MessageToJson
from support.bigquery import PROJECT, client, new_dataset, settings
from support.front import Front
from support.grpc_front import Status
from support.warehouse import (
    AppendFront,
    count_of,
    error_answer,
    make_table,
    of,
    outcome,
    sink,
    without_confidence,
)

from scribe_export.errors import Misconfigured, PartialFailure, Rejected, SinkError, Throttled, Transient
from scribe_export.model import Request
from scribe_export.testing.records import make_record, make_records
from scribe_export.testing.sealing import PLACES, encode, opened
from scribe_local import servers


@pytest.fixture
def front(bigquery: servers.BigQuery) -> Iterator[Front]:
    with Front(
        bigquery.port, unavailable=error_answer(503, "backendError"), denied=error_answer(403, "accessDenied")
    ) as front:
        yield front


@pytest.fixture
def warehouse(bigquery: servers.BigQuery) -> Iterator[Client]:
    PLACES.clear()
    with_client = client(bigquery.url)
    yield with_client
    with_client.close()
    settings(bigquery)


@pytest.fixture
def appends(bigquery: servers.BigQuery) -> Iterator[AppendFront]:
    with AppendFront(bigquery.target) as front:
        yield front


@pytest.fixture
def dataset(warehouse: Client) -> str:
    return new_dataset(warehouse)


# Streams


def written(appends: AppendFront) -> list[str]:
    """The names of the streams of each append that came."""
    return [AppendRowsRequest.deserialize(body).write_stream for body in appends.bodies("AppendRows")]


def test_a_repeat_is_refused_at_its_offset_and_counts_as_written(
    front: Front, appends: AppendFront, warehouse: Client, dataset: str
) -> None:
    make_table(warehouse, dataset)
    streaming: dict[str, Any] = {"method": "storage_write", "storage_endpoint_url": appends.url}
    subject = sink(front.url, dataset, **streaming)
    batch = of(subject, make_records(4))
    with appends.losing_appends():
        [error] = outcome(subject, batch)
    assert isinstance(error, Transient)
    assert error.applied == "unknown"
    assert outcome(sink(front.url, dataset, **streaming), replace(batch, attempt=2)) == [None]
    assert len(written(appends)) == 2
    assert len(set(written(appends))) == 1
    assert count_of(warehouse, dataset) == 4


def test_rows_that_the_stream_refuses_are_named(
    front: Front, appends: AppendFront, warehouse: Client, dataset: str
) -> None:
    make_table(warehouse, dataset, required=["confidence"])
    subject = sink(front.url, dataset, method="storage_write", storage_endpoint_url=appends.url)
    [error] = outcome(subject, of(subject, [make_record(1), without_confidence(2), make_record(3, seq=3)]))
    assert isinstance(error, PartialFailure)
    assert isinstance(error.errors[1], Rejected)
    assert {error.errors[0].applied, error.errors[2].applied} == {"no"}
    assert count_of(warehouse, dataset) == 0


def test_a_young_table_gets_no_stream(
    bigquery: servers.BigQuery, front: Front, appends: AppendFront, warehouse: Client, dataset: str
) -> None:
    options: dict[str, Any] = {"method": "storage_write", "storage_endpoint_url": appends.url, "create_table": {}}
    subject = sink(front.url, dataset, **options, min_table_age=600.0)

    async def prepare() -> None:
        async with opened(subject):
            await subject.prepare(of(subject, make_records(1)))

    with pytest.raises(Throttled, match="the table is new"):
        anyio.run(prepare)
    assert not appends.received


def test_a_stream_that_is_gone_is_made_anew_only_if_nothing_can_have_been_written(
    front: Front, appends: AppendFront, warehouse: Client, dataset: str
) -> None:
    make_table(warehouse, dataset)
    options: dict[str, Any] = {"method": "storage_write", "storage_endpoint_url": appends.url}
    subject = sink(front.url, dataset, **options)
    gone = f"projects/{PROJECT}/datasets/{dataset}/tables/scans/streams/gone"
    for attempt, burned, applied in ((1, True, "no"), (2, False, "unknown")):
        batch = of(subject, make_records(2), attempt=attempt)
        PLACES[batch.id] = gone
        [error] = outcome(sink(front.url, dataset, **options), batch)
        assert type(error) is Transient
        assert (error.burned, error.applied) == (burned, applied)
    assert count_of(warehouse, dataset) == 0


def test_a_column_that_was_dropped_meanwhile_is_the_operators(
    front: Front, appends: AppendFront, warehouse: Client, dataset: str
) -> None:
    make_table(warehouse, dataset)
    subject = sink(front.url, dataset, method="storage_write", storage_endpoint_url=appends.url)
    batch = of(subject, make_records(3))

    async def change() -> SinkError:
        async with opened(subject):
            warehouse.delete_table(f"{dataset}.scans")
            make_table(warehouse, dataset, kind="guide")
            with pytest.raises(SinkError) as caught:
                await subject.write(await encode(subject, batch))
            return caught.value

    error = anyio.run(change)
    assert isinstance(error, Misconfigured)
    assert "has no column" in str(error)


@pytest.mark.parametrize(
    ("code", "kind", "applied"),
    [
        (grpc.StatusCode.RESOURCE_EXHAUSTED, Throttled, "no"),
        (grpc.StatusCode.UNAUTHENTICATED, Misconfigured, "no"),
        (grpc.StatusCode.PERMISSION_DENIED, Misconfigured, "no"),
        (grpc.StatusCode.UNAVAILABLE, Transient, "unknown"),
        (grpc.StatusCode.INTERNAL, Transient, "unknown"),
        (grpc.StatusCode.DEADLINE_EXCEEDED, Transient, "unknown"),
        (grpc.StatusCode.INVALID_ARGUMENT, Transient, "no"),
    ],
)
def test_an_appends_status_is_judged_by_its_code_and_mends(
    front: Front,
    appends: AppendFront,
    warehouse: Client,
    dataset: str,
    code: grpc.StatusCode,
    kind: type[SinkError],
    applied: str,
) -> None:
    make_table(warehouse, dataset)
    options: dict[str, Any] = {"method": "storage_write", "storage_endpoint_url": appends.url}
    subject = sink(front.url, dataset, **options)
    with appends.scripted(lambda call: Status(code) if call.method.endswith("/AppendRows") else None):
        [error] = outcome(subject, of(subject, make_records(2)))
    assert type(error) is kind
    assert error.applied == applied
    assert outcome(sink(front.url, dataset, **options), of(subject, make_records(2), attempt=2)) == [None]
    assert count_of(warehouse, dataset) == 2


def test_a_batch_is_written_as_it_was_sealed_after_another_method_was_chosen(
    front: Front, appends: AppendFront, warehouse: Client, dataset: str
) -> None:
    make_table(warehouse, dataset)
    sealed = of(sink(front.url, dataset), make_records(3))
    other = sink(front.url, dataset, method="storage_write", storage_endpoint_url=appends.url)
    assert outcome(other, sealed) == [None]
    assert outcome(sink(front.url, dataset), replace(sealed, attempt=2)) == [None]
    assert not appends.received
    assert count_of(warehouse, dataset) == 3


def test_a_previewed_append_is_what_goes_over_the_wire(
    front: Front, appends: AppendFront, warehouse: Client, dataset: str
) -> None:
    make_table(warehouse, dataset)
    subject = sink(front.url, dataset, method="storage_write", storage_endpoint_url=appends.url)
    batch = of(subject, make_records(3))
    assert outcome(subject, batch) == [None]
    [sent] = appends.bodies("AppendRows")

    async def preview() -> Sequence[Request]:
        return await subject.preview(await encode(subject, batch))

    [shown] = anyio.run(preview)
    assert json.loads(shown.body) == json.loads(
        MessageToJson(AppendRowsRequest.pb().FromString(sent), preserving_proto_field_name=True)
    )
