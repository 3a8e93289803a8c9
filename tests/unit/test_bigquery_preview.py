"""What a first write would send, made offline."""

import json
import re
from typing import Any

import anyio
import pytest

from scribe_connectors.gcp.bigquery import BigQuerySink, BigQuerySinkOptions
from scribe_export.interface import Context
from scribe_export.model import Request
from scribe_export.testing.records import make_record, make_records, scan_body
from scribe_export.testing.sealing import seal_one
from scribe_export.testing.sink_encoding import no_network

HOST = "https://bigquery.googleapis.com"


def previewed(records: Any, **more: Any) -> tuple[list[Request], str]:
    options = BigQuerySinkOptions.model_validate({"project": "lab-1", "dataset": "scribe", "table": "scans", **more})
    sink = BigQuerySink(options, Context("warehouse"))
    batch = seal_one(sink, records)

    async def preview() -> list[Request]:
        return list(await sink.preview(sink.encode(batch)))

    with no_network():
        return anyio.run(preview), batch.id


def test_a_load_job_is_one_upload_named_by_the_batch() -> None:
    [request], batch_id = previewed(make_records(3))
    assert (request.method, request.records) == ("POST", (0, 1, 2))
    assert request.target == f"{HOST}/upload/bigquery/v2/projects/lab-1/jobs?uploadType=multipart"
    _, job, rows = request.body.split(b"\r\n\r\n")
    found = json.loads(job.split(b"\r\n")[0])
    assert re.fullmatch(f"scribe_export_{batch_id}_[0-9a-f]{{8}}_0", found["jobReference"]["jobId"])
    assert found["jobReference"]["projectId"] == "lab-1"
    assert found["configuration"]["load"]["writeDisposition"] == "WRITE_APPEND"
    lines = rows.split(b"\n")[:3]
    assert [json.loads(line)["document"]["scan_id"] for line in lines] == [1, 2, 3]


def test_a_large_load_job_is_a_resumable_upload() -> None:
    records = [make_record(n, seq=n, body=scan_body(n, size=2 * 2**20)) for n in range(1, 4)]
    (start, rows), _ = previewed(records)
    assert start.target.endswith("uploadType=resumable")
    assert rows.method == "PUT"
    assert len(rows.body) > 6 * 2**20


def test_rows_are_inserted_in_requests_that_say_which_records_they_carry() -> None:
    records = make_records(600)
    requests, _ = previewed(records, method="insert_rows")
    assert [len(one.records) for one in requests] == [500, 100]
    path = "/bigquery/v2/projects/lab-1/datasets/scribe/tables/scans/insertAll"
    assert {one.target for one in requests} == {HOST + path}
    rows = json.loads(requests[1].body)["rows"]
    assert [row["json"]["sha256"] for row in rows] == [records[index].sha256 for index in requests[1].records]
    assert len({row["insertId"] for one in requests for row in json.loads(one.body)["rows"]}) == 600


def test_a_stream_gets_one_append_at_its_beginning() -> None:
    [request], _ = previewed(make_records(2), method="storage_write")
    assert request.method == "google.cloud.bigquery.storage.v1.BigQueryWrite/AppendRows"
    assert request.target == "bigquerystorage.googleapis.com:443"
    body = json.loads(request.body)
    assert body["offset"] == "0"
    assert len(body["proto_rows"]["rows"]["serialized_rows"]) == 2
    assert body["write_stream"] == "projects/lab-1/datasets/scribe/tables/scans/streams/-"


@pytest.mark.parametrize("method", ["load", "storage_write", "insert_rows"])
def test_a_row_that_is_too_large_is_named_as_such(method: str) -> None:
    options = {"project": "lab-1", "dataset": "scribe", "table": "scans", "method": method, "max_row_bytes": 5000}
    sink = BigQuerySink(BigQuerySinkOptions.model_validate(options), Context("warehouse"))
    records = [make_record(1), make_record(2, seq=2, body=scan_body(2, size=6000)), make_record(3, seq=3)]
    encoded = sink.encode(seal_one(sink, records))
    assert {index: error.kind for index, error in encoded.refused.items()} == {1: "too_large"}
