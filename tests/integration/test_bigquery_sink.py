"""BigQuery's sink: load jobs, inserted rows, and the faults of reliability's list."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager

import anyio
import pytest
from google.cloud.bigquery import Client
from support.bigquery import PROJECT, client, new_dataset, settings
from support.front import Answer, Front, Received
from support.warehouse import (
    count_of,
    error_answer,
    inserts,
    make_table,
    of,
    outcome,
    sink,
    uploads,
    without_confidence,
)

from scribe_export.errors import Misconfigured, PartialFailure, Rejected, SinkError, Throttled, Transient
from scribe_export.model import Request
from scribe_export.testing.records import make_record, make_records, scan_body
from scribe_export.testing.sealing import PLACES, encode, opened
from scribe_local import servers

METHODS = ("load", "insert_rows")


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
def dataset(warehouse: Client) -> str:
    return new_dataset(warehouse)


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


@pytest.mark.fault("F-12")
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


# What every method does


Fault = Callable[[Front], AbstractContextManager[object]]


def answered(status: int, reason: str, **headers: str) -> Fault:
    def fault(front: Front) -> AbstractContextManager[object]:
        # A look at the table is no write.
        return front.scripted(lambda came: None if came.method == "GET" else error_answer(status, reason, **headers))

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
