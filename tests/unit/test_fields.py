import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from scribe_export.errors import Rejected
from scribe_export.fields import Selection
from scribe_export.options import FieldsOptions

SCAN = (
    b'{"scan_id":9007199254740993123, "response":{"audio_data":[1,2],"rate":44100.10}, '
    b'"tags":[{"a":1,"b":2},{"b":3}], "x":null}'
)


def shaped(**options: object) -> object:
    return json.loads(Selection(FieldsOptions.model_validate(options)).apply(SCAN))


def test_an_excluded_path_is_gone_and_the_rest_keeps_its_bytes() -> None:
    left = Selection(FieldsOptions(exclude=("response.audio_data",))).apply(SCAN)
    assert left == (
        b'{"scan_id":9007199254740993123,"response":{"rate":44100.10},"tags":[{"a":1,"b":2},{"b":3}],"x":null}'
    )


def test_only_included_paths_stay() -> None:
    assert shaped(include=["scan_id", "response.rate"]) == {
        "scan_id": 9007199254740993123,
        "response": {"rate": 44100.1},
    }


def test_a_folder_is_included_with_all_it_holds_but_what_is_excluded() -> None:
    assert shaped(include=["response"], exclude=["response.rate"]) == {"response": {"audio_data": [1, 2]}}


def test_a_path_through_an_array_applies_to_each_element() -> None:
    assert shaped(include=["tags.a"]) == {"tags": [{"a": 1}]}
    assert shaped(exclude=["tags.b", "response", "x"]) == {"scan_id": 9007199254740993123, "tags": [{"a": 1}, {}]}


def test_a_field_is_renamed_in_its_place() -> None:
    assert shaped(include=["response.rate"], rename={"response.rate": "hz", "response": "answer"}) == {
        "answer": {"hz": 44100.1}
    }


def test_a_rename_that_would_cover_another_field_refuses_the_record() -> None:
    with pytest.raises(Rejected, match="both be called 'x'"):
        shaped(rename={"tags": "x"})


def test_a_path_that_the_scan_lacks_changes_nothing() -> None:
    assert shaped(include=["nowhere.at.all", "x"]) == {"x": None}


@pytest.mark.parametrize("content", [b"[1]", b"{", b"\xff", b"", b'{"response":{"a":[}}'])
def test_a_body_that_is_no_object_is_refused(content: bytes) -> None:
    with pytest.raises(Rejected, match="not a JSON object"):
        Selection(FieldsOptions(exclude=("response.a.b",))).apply(content)


@pytest.mark.parametrize(
    "options", [{"include": ["a..b"]}, {"exclude": [""]}, {"rename": {"a": "b.c"}}, {"rename": {"a.": "b"}}]
)
def test_a_malformed_path_is_a_mistake_in_the_config(options: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        FieldsOptions.model_validate(options)


@given(st.dictionaries(st.text(), st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text()))
def test_without_options_a_document_is_the_same(document: dict[str, object]) -> None:
    assert json.loads(Selection(FieldsOptions()).apply(json.dumps(document).encode())) == document
