import posixpath

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.records import body, record

from scribe_export.errors import InvalidScan, Rejected
from scribe_export.keys import KeyTemplate, path_safe
from scribe_export.model import Record

any_text = st.text(st.characters(exclude_categories=())) | st.sampled_from(
    [
        "",
        ".",
        "..",
        "...",
        "../../etc",
        "/abs",
        "a//b",
        "C:\\x",
        "%2e%2e",
        "~",
        "~2E",
        "a\r\nb",
        "~v0123456789ab",
        "unknown",
    ]
)
scan_ids = st.text(st.characters(codec="utf-8", exclude_characters="\0"), min_size=1, max_size=60)


@given(any_text, any_text)
def test_two_values_never_become_the_same_segment(one: str, other: str) -> None:
    assert (path_safe(one) == path_safe(other)) == (one == other)


@given(any_text)
def test_a_segment_is_never_a_folder_of_its_own_or_a_way_out(value: str) -> None:
    segment = path_safe(value)
    assert segment.isascii()
    assert "/" not in segment
    assert segment not in {"", ".", ".."}


@given(any_text)
def test_a_segment_can_be_read_back(value: str) -> None:
    segment = path_safe(value)
    raw = b"" if segment == "~" else bytes(_unescape(segment))
    assert raw.decode("utf-8", "surrogatepass") == value


def _unescape(segment: str) -> list[int]:
    found, at = [], 0
    while at < len(segment):
        escaped = segment[at] == "~"
        found.append(int(segment[at + 1 : at + 3], 16) if escaped else ord(segment[at]))
        at += 3 if escaped else 1
    return found


@given(
    scan_ids, scan_ids, any_text, st.sampled_from(["scans/{scan_id}.json", "a/b-{scan_id}", "x/{scan_id}/{source}/z"])
)
def test_no_two_scans_share_a_key_and_none_leaves_the_prefix(one: str, other: str, source: str, text: str) -> None:
    template = KeyTemplate.parse(text)
    first, second = record(1, scan_id=one), record(2, scan_id=other)
    first.source = second.source = source
    key = template.render(first)
    assert (key == template.render(second)) == (one == other)
    assert key.startswith(template.prefix)
    assert posixpath.normpath(key) == key


@given(any_text, any_text, scan_ids)
def test_no_field_of_a_scans_content_leaves_the_prefix_or_makes_a_folder(material: str, signal: str, one: str) -> None:
    template = KeyTemplate.parse("scans/{material}/{signal_type}/{scan_id}.json")
    content = {"materials": [{"material": material, "similarity": 0.9}]}
    raw = body(1, config={"signal_type": signal}, interpretation={"pattern_matches": content})
    try:
        key = template.render(record(1, raw, scan_id=one))
    except (InvalidScan, Rejected):
        return  # a lone surrogate: the whole scan is refused
    assert key.startswith("scans/")
    assert posixpath.normpath(key) == key
    assert key.count("/") == 3
    assert key.isascii()


@given(scan_ids, scan_ids)
def test_a_version_of_one_scan_meets_no_other_scan(one: str, other: str) -> None:
    template = KeyTemplate.parse("scans/{scan_id}.json")
    assert template.render(record(1, scan_id=one, version=2)) != template.render(record(2, scan_id=other))


@pytest.mark.parametrize(
    "text", ["s/{material}-{scan_id}", "s/{scan_id}-{material}.json", "s/a_{material}_-b{scan_id}"]
)
def test_a_value_beside_the_id_never_makes_two_scans_one(text: str) -> None:
    template = KeyTemplate.parse(text)

    def of(material: str, scan_id: str) -> Record:
        matches = {"pattern_matches": {"materials": [{"material": material}]}}
        return record(1, body(scan_id, interpretation=matches), scan_id=scan_id)

    texts = ["pine", "oak", "pine-oak", "x", "oak-x", "x-pine", "-", "--", "_", "-b", "~2D"]
    keys = {(scan_id, template.render(of(material, scan_id))) for material in texts for scan_id in texts}
    assert len({key for _, key in keys}) == len(keys), "different ids under one key"


def test_only_what_parts_a_value_from_the_id_is_escaped_in_it() -> None:
    assert KeyTemplate.parse("s/{frequency}-{scan_id}").render(record(1, body(1, config={"frequency": 440.5}))) == (
        "s/440.5-1"
    )
    moment = KeyTemplate.parse("s/{timestamp:%Y-%m-%d}-{scan_id}-{sha256}.{ext}").render(record(7))
    assert moment.startswith("s/2026-03-01-7-")


def test_numbers_keep_all_their_digits_in_a_key() -> None:
    template = KeyTemplate.parse("s/{frequency}/{scan_id}")
    near = record(1, body(1, config={"frequency": 440.123456}))
    nearer = record(1, body(1, config={"frequency": 440.1234561}))
    assert template.render(near) == "s/440.123456/1"
    assert template.render(nearer) != template.render(near)
    assert template.render(record(1)) == "s/440/1"


def test_a_slash_in_a_timestamp_pattern_makes_folders() -> None:
    assert KeyTemplate.parse("s/{timestamp:%Y/%m/%d}/{scan_id}.{ext}").render(record(7)) == "s/2026/03/01/7.json"


def test_a_scan_without_a_timestamp_is_named_by_its_journalling() -> None:
    template = KeyTemplate.parse("s/{timestamp:%Y-%m}/{scan_id}")
    assert template.render(record(1, b'{"scan_id":1}')) == "s/2026-05/1"


def test_an_unreadable_timestamp_refuses_the_record() -> None:
    with pytest.raises(Rejected, match="not ISO 8601"):
        KeyTemplate.parse("s/{timestamp:%Y}/{scan_id}").render(record(1, b'{"scan_id":1,"timestamp":"soon"}'))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{scan_id}", "fixed prefix"),
        ("/scans/{scan_id}", "fixed prefix"),
        ("s/../{scan_id}", "folder"),
        ("s/{scan_id}/{batch_id}", "not both"),
        ("s/all.json", "not both"),
        ("s/{scan_id.__class__}", "unknown field"),
        ("s/{scan_id!r}", "unknown field"),
        ("s/{scan_id:>9}", "only {timestamp"),
        ("s/{timestamp:%c}/{scan_id}", "strftime"),
        ("s/{scan_id", "write {field}"),
        ("s/{{x}}/{scan_id}", "braces"),
        ("s/\n{scan_id}", "control"),
        ("s/{sha256}/{batch_id}", "names many"),
        ("s/{material}{scan_id}", "two scans could have one key"),
        ("s/{scan_id}v{material}", "two scans could have one key"),
        ("s/{signal_type}-{material}{timestamp:%Y}{scan_id}", "two scans could have one key"),
    ],
)
def test_a_template_that_could_surprise_is_refused(text: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        KeyTemplate.parse(text)
