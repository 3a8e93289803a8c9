"""The fault plan: what is injected and what must hold, a row an id; and the tests that keep each row.

A test names its rows by ``@pytest.mark.fault("F-05")``. Beside what its row says, each test asks that nothing is lost,
nothing arrives that was not given, no content is altered, and nothing is doubled beyond the sink's effect class.
"""

import ast
from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

TESTS = Path(__file__).resolve().parents[1]
PAGE = TESTS.parent / "docs" / "guide" / "faults.md"
INHERITED = {
    "test_a_lost_answer_is_unknown_and_a_repeat_mends_it": "F-09",
    "test_a_service_that_is_down_acks_nothing": "F-05",
}
"""Tests of the contract suite that keep a row for every connector: the suite is not the place for marks of ours."""


@dataclass(frozen=True, slots=True)
class Row:
    """What is injected, and what must hold."""

    injected: str
    holds: str


PLAN: Mapping[str, Row] = {
    "F-01": Row(
        "the process is killed (SIGKILL) at a random moment under load, 200 times, with three destinations",
        "no scan is lost; none is doubled at S3 or in files; each start is ready within 3 s",
    ),
    "F-02": Row(
        "every system call is recorded",
        "nobody is told that a scan is safe before the write-ahead log is synced; a batch is sent after its sealing is",
    ),
    "F-03": Row(
        "the power is cut: of what was not synced, a random part of the sectors, names and lengths is on the disk",
        "the journal opens, every acknowledged scan is in it, each large body that a row names exists and hashes",
    ),
    "F-04": Row(
        "the process is killed at each of the named points, from the insert of a scan to the end of a recovery",
        "no scan is lost or doubled, and the journal is sound; the ledger keeps its rules in any order of events",
    ),
    "F-05": Row(
        "a destination refuses everything for an hour",
        "the others are as fast as before; the breaker is open and lets one trial through an interval; nothing is dead; "
        "the backlog drains in order",
    ),
    "F-06": Row(
        "a service answers 503 to everything for two minutes, and then to half",
        "few more requests than successes, no bursts of them, nothing lost or dead",
    ),
    "F-07": Row(
        "a service answers that it is asked too much, and when to come again",
        "no request before that time; fewer at once, and later as many as before",
    ),
    "F-08": Row(
        "a service sends its answer one byte a second, or an answer that never ends",
        "the call ends at the deadline, its outcome is unknown, and no other destination waits",
    ),
    "F-09": Row(
        "a write takes effect and its answer is lost",
        "it is repeated under the same name, and an exact sink holds it once",
    ),
    "F-10": Row(
        "SQS refuses some messages of a request", "only those that may pass are sent again; the others are dead"
    ),
    "F-11": Row("DynamoDB leaves items unprocessed", "only those are sent again, and each is written once"),
    "F-12": Row("BigQuery refuses one row and stops the others", "the row is dead, the others go again with their ids"),
    "F-13": Row(
        "BigQuery accepts rows for a table just made, and loses them",
        "such a table is not streamed into before it is old enough; a load job fills it at once",
    ),
    "F-14": Row("a function fails, and Lambda answers 200", "that is no success: it is tried again, and then dead"),
    "F-15": Row(
        "a message of an ordering key fails", "the rest of its key waits and then follows in order; other keys flow"
    ),
    "F-16": Row(
        "the quota is used up while one destination fails and one works",
        "sources pause and are not acknowledged, what is delivered is settled, and all goes on once there is room",
    ),
    "F-17": Row(
        "the disk is really full",
        "the reserve is given up, what is delivered is settled; later all goes on; a start then touches nothing",
    ),
    "F-18": Row("a sync of the disk fails", "the process ends with 4 at once and acknowledges nothing more"),
    "F-19": Row(
        "SIGTERM under full load with a slow destination",
        "it ends with 0 in time, reads nothing more, and the next run delivers the rest",
    ),
    "F-20": Row(
        "SIGTERM while a destination never answers, and a second one", "it ends in time; the scan stays pending"
    ),
    "F-21": Row("a byte of a stored body is flipped", "that scan is dead, class corrupt, and never sent; others are"),
    "F-22": Row(
        "pages or the head of the journal are overwritten, or a recovery is killed",
        "the file is kept aside, what verifies is delivered, and the start is never a loop of crashes",
    ),
    "F-23": Row(
        "the write-ahead log ends at each 512 bytes of its last transaction",
        "the journal opens with every earlier transaction whole",
    ),
    "F-24": Row("a second process on the same state", "it ends with 3 at once, naming the owner, who is not disturbed"),
    "F-25": Row(
        "a restart with a changed file: a destination added, one with a backlog removed, an endpoint changed; bad YAML",
        "the new one gets new scans only, the backlog of the old one is kept, nothing is lost; bad YAML changes nothing",
    ),
    "F-26": Row(
        "credentials expire or are revoked, and are good again later",
        "everything is held, no attempt is charged, nothing is dead, and it goes on by itself",
    ),
    "F-27": Row("a queue delivers again, and deletes fail", "each scan is taken once, the others count as duplicates"),
    "F-28": Row(
        "the clock is set a day forward or back, or stands still",
        "nothing waits longer than before, nothing turns in a circle, receipts stay in order",
    ),
    "F-29": Row(
        "each call of the store, one after the other, fails once: full, I/O error, busy",
        "no other error escapes than the journal's own; after a new start nothing is lost",
    ),
    "F-30": Row(
        "the WebSocket is away while scans complete; frames come twice, shuffled, or of 5 MB", "each scan arrives once"
    ),
    "F-31": Row(
        "who took a message from Redis dies before the commit", "another recovers it; the guide's BRPOP loses it"
    ),
    "F-32": Row(
        "work outlasts RabbitMQ's heartbeat; the queue is missing",
        "the connection lives; a message without a queue is a failure",
    ),
    "F-33": Row("poison among good scans", "the good ones arrive, and the poison lies where it is said to"),
    "F-34": Row(
        "a thousand dead letters are replayed twice, and the process is killed in between",
        "an exact sink holds each once; the chain of receipts verifies",
    ),
    "F-35": Row("damaged config files", "each is refused with its mistakes, or read"),
    "F-36": Row(
        "small limits, random kills, network faults and clock jumps for minutes (`SOAK` seconds)",
        "nothing is lost, new scans flow, memory and open files stay level, the write-ahead log stays within its limit",
    ),
}


@dataclass(frozen=True, slots=True)
class Kept:
    """A test that keeps rows; `fast` and `slow` say in which runs some case of it is."""

    path: str
    name: str
    fast: bool
    slow: bool


def kept() -> dict[str, list[Kept]]:
    """The tests that name each id, read from their sources; also for ids that the plan does not have."""
    found: dict[str, list[Kept]] = defaultdict(list)
    for path in sorted(TESTS.rglob("test_*.py")):
        text = path.read_text("utf-8")
        if "mark.fault(" in text:
            for ids, test in _marked(ast.parse(text), path.relative_to(TESTS).as_posix()):
                for fault in ids:
                    found[fault].append(test)
    return found


def _marked(tree: ast.Module, path: str) -> Iterator[tuple[list[str], Kept]]:
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.name.startswith("test_"):
            marks = [mark for mark in node.decorator_list if _is(mark, "fault")]
            ids = [ast.literal_eval(argument) for mark in marks if isinstance(mark, ast.Call) for argument in mark.args]
            if ids:
                slow = any(_is(mark, "slow") for mark in node.decorator_list)
                partly = not slow and any("mark.slow" in ast.unparse(mark) for mark in node.decorator_list)
                yield ids, Kept(path, node.name, fast=not slow, slow=slow or partly)


def _is(mark: ast.expr, name: str) -> bool:
    called = mark.func if isinstance(mark, ast.Call) else mark
    return ast.unparse(called) == f"pytest.mark.{name}"


def page() -> str:
    """The plan as a page of the documentation."""
    tests = kept()
    lines = [
        "# The fault plan",
        "",
        "Each row is a fault that is injected on purpose, what must hold then, and the tests that see to it. Every test",
        "also asks that nothing is lost, that nothing arrives which was not given, that no content is altered, and that",
        "nothing is doubled where the destination can tell. `make test` runs those marked fast. `make faults` runs all",
        "and what takes long, and reports each row with its figures; `make faults FAULT=F-05` runs one row,",
        "`SOAK=1800` makes the last one longer (seconds). A test whose tool is missing is skipped with the reason; in CI",
        "(`CI=true`) that fails.",
        "",
        "Made from `tests/support/fault_plan.py` by `REGOLD=1 pytest tests/unit/test_fault_plan.py`.",
        "",
        "| | injected | must hold | tests | run by |",
        "|---|---|---|---|---|",
    ]
    for fault, row in PLAN.items():
        files: dict[str, list[Kept]] = defaultdict(list)
        for test in tests.get(fault, []):
            files[test.path].append(test)
        links = [f"[{Path(path).stem}](../../tests/{path})" for path in files]
        links += [f"[contract](../../tests/contract): `{name}`" for name, id_ in INHERITED.items() if id_ == fault]
        runs = [test for group in files.values() for test in group]
        fast = any(test.fast for test in runs) or fault in INHERITED.values()
        long = any(test.slow for test in runs)
        when = "fast, longer in `make faults`" if fast and long else "fast" if fast else "`make faults`"
        lines.append(f"| {fault} | {row.injected} | {row.holds} | {', '.join(links)} | {when} |")
    return "\n".join(lines) + "\n"
