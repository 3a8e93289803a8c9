import pytest

from scribe_export.errors import InvalidScan
from scribe_export.scan import encode_document, parse_timestamp, read_fields


@pytest.mark.parametrize(
    ("body", "why"),
    [
        (b'{"scan_id": 1, "note": "\xff"}', "not UTF-8"),
        ('\ufeff{"scan_id": 1}'.encode(), "byte order mark"),
        ('{"scan_id": 1}'.encode("utf-16"), "byte order mark"),
        (b'{"scan_id": NaN}', "not JSON"),
        (b"[1]", "an array"),
        (b"{}", "no scan_id"),
        (b'{"scan_id": true}', "a boolean"),
        (b'{"scan_id": 1.0}', "a fraction"),
        (b'{"scan_id": ""}', "empty"),
        (b'{"scan_id": ' + b"[" * 100_000, "nested deeper"),
        (b'{"scan_id": 1, "x": ' + b"[" * 512 + b"]" * 512 + b"}", "nested deeper"),
        (b'{"scan_id": 1, "x": ' + b'{"a":' * 512 + b"1" + b"}" * 512 + b"}", "nested deeper"),
        (b'{"scan_id": 1, "config": [], "x": ' + b"[" * 512 + b"]" * 512 + b"}", "nested deeper"),
        (b'{"scan_id": 1, "scan_id": 1}', "more than once"),
        (b'{"scan_id": [], "x": 2, "scan_id": 1}', "more than once"),
        (b'{"scan_id": 1, "scan\\u005fid": 2}', "more than once"),
        (b'{"scan_id": 1, "x": "\\ud800"}', "half of a surrogate pair"),
        (b'{"scan_id": 1, "x": "\\\\\\uDC00"}', "half of a surrogate pair"),
        (b'{"scan_id": 1e999}', "a fraction"),
        (b'{"scan_id": ' + b"9" * 5000 + b"}", "a fraction"),
        (b'{"scan_id": ' + b"9" * 300 + b"}", "300 characters"),
        (b"", "empty"),
    ],
)
def test_a_body_that_is_no_scan_is_refused_with_its_reason(body: bytes, why: str) -> None:
    with pytest.raises(InvalidScan, match=why):
        read_fields(body)


@pytest.mark.parametrize(
    "inner",
    [
        b"[" * 511 + b"]" * 511,
        b"[" + b",".join([b'{"a":["[[[","]"]}'] * 2000) + b"]",
        b'"' + b"[" * 5000 + b'"',
        b'{"scan_id": 2, "b": {"scan_id": 3}}',
        b'"\\u0061\\ud83d\\ude00 \\\\ud800"',
        b"1e999",
        b"9" * 5000,
    ],
)
@pytest.mark.parametrize("config", [b"{}", b"[]"], ids=["usual", "lenient"])
def test_what_nobody_asks_for_may_be_odd_in_a_scan_of_any_shape(inner: bytes, config: bytes) -> None:
    assert read_fields(b'{"scan_id": 1, "config": ' + config + b', "x": ' + inner + b"}").scan_id == "1"


@pytest.mark.parametrize("value", [b"1e999", b"9" * 5000, b"-1e999"])
def test_a_number_beyond_any_float_is_no_value_of_a_field(value: bytes) -> None:
    scores = b'{"confidence_scores": {"overall": ' + value + b"}}"
    fields = read_fields(b'{"scan_id": 1, "timestamp": ' + value + b', "interpretation": ' + scores + b"}")
    assert fields.confidence is None
    with pytest.raises(ValueError, match="out of range"):
        parse_timestamp(fields.timestamp or 0.0)


@pytest.mark.parametrize("materials", [b"[]", b"null", b'{"material": "oak"}', b'"oak"', b"[null]", b"[1]"])
def test_materials_of_any_shape_leave_the_scan_routable(materials: bytes) -> None:
    body = b'{"scan_id": 7, "interpretation": {"pattern_matches": {"materials": ' + materials + b"}}}"
    assert (read_fields(body).scan_id, read_fields(body).material) == ("7", None)


def test_the_usual_scan_is_read_in_one_pass() -> None:
    fields = read_fields(
        b'{"scan_id": 7, "timestamp": "2026-03-01T12:00:00Z", "config": {"signal_type": "sine", "frequency": 440},'
        b' "interpretation": {"confidence_scores": {"overall": 0.9},'
        b' "pattern_matches": {"materials": [{"material": "oak"}]}}}'
    )
    assert (fields.scan_id, fields.confidence, fields.material) == ("7", 0.9, "oak")
    assert (fields.signal_type, fields.frequency, fields.timestamp) == ("sine", 440.0, "2026-03-01T12:00:00Z")


@pytest.mark.parametrize("value", [float("nan"), float("-inf"), {1, 2}.__iter__()])
def test_what_json_cannot_hold_is_not_bent_into_it(value: object) -> None:
    with pytest.raises(InvalidScan, match="no JSON can be made of it"):
        encode_document({"scan_id": 1, "x": [value]})
