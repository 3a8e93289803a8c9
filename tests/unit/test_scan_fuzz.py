"""Whatever comes as a scan is one or is none, by the same rules as Python's own decoder, and no other error comes."""

import json
from typing import Any

import msgspec
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from support.corpus import body as of_row
from support.corpus import names
from support.fuzzing import LONG, QUICK, changed, damaged, values
from support.records import body as usual

from scribe_export.archives.codec import one_line, same_json
from scribe_export.errors import InvalidScan, Rejected
from scribe_export.fields import Selection
from scribe_export.identify import Identifier, Origin
from scribe_export.keys import KeyTemplate
from scribe_export.model import Incoming, Record
from scribe_export.options import FieldsOptions
from scribe_export.routing.router import Router
from scribe_export.routing.rules import Rules
from scribe_export.scan import MAX_ID_LENGTH, read_fields
from scribe_export.wellformed import MAX_DEPTH

GOOD = usual("a/b", features={"x": 1.50, "y": [1, 2, {"z": "\u00e9"}]})
_PIECES = rb"""NaN@-Infinity@1e999@-0.0@1E-400@00@1.@"\ud800"@"\uDC00"@"\u0000"@{@}@[@]@,@:@"@\@"scan_id":1,@null@true@
@@@"scan\u005fid":2,@"a":1,"a":2,@[[[[@]]]]@{}@//@'@"""
PIECES = st.sampled_from([*_PIECES.split(b"@"), b"\0", b"\xff", b"\xef\xbb\xbf", b"9" * 5000, b"[" * 600]) | st.binary(
    max_size=4
)
bodies = (
    st.binary(max_size=60)
    | damaged(GOOD, PIECES)
    | values.map(lambda value: json.dumps(value).encode())
    | changed(json.loads(GOOD)).map(lambda value: json.dumps(value).encode())
    | st.sampled_from([name for name in names() if not name.startswith("08")]).map(of_row)
    | st.tuples(st.integers(500, 530), st.sampled_from([b"[]", b"{}"])).map(
        lambda deep: b'{"scan_id":1,"x":%b}' % _nested(*deep)
    )
)
IDENTIFIER = Identifier(
    Router({"a": 0, "b": 1}, Rules.compile({"a": 'material == "oak"', "b": "scan.features.x > 1.0"})),
    {"a": 0, "b": 1},
    max_record=2**20,
)
ALL = Selection(FieldsOptions())


def _nested(levels: int, pair: bytes) -> bytes:
    if pair == b"[]":
        return b"[" * levels + b"]" * levels
    return b'{"a":' * levels + b"1" + b"}" * levels


def _depth(value: Any) -> int:
    deepest, waiting = 0, [(value, 1)]
    while waiting:
        one, level = waiting.pop()
        if isinstance(one, dict | list):
            deepest = max(deepest, level)
            waiting += [(inner, level + 1) for inner in (one.values() if isinstance(one, dict) else one)]
    return deepest


def _strictly(body: bytes) -> Any:
    """By Python's own decoder: numbers as text. Raises ValueError or RecursionError for what is no JSON."""

    def refuse(name: str) -> Any:
        raise ValueError(name)

    # Without an encoding of its own choice: json.loads guesses UTF-16 of bytes.
    return json.loads(body.decode(), parse_int=_Digits, parse_float=_Fraction, parse_constant=refuse)


class _Digits(str):
    """A whole number."""

    __slots__ = ()


class _Fraction(str):
    """Another number."""

    __slots__ = ()


def _expected_id(body: bytes) -> str | None:
    """Which scan it is by the rules that the guide states; None for none."""
    try:
        document = _strictly(body)
        names_at_top = _names(body)
    except (ValueError, RecursionError):
        return None
    if not isinstance(document, dict) or names_at_top.count("scan_id") != 1 or _depth(document) > MAX_DEPTH:
        return None
    try:
        json.dumps(document, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        return None
    found = document["scan_id"]
    if isinstance(found, _Fraction) or not isinstance(found, str) or "\0" in found:
        return None
    text = str(int(found)) if isinstance(found, _Digits) and len(found) < 4300 else str(found)
    return text if 0 < len(text) <= MAX_ID_LENGTH else None


def _names(body: bytes) -> list[str]:
    outermost: list[str] = []

    def close(pairs: list[tuple[str, Any]]) -> None:
        outermost[:] = [name for name, _ in pairs]

    json.loads(body.decode(), object_pairs_hook=close, parse_int=str)
    return outermost


def check_reading(body: bytes) -> None:
    try:
        found: str | None = read_fields(body).scan_id
    except InvalidScan:
        found = None
    assert found == _expected_id(body)


def check_what_reads_bodies(body: bytes) -> None:
    scan = IDENTIFIER.identify(Incoming(body, "here"), Origin("in", "lab"), 0.0)
    assert scan.body == body
    assert (scan.invalid is None) == (_expected_id(body) is not None)
    same_json(body, GOOD)
    assert same_json(body, body)
    try:
        shaped = ALL.apply(body)
    except Rejected:
        assert scan.invalid
    else:
        assert scan.invalid or _strictly(shaped) == _strictly(body), "a number lost a digit, or a text a character"
    try:
        line = one_line(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        assert scan.invalid
    else:
        assert scan.invalid or _strictly(line) == _strictly(body)


def check_keys(one: bytes, other: bytes, text: str) -> None:
    """Scans with different ids never meet, wherever a key puts them; and no key is another's folder."""
    template = KeyTemplate.parse(text)
    keys, ids = [], []
    for body in (one, other):
        if _expected_id(body) is None:
            return
        record = Record(seq=1, scan_id=read_fields(body).scan_id, sha256="0" * 64, body=body)
        try:
            keys.append(template.render(record))
        except Rejected:
            return
        ids.append(record.scan_id)
    assert ids[0] == ids[1] or keys[0] != keys[1]
    for key in keys:
        assert key.startswith(template.prefix)
        assert not set(key.split("/")) & {"", ".", ".."}
        assert key.isascii()


same_id = st.sampled_from(["a", "a/b", "~", "~61", "A", "\u00e9", "e\u0301", "a~v000000000000", ".", "..", "1", "01"])
scans = st.tuples(same_id | st.text(max_size=8), st.text(max_size=5) | st.none(), st.floats(allow_nan=False)).map(
    lambda of: json.dumps(
        {
            "scan_id": of[0],
            "timestamp": of[1] and "2026-05-06T12:00:00Z",
            "config": {"signal_type": of[1], "frequency": of[2]},
            "interpretation": {"pattern_matches": {"materials": [{"material": of[1]}]}},
        }
    ).encode()
)
templates = st.sampled_from(
    [
        "s/{scan_id}",
        "s/{material}/{scan_id}.{ext}",
        "s/{scan_id}-{material}",
        "s/{frequency}-{scan_id}_x_{signal_type}",
        "s/{timestamp:%Y/%m/%d}/{scan_id}.json",
        "s/{scan_id}/{sha256}",
        "s/x-{scan_id}/{confidence}",
    ]
)


@QUICK
@example(b'{"scan_id":1,"x":1e999}')
@example(b'{"scan_id":' + b"9" * 4300 + b"}")
@example(b'{"scan_id":"a","x":"\\ud83d\\ude00"}')
@given(bodies)
def test_a_body_is_a_scan_or_none_by_the_rules_that_the_guide_states(body: bytes) -> None:
    check_reading(body)


@QUICK
@given(bodies)
def test_whatever_reads_a_body_raises_what_it_says_and_keeps_every_digit(body: bytes) -> None:
    check_what_reads_bodies(body)


@QUICK
@given(scans, scans, templates)
def test_scans_with_different_ids_have_different_keys(one: bytes, other: bytes, text: str) -> None:
    check_keys(one, other, text)


@pytest.mark.slow
@pytest.mark.timeout(900)
@LONG
@given(bodies, scans, scans, templates)
def test_the_same_for_long(body: bytes, one: bytes, other: bytes, text: str) -> None:
    check_reading(body)
    check_what_reads_bodies(body)
    check_keys(one, other, text)
