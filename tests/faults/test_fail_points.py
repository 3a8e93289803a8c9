"""The program is killed at each point where something has just begun or ended, and nothing is lost or doubled."""

import sqlite3
import sys
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest
from support.fail_points import POINTS
from support.filed import each_and_lake
from support.oracle import Oracle, held_in
from support.pipeline import Pipeline
from support.soundness import problems
from support.tracing import strace

from scribe_export.journal import schema
from scribe_export.journal.opening import mark_damaged

pytestmark = pytest.mark.timeout(120)
SCANS = 45
KILLED = -9
QUICK = {"after the write"}
"""The points of the fast tests; kills at random moments meet the others too, sooner or later."""
FOLDERS = each_and_lake(10)
SOURCES = {"spool": {"type": "spool", "directory": "spool", "records": 5}}


class Killed:
    """A pipeline that is killed at a point, and what it was given."""

    def __init__(self, folder: Path) -> None:
        self.oracle = Oracle()
        self.pipeline = Pipeline(folder / "it", FOLDERS, sources=SOURCES)
        (folder / "it" / "spool").mkdir()
        self.at("", 0)

    def at(self, point: str, number: int) -> None:
        """Arm the processes to come; without a point they are the honest program."""
        self.pipeline.main = [sys.executable, "-m", "support.fail_points", f"{point}:{number}"]

    def give(self, first: int = 1, last: int = SCANS) -> None:
        """Put scans into the spool; every fifteenth is large."""
        for number in range(first, last + 1):
            body = self.oracle.give(number, 300_000 if number % 15 == 0 else 700)
            (self.pipeline.folder / "spool" / f"{number:04d}.json").write_bytes(body)

    def judge(self, record: Callable[[str, object], None], *, recovering: bool = False) -> None:
        """What the honest program makes of it: nothing lost, doubled or altered."""
        self.at("", 0)
        wrong = problems(self.pipeline.state, self._acked())
        finished = self.pipeline.until_idle()
        assert finished.returncode == 0, finished.stdout + finished.stderr[-3000:]
        held = {name: str(self.oracle.compare(held_in(self.pipeline.folder / name))) for name in FOLDERS}
        status = {name: (row.delivered, row.dead) for name, row in self.pipeline.status().items()}
        assert wrong == (["taken for damaged"] if recovering else [])
        assert held == dict.fromkeys(FOLDERS, "no difference")
        assert status == dict.fromkeys(FOLDERS, (len(self.oracle.given), 0))
        assert problems(self.pipeline.state, self.oracle.given) == []
        record("scans", len(self.oracle.given))

    def _acked(self) -> set[str]:
        waiting = {str(int(path.stem)) for path in (self.pipeline.folder / "spool").iterdir()}
        return set(self.oracle.given) - waiting


@pytest.fixture
def killed(tmp_path: Path) -> Iterator[Killed]:
    made = Killed(tmp_path)
    with made.pipeline:
        yield made


@pytest.mark.fault("F-04")
@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=() if name in QUICK else pytest.mark.slow, id=name) for name in POINTS]
)
def test_a_kill_at_a_point_loses_and_doubles_nothing(
    killed: Killed, name: str, record_property: Callable[[str, object], None]
) -> None:
    point = POINTS[name]
    command = PREPARED[point.setting](killed)
    killed.at(name, point.number)
    ended = killed.pipeline.call(*command)
    assert ended.returncode == KILLED, f"the point was not reached\n{ended.stdout}{ended.stderr[-2000:]}"
    if point.setting == "replay":
        killed.at("", 0)
        killed.pipeline.call("dlq replay")
    killed.judge(record_property, recovering=point.setting == "recovery")


def _load(killed: Killed) -> tuple[str, ...]:
    killed.give()
    return "run", "--until-idle"


def _collecting(killed: Killed) -> tuple[str, ...]:
    """All is delivered, and the next start has bodies to remove."""
    killed.give()
    assert killed.pipeline.until_idle().returncode == 0
    return "run", "--until-idle"


def _replay(killed: Killed) -> tuple[str, ...]:
    """Scans are dead, for a rule that raises for them; then the rule is mended."""
    strict = {"each": FOLDERS["each"] | {"when": "confidence > 0.5"}, "lake": FOLDERS["lake"]}
    killed.give()
    killed.pipeline.write(strict, sources=SOURCES)
    assert killed.pipeline.until_idle().returncode == 1
    assert killed.pipeline.status()["each"].dead == SCANS
    killed.pipeline.write(FOLDERS, sources=SOURCES)
    return ("dlq replay",)


def _migration(killed: Killed) -> tuple[str, ...]:
    """A journal of the format before, with scans that wait."""
    _waiting(killed)
    with closing(sqlite3.connect(killed.pipeline.journal)) as connection:
        connection.execute("DROP TABLE usage")
        connection.execute("ALTER TABLE destination DROP COLUMN paused")
        connection.execute(f"PRAGMA user_version={schema.SCHEMA_VERSION - 1}")
    return "run", "--until-idle"


def _recovery(killed: Killed) -> tuple[str, ...]:
    _waiting(killed)
    mark_damaged(killed.pipeline.state, "a page could not be read")
    return "run", "--until-idle"


def _waiting(killed: Killed) -> None:
    """A journal with scans that no destination has."""
    killed.give()
    spooled = sorted((killed.pipeline.folder / "spool").iterdir())
    sent = killed.pipeline.call("send", *(str(file) for file in spooled))
    assert sent.returncode == 0, sent.stderr
    for file in spooled:
        file.unlink()


PREPARED: dict[str, Callable[[Killed], tuple[str, ...]]] = {
    "load": _load,
    "collecting": _collecting,
    "replay": _replay,
    "migration": _migration,
    "recovery": _recovery,
}


@pytest.mark.fault("F-04")
@pytest.mark.slow
@pytest.mark.parametrize("write", [1, 2, 5])
def test_a_kill_in_a_checkpoint_loses_and_doubles_nothing(
    killed: Killed, tmp_path: Path, write: int, record_property: Callable[[str, object], None]
) -> None:
    killed.give()
    journal = str(killed.pipeline.journal)
    injection = ("-P", journal, "-e", f"inject=pwrite64:signal=SIGKILL:when={write}")
    run = killed.pipeline.start("--until-idle", before=strace(tmp_path / "trace", "pwrite64", *injection))
    assert run.ended(60) == KILLED, "no page was written back"
    killed.judge(record_property)
