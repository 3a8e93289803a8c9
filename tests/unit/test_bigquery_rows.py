"""What row a scan becomes, and what of it BigQuery could never take."""

import json
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest

from scribe_connectors.gcp.bigquery.columns import RowKind, column_types
from scribe_connectors.gcp.bigquery.rows import RowForm
from scribe_connectors.gcp.bigquery.source import _encoded
from scribe_export.errors import InvalidScan, Rejected
from scribe_export.model import Record
from scribe_export.scan import read_fields
from scribe_export.testing.records import make_record, scan_document


def form(kind: RowKind = "typed", *, binary: bool = False, nested: bool = False, **changes: Any) -> RowForm:
    types = column_types(kind, changes.pop("types", {}))
    shape: Mapping[str, Any] = {"types": types, "partition": None, "timezone": "UTC", "fields": None, **changes}
    return RowForm(shape, binary=binary, nested=nested)


def a_scan(**changes: Any) -> Record:
    document = scan_document(7) | changes
    return make_record(7, seq=3, body=json.dumps(document).encode())


def of_body(body: bytes) -> Record:
    return make_record("x", body=body)


def test_the_guides_row_is_what_the_guides_own_function_would_insert() -> None:
    record = make_record(123)
    scan = record.document()
    guide = {
        "scan_id": scan["scan_id"],
        "timestamp": scan["timestamp"],
        "confidence": scan["interpretation"]["confidence_scores"]["overall"],
        "material": scan["interpretation"].get("pattern_matches", {}).get("materials", [{}])[0].get("material"),
        "features_json": json.dumps(scan["features"]),
        "interpretation_json": json.dumps(scan["interpretation"]),
    }
    row = form("guide", types={"scan_id": "INT64"}, binary=True).row(record)
    assert list(row) == list(guide)
    assert row["scan_id"] == 123
    assert datetime.fromtimestamp(row["timestamp"] / 1e6, UTC) == datetime.fromisoformat(guide["timestamp"])
    assert (row["confidence"], row["material"]) == (guide["confidence"], guide["material"])
    for name in ("features_json", "interpretation_json"):
        assert json.loads(row[name]) == json.loads(guide[name])


@pytest.mark.parametrize("materials", [[], None, {}, "oak", [{}], [None]])
def test_the_guides_row_of_an_interpretation_of_another_shape(materials: Any) -> None:
    row = form("guide").row(a_scan(interpretation={"pattern_matches": {"materials": materials}}))
    assert row["material"] == "unknown"
    assert "confidence" not in row


def test_a_typed_row_holds_the_whole_scan() -> None:
    record = make_record(5, seq=2, source="api")
    row = form().row(record)
    assert row["document"].encode() == record.body
    assert (row["scan_id"], row["sha256"], row["source"]) == ("5", record.sha256, "api")
    config = record.document()["config"]
    assert {name: row[name] for name in config} == config
    assert row["received_at"] == "2026-05-06T00:00:00+00:00"


def test_what_a_scan_lacks_or_has_as_something_else_is_null() -> None:
    assert set(form().row(of_body(b'{"scan_id":"x"}'))) == {
        "scan_id", "timestamp", "received_at", "source", "sha256", "document",
    }  # fmt: skip
    odd = form().row(of_body(b'{"scan_id":"x","config":{"duration":"2","amplitude":1,"frequency":true}}'))
    assert odd["amplitude"] == 1.0
    assert "duration" not in odd
    assert "frequency" not in odd
    assert "features_json" not in form("guide").row(of_body(b'{"scan_id":"x","features":null}'))


def test_a_load_jobs_json_column_gets_the_json_itself_on_one_line() -> None:
    body = b'{\n  "scan_id": "x",\n  "n": 1.50\n}'
    assert bytes(form(nested=True).row(of_body(body))["document"]) == b'{"scan_id":"x","n":1.50}'
    assert form(nested=True, types={"document": "STRING"}).row(of_body(body))["document"] == body.decode()


@pytest.mark.parametrize(
    ("value", "kind"),
    [
        ("18446744073709551616", "number"),
        ("-9223372036854775809", "number"),
        ("1" + "0" * 40, "number"),
        ("1e999", "number"),
        ("[" * 501 + "]" * 501, "json"),
        ('{"a":' * 501 + "1" + "}" * 501, "json"),
    ],
)
def test_json_that_the_type_cannot_hold_is_refused_and_a_string_column_takes_it(value: str, kind: str) -> None:
    record = of_body(b'{"scan_id":"x","n":%s}' % value.encode())
    with pytest.raises(Rejected, match=r"column_types: \{document: STRING\}") as refusal:
        form().row(record)
    assert refusal.value.kind == kind
    assert form(types={"document": "STRING"}).row(record)["document"].encode() == record.body


@pytest.mark.parametrize(
    "value",
    [
        "18446744073709551615",
        "-9223372036854775808",
        "0.12345678901234567890123",
        "1e-400",
        "1e30",
        "9" * 5 + "." + "1" * 30,
        '"' + "1" * 40 + '"',
        '"e999"',
        '"' + "[" * 600 + '\\"]"',
        "[" * 400 + "]" * 400,
        "[" + ",".join(["{}"] * 600) + "]",
    ],
)
def test_json_that_only_looks_like_too_much_is_taken(value: str) -> None:
    record = of_body(b'{"scan_id":"x","n":%s}' % value.encode())
    assert form().row(record)["document"].encode() == record.body


@pytest.mark.parametrize(
    "scan_id", ["9223372036854775808", "abc", "1.5", "007", " 7", "\N{ARABIC-INDIC DIGIT SEVEN}", "-"]
)
def test_an_id_that_is_no_int64_is_refused_where_the_column_is_one(scan_id: str) -> None:
    record = make_record(scan_id)
    with pytest.raises(Rejected, match="column scan_id is INT64"):
        form(types={"scan_id": "INT64"}).row(record)
    assert form().row(record)["scan_id"] == scan_id


def test_integers_go_as_text_in_json_because_its_numbers_lose_them() -> None:
    record = make_record("9007199254740993")
    assert form(types={"scan_id": "INT64"}).row(record)["scan_id"] == "9007199254740993"
    assert form(types={"scan_id": "INT64"}, binary=True).row(record)["scan_id"] == 9007199254740993


@pytest.mark.parametrize(
    ("value", "moment"),
    [
        ("2026-05-06T19:00:00", datetime(2026, 5, 6, 17, tzinfo=UTC)),
        ("2026-05-06T19:00:00Z", datetime(2026, 5, 6, 19, tzinfo=UTC)),
        (1778094000, datetime(2026, 5, 6, 19, tzinfo=UTC)),
        (1778094000123, datetime(2026, 5, 6, 19, 0, 0, 123000, tzinfo=UTC)),
        ("0001-01-01T00:00:00Z", datetime(1, 1, 1, tzinfo=UTC)),
        ("9999-12-31T23:59:59.999999Z", datetime(9999, 12, 31, 23, 59, 59, 999999, tzinfo=UTC)),
        (None, datetime(2026, 5, 6, tzinfo=UTC)),
    ],
)
def test_moments_are_read_in_the_sealed_timezone_and_written_in_utc(value: Any, moment: datetime) -> None:
    timezone_ = str(timezone(timedelta(hours=2)))
    record = a_scan(timestamp=value)
    assert datetime.fromisoformat(form(timezone=timezone_).row(record)["timestamp"]) == moment
    micros = form(timezone=timezone_, binary=True).row(record)["timestamp"]
    assert datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=micros) == moment


@pytest.mark.parametrize(
    "value", ["yesterday", "0000-01-01T00:00:00Z", "2026-13-01", "0001-01-01T00:00:00+01:00", 1e300]
)
def test_a_timestamp_that_is_none_is_refused(value: Any) -> None:
    with pytest.raises(Rejected) as refusal:
        form().row(a_scan(timestamp=value))
    assert refusal.value.kind == "timestamp"


def test_a_moment_outside_of_all_partitions_is_refused_only_where_it_is_what_partitions() -> None:
    for value in ("1959-12-31T23:59:59Z", "2160-01-01T00:00:00Z"):
        with pytest.raises(Rejected, match="partitioned"):
            form(partition="timestamp").row(a_scan(timestamp=value))
        assert form(partition="received_at").row(a_scan(timestamp=value))


def test_fields_that_are_left_out_are_in_no_column() -> None:
    left_out = ["interpretation.pattern_matches", "config", "response"]
    row = form(fields={"exclude": left_out}).row(make_record(5))
    assert {"material", "signal_type", "duration", "frequency"} & row.keys() == set()
    assert json.loads(row["document"]).keys() == {"scan_id", "timestamp", "signals", "features", "interpretation"}
    assert row["confidence"]
    nothing = form(fields={"include": ["features"]}).row(make_record(5))
    assert nothing["scan_id"] == "5"
    assert json.loads(nothing["document"]).keys() == {"features"}


def test_a_row_that_is_nested_too_deeply_to_be_read_is_set_aside_and_stops_nothing() -> None:
    deep: Any = 1
    for _ in range(2000):
        deep = [deep]
    with pytest.raises(InvalidScan, match="this is text"):
        read_fields(_encoded({"scan_id": 1, "x": deep}))
    assert _encoded({"scan_id": 1, "x": float("nan")}) == b'{"scan_id":1,"x":"nan"}'
