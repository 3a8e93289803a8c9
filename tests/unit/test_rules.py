"""Rules and the masks they give."""

import json
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from scribe_export.model import Record
from scribe_export.routing.router import Router
from scribe_export.routing.rule import _FUNCTIONS, RuleMistake, compile_rule
from scribe_export.routing.rules import Rules

SCAN: dict[str, Any] = {
    "scan_id": 7,
    "timestamp": "2026-03-01T09:30:00",
    "config": {"signal_type": "sine", "frequency": 440.0},
    "response": {"audio_data": [0.1, 0.2], "sample_rate": 44100},
    "interpretation": {
        "confidence_scores": {"overall": 0.9},
        "pattern_matches": {"materials": [{"material": "oak", "score": 0.8}]},
    },
    "tags": ["lab", "night"],
    "big": 2**70,
}
BARE = {"scan_id": "b-1"}


def record(document: dict[str, Any], *, source: str = "api", received_at: float = 0.0, zone: str = "UTC") -> Record:
    body = json.dumps(document).encode()
    return Record(
        seq=1,
        scan_id=str(document["scan_id"]),
        sha256="0" * 64,
        body=body,
        source=source,
        received_at=received_at,
        assume=ZoneInfo(zone),
    )


@pytest.mark.parametrize(
    ("rule", "answer"),
    [
        ('confidence >= 0.8 && material == "oak"', "matched"),
        ("confidence >= 1", "did not match: confidence is 0.9"),
        ("frequency == 440", "matched"),
        ('scan_id == "7"', "matched"),
        ("scan_id == '8'", 'did not match: scan_id is "7"'),
        ("int(scan_id) % 2 == 1", "matched"),
        ('signal_type in ["sine", "square"]', "matched"),
        ('source == "api"', "matched"),
        ('material.startsWith("o")', "matched"),
        ('timestamp < timestamp("2026-03-01T09:31:00Z")', "matched"),
        ("timestamp.getHours() == 9", "matched"),
        ("scan.response.sample_rate == 44100", "matched"),
        ("has(scan.response.audio_data)", "did not match: scan.response.audio_data is absent"),
        ("has(scan.nothing)", "did not match: scan.nothing is absent"),
        ('"day" in scan.tags', "did not match: scan.tags is a list of 2"),
        ('scan.tags.exists(tag, tag == "scan.big")', "did not match: scan.tags is a list of 2"),
        ("timestamp.getHours() == 8", "did not match: timestamp is 2026-03-01T09:30:00+00:00"),
        (
            'confidence >= 0.8 && material == "elm" || scan . response . sample_rate == 1',
            'did not match: confidence is 0.9, material is "oak", scan.response.sample_rate is 44100',
        ),
        ('scan["tags"].size() == 0', "did not match"),
        ("false", "did not match"),
        ('"night" in scan.tags', "matched"),
        ('scan.interpretation.pattern_matches.materials.exists(m, m.material == "oak" && m.score > 0.5)', "matched"),
        ("scan.big > 5", "matched"),
        ("scan.nothing == 1", "failed: the scan has no nothing"),
        ("scan.tags", "failed: the rule gave a list, not true or false"),
        ("int(material) > 1", "failed: "),
        ("1 / int(frequency - 440.0) > 1", "failed: division by zero in CEL expression"),
        ("scan.tags[9] == 'x'", "failed: index out of bounds"),
    ],
)
def test_a_rule_on_a_whole_scan(rule: str, answer: str) -> None:
    told = Rules.compile({"a": rule}).explain(record(SCAN))["a"]
    assert told.startswith(answer) if answer.endswith(": ") or "bounds" in answer else told == answer


@pytest.mark.parametrize(
    ("rule", "answer"),
    [
        ("confidence >= 0.8", "failed: the scan has no confidence"),
        ('material == "oak"', "did not match: material is absent"),
        ('material != "oak"', "matched"),
        ("confidence != null && confidence >= 0.8", "did not match: confidence is absent"),
        ('confidence >= 0.8 || scan_id == "b-1"', "matched"),
        ('material == "oak" && confidence >= 0.8', "did not match: confidence is absent, material is absent"),
        ('material.startsWith("o")', "failed: the scan has no material"),
        ("has(scan.x)", "did not match: scan.x is absent"),
        ("has(scan.config.frequency)", "failed: the scan has no config"),
        ("timestamp.getFullYear() == 2001", "matched"),
    ],
)
def test_a_rule_on_a_scan_that_has_nothing_but_its_id(rule: str, answer: str) -> None:
    assert Rules.compile({"a": rule}).explain(record(BARE, received_at=1e9))["a"] == answer


def test_a_timestamp_without_offset_is_read_in_the_assumed_zone() -> None:
    rules = Rules.compile({"a": "timestamp.getHours() == 9"})
    assert rules.evaluate(record(SCAN)).matched == ("a",)
    assert rules.evaluate(record(SCAN, zone="Asia/Tokyo")).matched == ()


def test_a_timestamp_that_is_none_fails_only_the_rules_that_use_it() -> None:
    rules = Rules.compile({"a": "timestamp.getHours() == 9", "b": "confidence > 0.5"})
    decision = rules.evaluate(record({**SCAN, "timestamp": "soon"}))
    assert decision.matched == ("b",)
    assert decision.failed == {"a": "timestamp 'soon' is not ISO 8601"}


def test_a_body_that_is_no_scan_fails_every_rule_and_raises_nothing() -> None:
    broken = Record(seq=1, scan_id="x", sha256="", body=b"{")
    decision = Rules.compile({"a": "has(scan.x)", "b": "confidence > 0.5"}).evaluate(broken)
    assert set(decision.failed) == {"a", "b"}
    assert decision.failed["a"].startswith("not JSON")


def test_a_deep_document_fails_or_answers_and_never_crashes() -> None:
    deep = Record(seq=1, scan_id="x", sha256="", body=b'{"scan_id": 1, "d": ' + b"[" * 5000 + b"]" * 5000 + b"}")
    Rules.compile({"a": "has(scan.d)"}).evaluate(deep)
    deep = Record(seq=1, scan_id="x", sha256="", body=b'{"scan_id": 1, "d": ' + b"[" * 500 + b"]" * 500 + b"}")
    assert Rules.compile({"a": "has(scan.d)"}).evaluate(deep).matched == ("a",)


def test_otherwise_takes_what_matched_no_rule_and_what_only_failed() -> None:
    rules = Rules.compile({"high": "confidence >= 0.8", "oak": 'material == "oak"', "rest": "otherwise"})
    assert rules.evaluate(record(SCAN)).matched == ("high", "oak")
    bare = rules.evaluate(record(BARE))
    assert bare.matched == ("rest",)
    assert set(bare.failed) == {"high"}
    low = {**SCAN, "interpretation": {"confidence_scores": {"overall": 0.1}}}
    assert rules.evaluate(record(low)).matched == ("rest",)


@pytest.mark.parametrize(
    ("rule", "message", "column"),
    [
        ("confidnce > 1", 'uses the unknown name "confidnce", did you mean "confidence"?', 1),
        ("confidence > 0.5 && foo.bar == 1", 'uses the unknown name "foo"; known are', 21),
        ('material == "foo" && foo == 1', 'uses the unknown name "foo"; known are', 22),
        ('trim(material) == "x"', 'uses the unknown function "trim"', 1),
        ('material.lowerAscii() == "x"', 'uses the unknown function "lowerAscii"', 10),
        ("confidence >=", "is not CEL: it ends too early", 14),
        ("confidence > 1 or true", "is not CEL at character 16: write ||, not or", 16),
        ("confidence", "gives a number, not true or false", 0),
        ('confidence >= "1"', "compares or calls with wrong types", 0),
        ("material > 5", "compares or calls with wrong types", 0),
        ("", "is not CEL: it ends too early", 1),
        ("(" * 500 + "true" + ")" * 500, "is not CEL", 0),
    ],
)
def test_a_wrong_rule_is_refused_when_it_is_compiled(rule: str, message: str, column: int) -> None:
    with pytest.raises(RuleMistake) as caught:
        compile_rule(rule)
    assert str(caught.value).startswith(message)
    assert not column or caught.value.column == column


def test_a_name_bound_by_a_macro_is_no_unknown_name() -> None:
    compile_rule("scan.l.exists(x, x > 1) && scan.l.all( y ,y > 1) && scan.l.map(z, z + 1).filter(q, q > 2).size() > 0")


def test_every_function_that_rules_may_use_is_one_that_cel_has() -> None:
    import cel

    targets = ['"1"', "1", '["1"]', 'timestamp("2026-01-01T00:00:00Z")', 'duration("1s")', "{'a': 1}"]
    for name in _FUNCTIONS - {"has"}:
        calls = [
            call for target in targets for call in (f"{name}({target})", f"{target}.{name}()", f'{target}.{name}("1")')
        ]
        calls.append(f'{name}("2026-01-01T00:00:00Z")')
        calls.append(f'{name}("1s")')
        assert any(_answers(cel.compile(call)) for call in calls), name


def _answers(program: Any) -> bool:
    try:
        program.execute({})
    except (RuntimeError, TypeError, ValueError):
        return False
    return True


def test_without_rules_every_scan_goes_everywhere() -> None:
    router = Router({"a": 0, "b": 5})
    first, second = router.route(record(SCAN)), router.route(record(BARE))
    assert (first.mask, first.failed) == (0b100001, {})
    assert first is second
    assert router.explain(record(SCAN)) == {"a": "matched", "b": "matched"}


def test_the_mask_has_the_bits_of_what_matched_and_of_what_has_no_rule() -> None:
    rules = Rules.compile({"oak": 'material == "oak"', "sure": "confidence > 0.95", "rest": "otherwise"})
    router = Router({"all": 62, "oak": 3, "sure": 1, "rest": 0}, rules)
    assert router.route(record(SCAN)).mask == 1 << 62 | 1 << 3
    assert router.explain(record(SCAN)) == {
        "all": "matched",
        "oak": "matched",
        "rest": "did not match: oak matched",
        "sure": "did not match: confidence is 0.9",
    }
    bare = router.route(record(BARE))
    assert bare.mask == 1 << 62 | 1
    assert bare.failed == {"sure": "the scan has no confidence"}
    assert router.explain(record(BARE)) == {
        "all": "matched",
        "oak": "did not match: material is absent",
        "rest": "matched",
        "sure": "failed: the scan has no confidence",
    }


def test_a_scan_that_cleanly_matches_nothing_is_unrouted() -> None:
    router = Router({"oak": 0, "sure": 1}, Rules.compile({"oak": 'material == "oak"', "sure": "confidence > 0.5"}))
    pine = {"scan_id": 1, "interpretation": {"confidence_scores": {"overall": 0.1}}}
    assert router.route(record(pine)).unrouted
    assert not router.route(record(BARE)).unrouted
    assert not router.route(record(SCAN)).unrouted


def test_a_rule_without_a_bit_is_a_mistake_of_the_caller() -> None:
    with pytest.raises(ValueError, match="without a bit: oak"):
        Router({"a": 0}, Rules.compile({"oak": 'material == "oak"'}))


def test_the_timestamp_is_an_instant() -> None:
    moment = datetime.fromisoformat("2026-03-01T09:30:00+05:00")
    scan = {**SCAN, "timestamp": moment.isoformat()}
    assert Rules.compile({"a": "timestamp.getHours() == 4"}).evaluate(record(scan)).matched == ("a",)
