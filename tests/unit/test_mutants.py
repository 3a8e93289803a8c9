"""Every seeded mutant still fits the code, and the test that it names is there; `make mutants` says which are killed."""

import subprocess
import sys
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest
from mutants.mutant import Inapplicable
from mutants.registry import MUTANTS
from mutants.trial import Outcome, judged

ONE = MUTANTS[0]


def test_each_changes_one_place_of_the_code_and_names_a_test_that_is_there() -> None:
    wrong = []
    for mutant in MUTANTS:
        try:
            mutant.check()
        except Inapplicable as error:
            wrong.append(f"{mutant.name}: {error}")
    assert wrong == []


def test_what_they_make_of_the_code_names_nothing_unknown(tmp_path: Path) -> None:
    for mutant in MUTANTS:
        (tmp_path / f"{mutant.name}.py").write_text(mutant.mutated(), encoding="utf-8")
    ruff = [
        Path(sys.executable).with_name("ruff"),
        "check",
        "--isolated",
        "--no-cache",
        "--select",
        "F821,F823",
        tmp_path,
    ]
    done = subprocess.run([*map(str, ruff), "--output-format", "concise"], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


def test_no_two_have_the_same_name_or_the_same_change() -> None:
    assert [name for name, count in Counter(mutant.name for mutant in MUTANTS).items() if count > 1] == []
    changes = Counter((mutant.path, mutant.old, mutant.new) for mutant in MUTANTS)
    assert [change for change, count in changes.items() if count > 1] == []


@pytest.mark.parametrize(
    "changed",
    [
        {"path": "core/scribe_export/gone.py"},
        {"old": "what never stood there"},
        {"old": "def "},
        {"new": "    no Python ("},
        {"new": ONE.old + "  # the same"},
        {"test": "tests/unit/test_gone.py::test_it"},
        {"test": ONE.test.partition("::")[0] + "::test_gone"},
    ],
    ids=["no file", "no place", "many places", "no Python", "no change", "no test file", "no test"],
)
def test_one_that_fits_no_longer_is_said(changed: dict[str, str]) -> None:
    ONE.check()
    with pytest.raises(Inapplicable):
        replace(ONE, **changed).check()


@pytest.mark.parametrize(
    ("outcomes", "state"),
    [
        ([Outcome("failed", "AssertionError: assert 1 == 2")], "killed"),
        ([Outcome("passed", "")], "survived"),
        ([Outcome("error", "fixture")], "broken"),
        ([Outcome("skipped", "no server")], "broken"),
        ([Outcome("failed", "NameError: name 'x' is not defined")], "broken"),
        ([Outcome("passed", ""), Outcome("failed", "AssertionError")], "killed"),
        ([Outcome("failed", "AssertionError"), Outcome("skipped", "no server")], "broken"),
        ([], "broken"),
    ],
)
def test_only_a_test_that_fails_at_what_it_does_kills(outcomes: list[Outcome], state: str) -> None:
    assert judged(ONE, outcomes).state == state
