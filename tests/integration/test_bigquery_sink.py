"""What is particular to BigQuery: tables, schemas, jobs, row errors, and the faults of reliability's list."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import replace
from typing import Any

import anyio
import grpc
import pytest
from google.cloud.bigquery import Client, SchemaField, Table
from google.cloud.bigquery_storage_v1.types import AppendRowsRequest
from google.protobuf.json_format import MessageToJson
from support.bigquery import PROJECT, client, new_dataset, settings
from support.front import Answer, Front, Received
from support.grpc_front import Status
from support.warehouse import AppendFront, count_of, make_table, rows_of, sink

from scribe_connectors.gcp.bigquery import BigQuerySink
from scribe_export.errors import Misconfigured, PartialFailure, Rejected, SinkError, Throttled, Transient
from scribe_export.model import Batch, Record, Request
from scribe_export.testing.clock import SimulatedClock
from scribe_export.testing.records import make_record, make_records, scan_body, scan_document
from scribe_export.testing.sealing import PLACES, encode, opened, seal_one
from scribe_local import servers

METHODS = ("load", "insert_rows")


@pytest.fixture
def front(bigquery: servers.BigQuery) -> Iterator[Front]:
    with Front(bigquery.port, unavailable=_error(503, "backendError"), denied=_error(403, "accessDenied")) as front:
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


def _error(status: int, reason: str, **headers: str) -> Answer:
    document = {"error": {"code": status, "message": "said by the front", "errors": [{"reason": reason}]}}
    return Answer(status, json.dumps(document).encode(), headers=headers)


def outcome(subject: BigQuerySink, *batches: Batch) -> list[SinkError | None]:
    """What became of each batch, one after the other, by one opened sink."""

    async def attempt() -> list[SinkError | None]:
        found: list[SinkError | None] = []
        async with opened(subject):
            for batch in batches:
                try:
                    await subject.write(await encode(subject, batch))
                    found.append(None)
                except SinkError as error:
                    found.append(error)
        return found

    return anyio.run(attempt)


def of(subject: BigQuerySink, records: Sequence[Record], **changes: Any) -> Batch:
    return replace(seal_one(subject, records), **changes)


def uploads(front: Front) -> list[Received]:
    return [one for one in front.received if one.path.startswith("/upload/")]


def inserts(front: Front) -> list[list[dict[str, Any]]]:
    """The rows of each insertAll that came."""
    return [json.loads(one.body)["rows"] for one in front.received if one.path.endswith("/insertAll")]


def without_confidence(scan_id: int) -> Record:
    document = scan_document(scan_id) | {"interpretation": {}}
    return make_record(scan_id, seq=scan_id, body=json.dumps(document).encode())


# Tables and schemas


def test_a_missing_table_is_made_with_its_partitions_and_clusters(
    front: Front, warehouse: Client, dataset: str
) -> None:
    layout = {"partition_by": "timestamp", "partition_unit": "MONTH", "cluster_by": ["material", "scan_id"]}
    subject = sink(front.url, dataset, create_table=layout | {"partition_expiration": 86400.0 * 90})
    assert outcome(subject, of(subject, make_records(3))) == [None]
    table = warehouse.get_table(f"{dataset}.scans")
    assert table.time_partitioning.field == "timestamp"
    assert table.time_partitioning.type_ == "MONTH"
    assert table.time_partitioning.expiration_ms == 90 * 86400 * 1000
    assert table.clustering_fields == ["material", "scan_id"]
    assert {field.name: field.field_type for field in table.schema}["document"] == "JSON"
    assert count_of(warehouse, dataset) == 3


@pytest.mark.parametrize("method", METHODS)
def test_a_missing_table_holds_unless_it_may_be_made(
    front: Front, warehouse: Client, dataset: str, method: str
) -> None:
    with pytest.raises(Misconfigured, match="set create_table"):
        outcome(sink(front.url, dataset, method=method))
    with pytest.raises(Misconfigured, match="no dataset nowhere"):
        outcome(sink(front.url, "nowhere", method=method, create_table={}))


def schema(*fields: SchemaField) -> list[SchemaField]:
    have = {field.name for field in fields}
    rest = [SchemaField(name, "STRING") for name in ("scan_id", "material", "features_json", "interpretation_json")]
    rest += [SchemaField("timestamp", "TIMESTAMP"), SchemaField("confidence", "FLOAT64")]
    return [*fields, *(field for field in rest if field.name not in have)]


@pytest.mark.parametrize(
    ("field", "sentence"),
    [
        (SchemaField("confidence", "STRING"), "column confidence of .* is STRING, and rows have FLOAT64"),
        (SchemaField("scan_id", "INTEGER"), "column scan_id of .* is INT64, and rows have STRING"),
        (SchemaField("material", "STRING", mode="REPEATED"), "column material of .* is REPEATED STRING"),
        (SchemaField("laboratory", "STRING", mode="REQUIRED"), "column laboratory of .* is REQUIRED, and rows have no"),
    ],
)
@pytest.mark.parametrize("mode", ["freeze", "evolve"])
def test_a_schema_that_differs_is_refused_naming_the_field(
    front: Front, warehouse: Client, dataset: str, field: SchemaField, sentence: str, mode: str
) -> None:
    warehouse.create_table(Table(f"{PROJECT}.{dataset}.scans", schema=schema(field)))
    with pytest.raises(Misconfigured, match=sentence):
        outcome(sink(front.url, dataset, row="guide", schema=mode))


def test_a_frozen_schema_names_the_columns_it_lacks_and_one_that_evolves_gets_them(
    front: Front, warehouse: Client, dataset: str
) -> None:
    make_table(warehouse, dataset, kind="guide")
    with pytest.raises(Misconfigured, match="has no column received_at TIMESTAMP, signal_type STRING"):
        outcome(sink(front.url, dataset))
    subject = sink(front.url, dataset, schema="evolve")
    assert outcome(subject, of(subject, make_records(2))) == [None]
    added = {field.name: (field.field_type, field.mode) for field in warehouse.get_table(f"{dataset}.scans").schema}
    assert added["document"] == ("JSON", "NULLABLE")
    assert "features_json" in added
    assert [row["document"]["scan_id"] for row in rows_of(warehouse, dataset)] == [1, 2]


def test_the_guides_own_table_takes_the_guides_rows(front: Front, warehouse: Client, dataset: str) -> None:
    types: dict[str, Any] = {"scan_id": "INT64"}
    make_table(warehouse, dataset, kind="guide", types=types)
    for method in METHODS:
        subject = sink(front.url, dataset, row="guide", column_types=types, method=method)
        assert outcome(subject, of(subject, [make_record(len(method))])) == [None]
    rows = rows_of(warehouse, dataset)
    assert [row["scan_id"] for row in rows] == [4, 11]
    assert json.loads(rows[0]["features_json"]) == make_record(4).document()["features"]


# Young tables (F-13)


@pytest.mark.parametrize("method", ["insert_rows"])
def test_a_young_table_is_not_streamed_into_and_nothing_is_lost(
    bigquery: servers.BigQuery, front: Front, warehouse: Client, dataset: str, method: str
) -> None:
    settings(bigquery, new_table_blackhole_seconds=3600.0)
    subject = sink(front.url, dataset, method=method, create_table={}, min_table_age=600.0)
    batch = of(subject, make_records(3))
    [error] = outcome(subject, batch)
    assert isinstance(error, Throttled)
    assert error.applied == "no"
    assert error.retry_after is not None
    assert 500 < error.retry_after <= 600
    assert not inserts(front)
    settings(bigquery)
    made = warehouse.get_table(f"{dataset}.scans").created.timestamp()
    for age, grown in ((599.0, False), (601.0, True)):
        clock = SimulatedClock(made + age)
        [error] = outcome(sink(front.url, dataset, method=method, min_table_age=600.0, clock=clock), batch)
        assert (error is None) is grown
    assert count_of(warehouse, dataset) == 3


def test_without_the_wait_the_local_server_does_lose_the_rows(
    bigquery: servers.BigQuery, front: Front, warehouse: Client, dataset: str
) -> None:
    settings(bigquery, new_table_blackhole_seconds=3600.0)
    subject = sink(front.url, dataset, method="insert_rows", create_table={}, min_table_age=0.0)
    assert outcome(subject, of(subject, make_records(3))) == [None]
    assert count_of(warehouse, dataset) == 0


def test_a_load_job_fills_a_new_table_at_once(
    bigquery: servers.BigQuery, front: Front, warehouse: Client, dataset: str
) -> None:
    settings(bigquery, new_table_blackhole_seconds=3600.0)
    subject = sink(front.url, dataset, create_table={}, min_table_age=600.0)
    assert outcome(subject, of(subject, make_records(3))) == [None]
    assert count_of(warehouse, dataset) == 3


def test_a_table_whose_columns_were_added_is_young_again(front: Front, warehouse: Client, dataset: str) -> None:
    make_table(warehouse, dataset, kind="guide")
    subject = sink(front.url, dataset, method="insert_rows", schema="evolve", min_table_age=600.0)
    [error] = outcome(subject, of(subject, make_records(1)))
    assert isinstance(error, Throttled)


# Load jobs


def test_a_repeat_finds_the_job_and_uploads_nothing(front: Front, warehouse: Client, dataset: str) -> None:
    make_table(warehouse, dataset)
    subject = sink(front.url, dataset)
    batch = of(subject, make_records(4))
    assert outcome(subject, batch) == [None]
    assert outcome(sink(front.url, dataset), of(subject, make_records(4), attempt=2)) == [None]
    assert len(uploads(front)) == 1
    # A crash before the attempt was charged: the service refuses the name, and the job that has it is looked at.
    assert outcome(sink(front.url, dataset), batch) == [None]
    assert len(uploads(front)) == 2
    assert count_of(warehouse, dataset) == 4


def test_a_job_that_runs_on_is_unknown_and_the_next_attempt_watches_the_same(
    bigquery: servers.BigQuery, front: Front, warehouse: Client, dataset: str
) -> None:
    make_table(warehouse, dataset)
    settings(bigquery, load_job_seconds=2.0)
    subject = sink(front.url, dataset, job_timeout=0.3)
    [error] = outcome(subject, of(subject, make_records(4)))
    assert isinstance(error, Throttled)
    assert (error.applied, error.burned) == ("unknown", False)
    assert count_of(warehouse, dataset) == 0
    assert outcome(sink(front.url, dataset), of(subject, make_records(4), attempt=2)) == [None]
    assert len(uploads(front)) == 1
    assert count_of(warehouse, dataset) == 4


def test_a_row_that_the_table_refuses_is_named_and_the_name_is_burned(
    front: Front, warehouse: Client, dataset: str
) -> None:
    make_table(warehouse, dataset, required=["confidence"])
    subject = sink(front.url, dataset)
    records = [make_record(1), without_confidence(2), make_record(3, seq=3)]
    [error] = outcome(subject, of(subject, records))
    assert isinstance(error, PartialFailure)
    assert error.burned
    assert not error.acked
    assert isinstance(error.errors[1], Rejected)
    assert {error.errors[0].applied, error.errors[2].applied} == {"no"}
    assert count_of(warehouse, dataset) == 0
    # The failed job keeps its name: only the next generation has an effect.
    [again] = outcome(sink(front.url, dataset), of(subject, records, attempt=2))
    assert isinstance(again, PartialFailure)
    assert again.burned


def test_a_table_that_changed_is_the_operators_and_no_rows_fault(front: Front, warehouse: Client, dataset: str) -> None:
    make_table(warehouse, dataset)
    subject = sink(front.url, dataset)
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
    # The job has failed and used up its name: it takes a new one once the table is right.
    assert error.burned


@pytest.mark.parametrize(
    ("changes", "kind"),
    [
        ({"reason": "quotaExceeded"}, Throttled),
        ({"reason": "backendError"}, Transient),
        ({"reason": "stopped"}, Transient),
        ({"reason": "accessDenied"}, Misconfigured),
        ({"reason": "invalid", "message": "nobody knows where"}, Transient),
    ],
)
def test_a_failed_job_is_judged_by_its_reason_and_its_name_is_burned(
    front: Front, warehouse: Client, dataset: str, changes: dict[str, str], kind: type[SinkError]
) -> None:
    make_table(warehouse, dataset)
    subject = sink(front.url, dataset)
    problem = {"message": "so it is"} | changes
    job = {
        "jobReference": {"projectId": PROJECT, "jobId": "x", "location": "US"},
        "configuration": {"load": {}},
        "status": {"state": "DONE", "errorResult": problem, "errors": [problem]},
    }

    def answer(came: Received) -> Answer | None:
        return Answer(200, json.dumps(job).encode()) if came.path.startswith("/upload/") else None

    with front.scripted(answer):
        [error] = outcome(subject, of(subject, make_records(3)))
    assert type(error) is kind
    assert (error.applied, error.burned) == ("no", True)


def test_a_used_up_quota_throttles_and_the_batch_goes_in_once_there_is_some(
    bigquery: servers.BigQuery, front: Front, warehouse: Client, dataset: str
) -> None:
    make_table(warehouse, dataset)
    settings(bigquery, load_jobs_per_table_per_day=0)
    subject = sink(front.url, dataset)
    [error] = outcome(subject, of(subject, make_records(2)))
    assert type(error) is Throttled
    assert (error.applied, error.burned) == ("no", True)
    settings(bigquery)
    assert outcome(sink(front.url, dataset), of(subject, make_records(2), attempt=2, generation=1)) == [None]
    assert count_of(warehouse, dataset) == 2


# Rows inserted (F-12)


def test_invalid_rows_are_refused_and_stopped_ones_come_again_with_their_ids(
    front: Front, warehouse: Client, dataset: str
) -> None:
    make_table(warehouse, dataset, required=["confidence"])
    subject = sink(front.url, dataset, method="insert_rows")
    records = [make_record(0, seq=1), make_record(1, seq=2), without_confidence(2), make_record(3, seq=4)]
    [error] = outcome(subject, of(subject, records))
    assert isinstance(error, PartialFailure)
    assert {index: type(one) for index, one in error.errors.items()} == {
        0: Transient,
        1: Transient,
        2: Rejected,
        3: Transient,
    }
    assert {error.errors[index].applied for index in (0, 1, 3)} == {"no"}
    rest = [record for index, record in enumerate(records) if index != 2]
    subject = sink(front.url, dataset, method="insert_rows")
    with front.losing_answers():
        [lost] = outcome(subject, of(subject, rest, attempt=2))
    assert lost is not None
    assert lost.applied == "unknown"
    assert outcome(sink(front.url, dataset, method="insert_rows"), of(subject, rest, attempt=3)) == [None]
    first, second, third = inserts(front)
    ids = [row["insertId"] for row in first]
    assert [row["insertId"] for row in second] == [row["insertId"] for row in third] == [ids[0], ids[1], ids[3]]
    assert count_of(warehouse, dataset) == 3


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


# What is printed and what is sent


def bare(body: bytes, content_type: str) -> bytes:
    """An upload's body without the random boundary between its parts."""
    boundary = content_type.partition("boundary=")[2].strip('"')
    return body.replace(boundary.encode(), b"") if boundary else body


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("size", [None, 2_000_000])
def test_a_preview_is_what_goes_over_the_wire(
    front: Front, warehouse: Client, dataset: str, method: str, size: int | None
) -> None:
    make_table(warehouse, dataset)
    subject = sink(front.url, dataset, method=method, concurrency=1)
    records = [make_record(n, seq=n, body=scan_body(n, size=size)) for n in range(1, 5)]
    batch = of(subject, records)

    async def preview() -> Sequence[Request]:
        return await subject.preview(subject.encode(batch))

    shown = anyio.run(preview)
    assert not front.received
    assert outcome(subject, batch) == [None]
    sent = [one for one in front.received if one.method != "GET"]
    assert [(one.method, one.target.removeprefix(front.url).split("&upload_id")[0]) for one in shown] == [
        (one.method, one.path.split("&upload_id")[0]) for one in sent
    ]
    for one, real in zip(shown, sent, strict=True):
        assert bare(one.body, one.headers.get("content-type", "")) == bare(real.body, real.headers["content-type"])


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


# What every method does


Fault = Callable[[Front], AbstractContextManager[object]]


def answered(status: int, reason: str, **headers: str) -> Fault:
    def fault(front: Front) -> AbstractContextManager[object]:
        # A look at the table is no write.
        return front.scripted(lambda came: None if came.method == "GET" else _error(status, reason, **headers))

    return fault


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize(
    ("fault", "kind", "applied", "after"),
    [
        (answered(403, "quotaExceeded"), Throttled, "no", None),
        (answered(403, "rateLimitExceeded", **{"Retry-After": "7"}), Throttled, "no", 7.0),
        (answered(429, "jobRateLimitExceeded"), Throttled, "no", None),
        (answered(401, "authError"), Misconfigured, "no", None),
        (answered(403, "accessDenied"), Misconfigured, "no", None),
        (answered(404, "notFound"), Misconfigured, "no", None),
        (answered(503, "backendError"), Transient, "unknown", None),
        (answered(500, "internalError"), Transient, "unknown", None),
    ],
)
def test_an_answer_is_judged_by_its_code_and_mends(
    front: Front,
    warehouse: Client,
    dataset: str,
    method: str,
    fault: Fault,
    kind: type[SinkError],
    applied: str,
    after: float | None,
) -> None:
    make_table(warehouse, dataset)
    subject = sink(front.url, dataset, method=method)
    with fault(front):
        [error] = outcome(subject, of(subject, make_records(2)))
    assert type(error) is kind
    assert error.applied == applied
    assert getattr(error, "retry_after", None) == after
    assert not error.burned
    assert outcome(sink(front.url, dataset, method=method), of(subject, make_records(2), attempt=2)) == [None]
    assert count_of(warehouse, dataset) == 2
