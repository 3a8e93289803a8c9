"""The tables of what the guide's code does are whole: nothing is missing or there twice, and each test is there."""

import ast
import re
from collections import Counter
from functools import cache
from pathlib import Path

import pytest
from support.guide import sections
from support.guide_fails import FAILS, NEVER, NOT_WHEN
from support.guide_verdicts import Broken, expected_failure, promised
from support.guide_works import WORKS

TESTS = Path(__file__).parents[2]
TESTED = [(file, test, name) for file, tests in WORKS.items() for test, names in tests.items() for name in names]
EXPECTING = re.compile(r"expected_failure\(\s*\"([^\"]+)\"\s*\)")


@cache
def sources(file: str) -> dict[str, str]:
    """The source of every test of a file."""
    text = (TESTS / file).read_text("utf-8")
    functions = [node for node in ast.parse(text).body if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)]
    return {one.name: ast.get_source_segment(text, one) or "" for one in functions if one.name.startswith("test_")}


def test_the_guide_has_twelve_sections_each_with_a_usage_example() -> None:
    assert len(sections()) == 12
    assert all("# Usage Example\n" in section.source for section in sections())


def test_everything_that_the_guide_defines_stands_in_the_table_once() -> None:
    defined = Counter(name for section in sections() for name in section.definitions())
    listed = Counter([name for _, _, name in TESTED] + list(NEVER))
    assert listed == defined
    assert set(defined.values()) == {1}


@pytest.mark.parametrize(("file", "test", "name"), TESTED, ids=[name for _, _, name in TESTED])
def test_what_works_is_run_by_its_test(file: str, test: str, name: str) -> None:
    wanted = r"\b(example|started)\(" if name.endswith(": main") else rf"\b{name.rpartition('.')[2]}\b"
    source = sources(file)[test]
    # Classes are made by fixtures where several tests have use of them.
    assert re.search(wanted, (TESTS / file).read_text("utf-8") if name[0].isupper() and "." not in name else source)


@pytest.mark.parametrize("name", FAILS)
def test_what_fails_is_seen_to_fail_once_and_what_ours_does_is_tested(name: str) -> None:
    file, _, test = FAILS[name].ours.partition("::")
    assert test in sources(file)
    if name in NOT_WHEN:
        assert name.rpartition(": ")[0] in {one for _, _, one in TESTED}, "it does not stand among what works"
    files = [*Path(__file__).parent.glob("test_*.py"), *(TESTS / "faults").glob("test_*.py")]
    seen = [found for path in files for found in EXPECTING.findall(path.read_text("utf-8"))]
    assert seen.count(name) == 1


def test_a_failure_that_is_expected_may_be_neither_another_nor_none() -> None:
    name = "cached_scribe_call: it is called twice"
    with expected_failure(name):
        promised(kept=False, instead="2 scans were performed")
    with pytest.raises(pytest.fail.Exception, match="DID NOT RAISE"), expected_failure(name):
        promised(kept=True, instead="2 scans were performed")
    for other in (Broken("3 scans were performed"), OSError("2 scans were performed")):
        with pytest.raises(AssertionError, match=name), expected_failure(name):
            raise other
