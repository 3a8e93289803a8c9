"""The local BigQuery's Storage Write API, as its genuine client finds it.

https://cloud.google.com/bigquery/docs/write-api, and for the errors
https://cloud.google.com/bigquery/docs/reference/storage/rpc/google.cloud.bigquery.storage.v1
"""

import json
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from google.api_core.exceptions import InvalidArgument, NotFound
from google.cloud import bigquery as bq
from google.cloud.bigquery_storage_v1 import BigQueryWriteClient, types
from google.cloud.bigquery_storage_v1.types import StorageError, WriteStream
from support.bigquery import PROJECT, client, new_dataset, settings
from support.bigquery_rows import (
    BYTES,
    DOUBLE,
    INT32,
    INT64,
    MESSAGE,
    REPEATED,
    STRING,
    Columns,
    append,
    descriptor,
    proto_request,
    storage_error,
    write_client,
)

from scribe_local import servers

OK, INVALID_ARGUMENT, ALREADY_EXISTS, OUT_OF_RANGE = 0, 3, 6, 11
COLUMNS: Columns = {"id": (INT64, False), "document": (STRING, False)}
ROW = descriptor(COLUMNS)
Code = StorageError.StorageErrorCode


@pytest.fixture(scope="module")
def writer(bigquery: servers.BigQuery) -> Iterator[BigQueryWriteClient]:
    """A genuine client."""
    opened = write_client(bigquery)
    yield opened
    opened.transport.close()


@pytest.fixture
def table(bigquery_client: bq.Client, dataset: str) -> bq.Table:
    """An empty one."""
    schema = [
        bq.SchemaField("id", "INT64", "REQUIRED"),
        bq.SchemaField("document", "JSON"),
        bq.SchemaField("tags", "STRING", "REPEATED"),
    ]
    return bigquery_client.create_table(bq.Table(f"{PROJECT}.{dataset}.scans", schema=schema))


def _path(table: bq.Table) -> str:
    return f"projects/{table.project}/datasets/{table.dataset_id}/tables/{table.table_id}"


def _rows(*ids: int) -> list[dict[str, Any]]:
    return [{"id": number, "document": json.dumps({"n": number})} for number in ids]


def _stored(bigquery_client: bq.Client, table: bq.Table) -> list[int]:
    return sorted(row["id"] for row in bigquery_client.list_rows(table))


def _codes(responses: list[types.AppendRowsResponse]) -> list[int]:
    return [response.error.code for response in responses]


# https://cloud.google.com/bigquery/docs/write-api#default_stream
def test_the_default_stream_shows_rows_at_once_and_takes_no_offset(
    bigquery_client: bq.Client, writer: BigQueryWriteClient, table: bq.Table
) -> None:
    stream = f"{_path(table)}/streams/_default"
    first, second = append(writer, proto_request(stream, ROW, _rows(1, 2)), proto_request(stream, ROW, _rows(2)))
    assert "offset" not in first.append_result
    assert _codes([first, second]) == [OK, OK]
    assert _stored(bigquery_client, table) == [1, 2, 2]
    assert next(iter(bigquery_client.list_rows(table)))["document"] == {"n": 1}
    assert _codes(append(writer, proto_request(stream, ROW, _rows(3), offset=0))) == [INVALID_ARGUMENT]
    assert _stored(bigquery_client, table) == [1, 2, 2]


# https://cloud.google.com/bigquery/docs/write-api#exactly-once
def test_an_offset_is_written_once(bigquery_client: bq.Client, writer: BigQueryWriteClient, table: bq.Table) -> None:
    stream = writer.create_write_stream(parent=_path(table), write_stream=WriteStream(type_="COMMITTED"))
    assert [field.name for field in stream.table_schema.fields] == ["id", "document", "tags"]
    assert stream.commit_time == stream.create_time
    answers = append(
        writer,
        proto_request(stream.name, ROW, _rows(1, 2), offset=0),
        proto_request(stream.name, ROW, _rows(1, 2), offset=0),
        proto_request(stream.name, ROW, _rows(9), offset=3),
        proto_request(stream.name, ROW, _rows(3), offset=2),
        proto_request(stream.name, ROW, _rows(4)),
    )
    assert _codes(answers) == [OK, ALREADY_EXISTS, OUT_OF_RANGE, OK, OK]
    assert [storage_error(answer.error.details).code for answer in answers[1:3]] == [
        Code.OFFSET_ALREADY_EXISTS,
        Code.OFFSET_OUT_OF_RANGE,
    ]
    assert [answers[index].append_result.offset for index in (0, 3, 4)] == [0, 2, 3]
    # A new connection finds the stream as the last one left it.
    assert _codes(append(writer, proto_request(stream.name, ROW, _rows(4), offset=3))) == [ALREADY_EXISTS]
    assert _stored(bigquery_client, table) == [1, 2, 3, 4]


def test_offsets_last_over_a_kill_with_their_rows(tmp_path: Path) -> None:
    with servers.bigquery(keep=True, folder=tmp_path) as server:
        genuine, own_writer = client(server.url), write_client(server)
        schema = [bq.SchemaField("id", "INT64"), bq.SchemaField("document", "JSON")]
        table = genuine.create_table(bq.Table(f"{PROJECT}.{new_dataset(genuine)}.scans", schema=schema))
        stream = own_writer.create_write_stream(parent=_path(table), write_stream=WriteStream(type_="COMMITTED"))
        assert _codes(append(own_writer, proto_request(stream.name, ROW, _rows(1, 2), offset=0))) == [OK]
        own_writer.transport.close()
        server.kill()
        server.start()
        own_writer = write_client(server)
        again, more = (proto_request(stream.name, ROW, _rows(*ids), offset=at) for ids, at in (([1, 2], 0), ([3], 2)))
        assert _codes(append(own_writer, again, more)) == [ALREADY_EXISTS, OK]
        assert _stored(genuine, table) == [1, 2, 3]
        own_writer.transport.close()
        genuine.close()


# https://cloud.google.com/bigquery/docs/write-api-batch
def test_rows_of_pending_streams_are_seen_together_once_committed(
    bigquery_client: bq.Client, writer: BigQueryWriteClient, table: bq.Table
) -> None:
    names = []
    for number in (1, 2):
        stream = writer.create_write_stream(parent=_path(table), write_stream=WriteStream(type_="PENDING"))
        assert _codes(append(writer, proto_request(stream.name, ROW, _rows(number), offset=0))) == [OK]
        names.append(stream.name)
    commit = types.BatchCommitWriteStreamsRequest(parent=_path(table), write_streams=names)
    assert writer.finalize_write_stream(name=names[0]).row_count == 1
    refused = writer.batch_commit_write_streams(commit)
    assert "commit_time" not in refused
    assert [(error.code, error.entity) for error in refused.stream_errors] == [(Code.INVALID_STREAM_STATE, names[1])]
    assert _stored(bigquery_client, table) == []
    writer.finalize_write_stream(name=names[1])
    assert "commit_time" in writer.batch_commit_write_streams(commit)
    assert _stored(bigquery_client, table) == [1, 2]
    again = writer.batch_commit_write_streams(commit)
    assert {error.code for error in again.stream_errors} == {Code.STREAM_ALREADY_COMMITTED}
    assert _stored(bigquery_client, table) == [1, 2]


# https://cloud.google.com/bigquery/docs/write-api#buffered_type
def test_rows_of_a_buffered_stream_are_seen_up_to_where_it_is_flushed(
    bigquery_client: bq.Client, writer: BigQueryWriteClient, table: bq.Table
) -> None:
    stream = writer.create_write_stream(parent=_path(table), write_stream=WriteStream(type_="BUFFERED"))
    append(writer, *(proto_request(stream.name, ROW, _rows(number)) for number in (1, 2, 3)))
    assert _stored(bigquery_client, table) == []
    for _ in range(2):
        assert writer.flush_rows(types.FlushRowsRequest(write_stream=stream.name, offset=1)).offset == 1
        assert _stored(bigquery_client, table) == [1, 2]


def test_a_finalized_stream_takes_no_rows(
    bigquery_client: bq.Client, writer: BigQueryWriteClient, table: bq.Table
) -> None:
    stream = writer.create_write_stream(parent=_path(table), write_stream=WriteStream(type_="COMMITTED"))
    writer.finalize_write_stream(name=stream.name)
    (answer,) = append(writer, proto_request(stream.name, ROW, _rows(1), offset=0))
    assert answer.error.code == INVALID_ARGUMENT
    assert storage_error(answer.error.details).code == Code.STREAM_FINALIZED
    assert _stored(bigquery_client, table) == []


def test_a_bad_row_is_named_and_its_request_writes_nothing(
    bigquery_client: bq.Client, writer: BigQueryWriteClient, table: bq.Table
) -> None:
    rows = [*_rows(1), {"id": 2, "document": "{"}, {"document": "{}"}]
    stream = f"{_path(table)}/streams/_default"
    bad, good = append(writer, proto_request(stream, ROW, rows), proto_request(stream, ROW, _rows(5)))
    assert bad.error.code == INVALID_ARGUMENT
    assert [error.index for error in bad.row_errors] == [1, 2]
    assert {error.code for error in bad.row_errors} == {types.RowError.RowErrorCode.FIELDS_ERROR}
    assert good.error.code == OK
    assert _stored(bigquery_client, table) == [5]


def test_a_field_that_the_table_lacks_is_refused(
    bigquery_client: bq.Client, writer: BigQueryWriteClient, table: bq.Table
) -> None:
    more = descriptor({**COLUMNS, "unknown": (STRING, False)})
    (answer,) = append(writer, proto_request(f"{_path(table)}/streams/_default", more, _rows(1)))
    assert answer.error.code == INVALID_ARGUMENT
    assert storage_error(answer.error.details).code == Code.SCHEMA_MISMATCH_EXTRA_FIELDS
    assert "unknown" in answer.error.message
    assert _stored(bigquery_client, table) == []


@pytest.mark.parametrize(
    "columns",
    [{"document": (STRING, False)}, {"id": (STRING, False)}, {"id": (INT64, True)}],
    ids=["a required column is missing", "another type", "repeated"],
)
def test_a_descriptor_that_does_not_suit_the_table_is_refused(
    writer: BigQueryWriteClient, table: bq.Table, columns: Columns
) -> None:
    stream = f"{_path(table)}/streams/_default"
    (answer,) = append(writer, proto_request(stream, descriptor(columns), []))
    assert answer.error.code == INVALID_ARGUMENT


# https://cloud.google.com/bigquery/quotas#write-api-limits
def test_a_request_above_20_mb_is_refused(
    bigquery_client: bq.Client, writer: BigQueryWriteClient, table: bq.Table
) -> None:
    stream = f"{_path(table)}/streams/_default"
    large = [{"id": number, "document": json.dumps("x" * 4_000_000)} for number in range(5)]
    with pytest.raises(InvalidArgument, match="MessageSize is too large"):
        append(writer, proto_request(stream, ROW, large))
    assert _stored(bigquery_client, table) == []
    assert _codes(append(writer, proto_request(stream, ROW, large[:4]))) == [OK]


def test_what_is_not_there_is_not_found(writer: BigQueryWriteClient, table: bq.Table) -> None:
    with pytest.raises(NotFound) as caught:
        append(writer, proto_request(f"{_path(table)}nope/streams/_default", ROW, _rows(1)))
    assert storage_error(caught.value.details).code == Code.TABLE_NOT_FOUND
    with pytest.raises(NotFound) as caught:
        append(writer, proto_request(f"{_path(table)}/streams/nope", ROW, _rows(1)))
    assert storage_error(caught.value.details).code == Code.STREAM_NOT_FOUND


def test_a_column_added_while_a_connection_is_open_is_told_to_it(
    bigquery_client: bq.Client, writer: BigQueryWriteClient, table: bq.Table
) -> None:
    stream = f"{_path(table)}/streams/_default"
    answered = threading.Event()

    def requests() -> Iterator[types.AppendRowsRequest]:
        yield proto_request(stream, ROW, _rows(1))
        assert answered.wait(30)  # the client asks for the next request before the server has seen this one
        table.schema = [*table.schema, bq.SchemaField("new", "STRING")]
        bigquery_client.update_table(table, ["schema"])
        data = proto_request(stream, ROW, _rows(2)).proto_rows
        yield types.AppendRowsRequest(proto_rows=types.AppendRowsRequest.ProtoData(rows=data.rows))

    answers = iter(writer.append_rows(requests(), timeout=30))
    assert "updated_schema" not in next(answers)
    answered.set()
    after = next(answers)
    assert [field.name for field in after.updated_schema.fields] == ["id", "document", "tags", "new"]
    assert _stored(bigquery_client, table) == [1, 2]


# https://cloud.google.com/bigquery/docs/supported-data-types#supported-protobuf-data-types
def test_values_become_what_the_documentation_says(
    bigquery_client: bq.Client, writer: BigQueryWriteClient, table: bq.Table
) -> None:
    kinds = {"ts": "TIMESTAMP", "day": "DATE", "num": "NUMERIC", "raw": "BYTES", "x": "FLOAT64", "names": "STRING"}
    schema = [bq.SchemaField(name, kind, "REPEATED" if name == "names" else "NULLABLE") for name, kind in kinds.items()]
    schema.append(bq.SchemaField("peaks", "RECORD", "REPEATED", fields=[bq.SchemaField("hz", "FLOAT64")]))
    typed = bigquery_client.create_table(bq.Table(f"{PROJECT}.{table.dataset_id}.typed", schema=schema))
    described = descriptor(
        {
            "ts": (INT64, False),
            "day": (INT32, False),
            "num": (STRING, False),
            "raw": (BYTES, False),
            "x": (DOUBLE, False),
            "names": (STRING, True),
        }
    )
    described.nested_type.add(name="Peak").CopyFrom(descriptor({"hz": (DOUBLE, False)}, name="Peak"))
    described.field.add(name="peaks", number=7, type=MESSAGE, label=REPEATED, type_name="Peak")
    row = {"ts": 1_700_000_000_123_456, "day": 19_000, "num": "1.5", "raw": b"\x00\xff", "x": 0.1, "names": ["a", "b"]}
    row["peaks"] = [{"hz": 440.0}, {}]
    assert _codes(append(writer, proto_request(f"{_path(typed)}/streams/_default", described, [row, {}]))) == [OK]
    peaks = "[{'hz': 440.0}, {'hz': None}]"
    found = [[str(value) for value in each.values()] for each in bigquery_client.list_rows(typed)]
    assert found == [
        ["2023-11-14 22:13:20.123456+00:00", "2022-01-08", "1.5", "b'\\x00\\xff'", "0.1", "['a', 'b']", peaks],
        ["None", "None", "None", "None", "None", "[]", "[]"],
    ]


# https://cloud.google.com/bigquery/docs/write-api#use_data_in_the_arrow_format
def test_rows_may_be_arrow(bigquery_client: bq.Client, writer: BigQueryWriteClient, table: bq.Table) -> None:
    batch = pa.record_batch({"id": [1, 2], "document": ['{"n":1}', None], "tags": [["a"], []]})
    data = types.AppendRowsRequest.ArrowData(
        writer_schema=types.ArrowSchema(serialized_schema=batch.schema.serialize().to_pybytes()),
        rows=types.ArrowRecordBatch(serialized_record_batch=batch.serialize().to_pybytes()),
    )
    request = types.AppendRowsRequest(write_stream=f"{_path(table)}/streams/_default", arrow_rows=data)
    assert _codes(append(writer, request)) == [OK]
    assert [row.values() for row in bigquery_client.list_rows(table)] == [(1, {"n": 1}, ["a"]), (2, None, [])]


# googleapis/python-bigquery#1331 and its kind: rows streamed to a table just made are accepted and lost
def test_a_new_table_may_lose_what_is_streamed_to_it(
    bigquery: servers.BigQuery, bigquery_client: bq.Client, writer: BigQueryWriteClient, table: bq.Table
) -> None:
    stream = f"{_path(table)}/streams/_default"
    try:
        settings(bigquery, new_table_blackhole_seconds=3600)
        assert _codes(append(writer, proto_request(stream, ROW, _rows(1)))) == [OK]
        settings(bigquery, new_table_missing_seconds=3600)
        with pytest.raises(NotFound):
            append(writer, proto_request(stream, ROW, _rows(2)))
    finally:
        settings(bigquery)
    assert _codes(append(writer, proto_request(stream, ROW, _rows(3)))) == [OK]
    assert _stored(bigquery_client, table) == [3]
