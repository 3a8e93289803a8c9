"""Tests run against a tree with one file changed; the checkout itself is never touched."""

import os
import re
import shutil
import subprocess
import sys
import tempfile
import xml.etree.ElementTree as ET
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from mutants.mutant import ROOT, Inapplicable, Mutant

TEST_SECONDS = 60
"""That one test may take: a mutant that hangs it is found by its time-out."""
TRIAL_SECONDS = 120
"""That pytest may take with its servers' start and end, before it is killed."""
SOURCE_ROOTS = ("core", "connectors", "infra/local")
NO_VERDICT = re.compile(r"\b(ImportError|ModuleNotFoundError|SyntaxError|IndentationError|NameError)\b")
"""Errors of a change that is no working program: that a test fails of them says nothing about the test."""

State = Literal["killed", "survived", "does not apply", "broken"]


@dataclass(frozen=True)
class Verdict:
    """What became of a mutant; `detail` is why its test failed, or what else is to be said."""

    mutant: Mutant
    state: State
    detail: str


@dataclass(frozen=True)
class Outcome:
    """What pytest says of one test: ``passed``, ``failed`` (its call), ``skipped`` or ``error`` (anything else)."""

    state: Literal["passed", "failed", "skipped", "error"]
    detail: str


def tried(mutant: Mutant) -> Verdict:
    """Run a mutant's test on the mutated tree."""
    try:
        mutant.check()
        text = mutant.mutated()
    except Inapplicable as error:
        return Verdict(mutant, "does not apply", str(error))
    with tempfile.TemporaryDirectory(prefix="mutant-") as folder:
        overlay = Path(folder) / "tree"
        shutil.copytree(ROOT / mutant.source_root, overlay, ignore=shutil.ignore_patterns("__pycache__"))
        (overlay / Path(mutant.path).relative_to(mutant.source_root)).write_text(text, encoding="utf-8")
        roots = [overlay if root == mutant.source_root else ROOT / root for root in SOURCE_ROOTS]
        outcomes = run_tests([mutant.test], roots, Path(folder), seconds=TRIAL_SECONDS)
    return judged(mutant, outcomes)


def judged(mutant: Mutant, outcomes: Sequence[Outcome]) -> Verdict:
    """Killed only if its test ran and failed at what it does, and not because the change is no program.

    A test with parameters runs for each of them, and one that fails is enough.
    """
    accidents = [one for one in outcomes if one.state in {"error", "skipped"} or NO_VERDICT.search(one.detail)]
    if accidents or not outcomes:
        why = f"{accidents[0].state}: {accidents[0].detail}" if accidents else "its test did not run"
        return Verdict(mutant, "broken", why)
    failed = [one for one in outcomes if one.state == "failed"]
    return Verdict(mutant, "killed", failed[0].detail) if failed else Verdict(mutant, "survived", mutant.test)


def run_tests(
    tests: Sequence[str], roots: Sequence[Path], folder: Path, *, seconds: float, options: Sequence[str] = ()
) -> list[Outcome]:
    """Run tests on the packages in `roots`; processes that tests start find the same ones, by ``PYTHONPATH``.

    Everything they write goes below `folder`.
    """
    report = folder / "report.xml"
    command = [
        sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "-q", f"--timeout={TEST_SECONDS}",
        "--hypothesis-seed=0",  # what a search finds once it finds again
        f"--basetemp={folder / 'tests'}", f"--junitxml={report}", "-o", "junit_logging=no", *options, *tests,
    ]  # fmt: skip
    paths = os.pathsep.join(map(str, roots))
    environment = {**os.environ, "PYTHONPATH": paths, "PYTHONDONTWRITEBYTECODE": "1"}
    with (folder / "pytest.txt").open("w+", encoding="utf-8") as said:
        process = subprocess.Popen(
            command, cwd=ROOT, env=environment, stdin=subprocess.DEVNULL, stdout=said, stderr=said, process_group=0
        )
        try:
            process.wait(seconds)
        except subprocess.TimeoutExpired:
            return [Outcome("error", f"pytest did not end within {seconds:g} s")]
        finally:
            # What a test's processes left behind, too.
            with suppress(ProcessLookupError):
                os.killpg(process.pid, 9)
            process.wait()
        said.seek(0)
        output = said.read()
    if not report.exists():
        return [Outcome("error", _last_lines(output))]
    return [_outcome(case) for case in ET.parse(report).iter("testcase")]  # noqa: S314 - pytest wrote it just now


def _outcome(case: ET.Element) -> Outcome:
    name = f"{case.get('classname')}.{case.get('name')}"
    if (error := case.find("error")) is not None:
        return Outcome("error", f"{name}: {_message(error)}")
    if (failure := case.find("failure")) is not None:
        return Outcome("failed", _message(failure))
    if (skipped := case.find("skipped")) is not None:
        return Outcome("skipped", f"{name}: {skipped.get('message')}")
    return Outcome("passed", name)


def _message(element: ET.Element) -> str:
    return " ".join((element.get("message") or element.text or "").split())[:300]


def _last_lines(output: str) -> str:
    return " | ".join(output.strip().splitlines()[-3:])
