"""``pytest --faults[=F-05]``: the tests of the fault plan and those that take long, and a report with a line a row.

A test's figures are what it gives to ``record_property``. In CI a test of the plan that is skipped fails the run.
"""

import os
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field

import pytest
from support.fault_plan import INHERITED, PLAN

ALL = "all"
LONG = "long"
"""In the report: tests that take long and keep no row of the plan."""
CONTRACT = "scribe_export/testing"
"""Where the contract suite skips what does not apply to a connector, which no missing tool is to blame for."""
_ID = "fault"


@dataclass(slots=True)
class Tally:
    """What the tests of one row came to."""

    passed: int = 0
    failed: list[str] = field(default_factory=list)
    skipped: list[str] = field(default_factory=list)
    seconds: float = 0.0
    figures: dict[str, list[object]] = field(default_factory=lambda: defaultdict(list))

    @property
    def verdict(self) -> str:
        return "FAILED" if self.failed else "skipped" if self.skipped and not self.passed else "passed"

    def line(self, fault: str) -> str:
        """Its line of the report."""
        count = self.passed + len(self.failed) + len(self.skipped)
        shown = " · ".join(f"{name} {_joined(values)}" for name, values in self.figures.items())
        notes = [f"failed: {name}" for name in self.failed] + [f"skipped: {reason}" for reason in self.skipped]
        tests = f"{count} test{'s' if count > 1 else ''}"
        return "  ".join(filter(None, [f"{fault:5} {self.verdict:8} {tests:>9} {self.seconds:7.1f} s", shown, *notes]))


def _joined(values: list[object]) -> str:
    """The sum of counts, the largest of measures, and others one by one."""
    if all(isinstance(value, int) for value in values):
        return str(sum(value for value in values if isinstance(value, int)))
    if all(isinstance(value, int | float) for value in values):
        return f"{max(value for value in values if isinstance(value, int | float)):.3g}"
    return ", ".join(map(str, values))


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--faults",
        nargs="?",
        const=ALL,
        metavar="ID",
        help="only the tests of the fault plan and those that take long, or of one row, with a report",
    )


def pytest_configure(config: pytest.Config) -> None:
    if (chosen := config.getoption("--faults")) is not None:
        if chosen not in {ALL, *PLAN}:
            raise pytest.UsageError(f"--faults={chosen}: the plan has no such row; it has F-01 to F-36")
        config.pluginmanager.register(FaultReport(chosen), "fault-report")


class FaultReport:
    """Chooses the tests and reports on them; works in each of several processes."""

    def __init__(self, chosen: str) -> None:
        self._chosen = chosen
        self._tallies: dict[str, Tally] = defaultdict(Tally)

    @pytest.hookimpl(trylast=True)
    def pytest_collection_modifyitems(self, config: pytest.Config, items: list[pytest.Item]) -> None:
        """Leave out what keeps no row; of what runs on two servers, the first is enough."""
        kept, left = [], []
        for item in items:
            ids = list(_ids(item))
            wanted = self._chosen in ids if self._chosen != ALL else bool(ids or item.get_closest_marker("slow"))
            if wanted and not item.get_closest_marker("again"):
                item.user_properties += [(_ID, fault) for fault in ids or [LONG]]
                kept.append(item)
            else:
                left.append(item)
        items[:] = kept
        config.hook.pytest_deselected(items=left)

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Count a phase of a test under each row that it keeps."""
        for fault in [value for name, value in report.user_properties if name == _ID]:
            tally = self._tallies[str(fault)]
            tally.seconds += report.duration
            if report.failed:
                tally.failed.append(report.nodeid)
            elif report.skipped:
                where, _, reason = (
                    report.longrepr if isinstance(report.longrepr, tuple) else ("", 0, str(report.longrepr))
                )
                if CONTRACT not in where:
                    tally.skipped.append(reason.removeprefix("Skipped: "))
            elif report.when == "call":
                tally.passed += 1
            if report.when == "teardown":
                for name, value in report.user_properties:
                    if name != _ID:
                        tally.figures[name].append(value)

    @pytest.hookimpl(trylast=True)
    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        """In CI nothing of the plan may be skipped."""
        skipped = any(tally.skipped for tally in self._tallies.values())
        if skipped and os.environ.get("CI") == "true" and session.exitstatus == pytest.ExitCode.OK:
            session.exitstatus = pytest.ExitCode.TESTS_FAILED

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        """A line a row."""
        terminalreporter.section("fault plan")
        for fault in [*PLAN, LONG]:
            if fault in self._tallies:
                terminalreporter.write_line(self._tallies[fault].line(fault))


def _ids(item: pytest.Item) -> Iterator[str]:
    for mark in item.iter_markers("fault"):
        yield from mark.args
    if isinstance(item, pytest.Function) and (inherited := INHERITED.get(item.originalname)):
        yield inherited
