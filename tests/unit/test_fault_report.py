"""`make faults`: which tests it runs, what it reports, and when it fails."""

import subprocess
import sys
from pathlib import Path

import pytest
from support.pipeline import environment

TESTS = """\
import pytest

@pytest.mark.fault("F-05")
def test_kept(record_property):
    record_property("kills", 200)
    record_property("longest, s", 1.2345)

@pytest.mark.fault("F-06")
def test_broken():
    assert not BROKEN

@pytest.mark.fault("F-07", "F-08")
def test_missing():
    pytest.skip("strace is missing")

@pytest.mark.slow
def test_long():
    pass

def test_other():
    raise AssertionError("it keeps no row")
"""
INI = "[pytest]\naddopts = --strict-markers\nmarkers =\n    fault\n    slow\n    again\n"


def _run(folder: Path, *, broken: bool = False, ci: str = "", faults: str = "all") -> tuple[int, list[str]]:
    (folder / "pytest.ini").write_text(INI)
    (folder / "test_it.py").write_text(TESTS.replace("BROKEN", str(broken)))
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-p",
        "support.fault_report",
        f"--faults={faults}",
        "-p",
        "no:cacheprovider",
    ]
    done = subprocess.run(
        command, cwd=folder, env=environment() | {"CI": ci}, capture_output=True, text=True, timeout=60
    )
    lines = (done.stdout + done.stderr).splitlines()
    return done.returncode, [" ".join(line.split()) for line in lines]


def _line(lines: list[str], fault: str) -> str:
    (found,) = [line for line in lines if line.startswith(f"{fault} ")]
    return found


def test_each_row_has_a_line_with_its_figures(tmp_path: Path) -> None:
    code, lines = _run(tmp_path)

    assert code == 0
    assert _line(lines, "F-05").startswith("F-05 passed 1 test ")
    assert _line(lines, "F-05").endswith("kills 200 · longest, s 1.23")
    assert _line(lines, "F-08").startswith("F-08 skipped 1 test ")
    assert _line(lines, "F-08").endswith("skipped: strace is missing")
    assert _line(lines, "long").startswith("long passed 1 test ")


def test_a_row_that_fails_fails_the_run_and_is_named(tmp_path: Path) -> None:
    code, lines = _run(tmp_path, broken=True)

    assert code == 1
    assert _line(lines, "F-06").startswith("F-06 FAILED 1 test ")
    assert _line(lines, "F-06").endswith("failed: test_it.py::test_broken")


@pytest.mark.parametrize(("ci", "expected"), [("", 0), ("true", 1)])
def test_in_ci_nothing_may_be_skipped(tmp_path: Path, ci: str, expected: int) -> None:
    assert _run(tmp_path, ci=ci, faults="F-07")[0] == expected


def test_a_row_that_is_not_in_the_plan_is_refused(tmp_path: Path) -> None:
    code, lines = _run(tmp_path, faults="F-99")

    assert code == pytest.ExitCode.USAGE_ERROR
    assert any("the plan has no such row" in line for line in lines)
