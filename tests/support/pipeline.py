"""A pipeline as its operator has it: a config file, and `scribe-export` processes over real files and sockets."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing, suppress
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from scribe_export import config as configuration
from scribe_export.journal.database import FILE_NAME
from scribe_export.journal.status import DestinationStatus, journal_status, open_read_only

TESTS = Path(__file__).resolve().parents[1]
PROGRAM = (sys.executable, "-m", "scribe_export")
_POLL = 0.005


def until(
    reached: Callable[[], bool], *, within: float = 20.0, what: str = "it", seen: Callable[[], str] = str
) -> None:
    """Return as soon as `reached`; fail after `within` seconds, with what `seen` tells then."""
    deadline = time.monotonic() + within
    while not reached():
        assert time.monotonic() < deadline, f"{what} did not happen within {within:g} s\n{seen()}"
        time.sleep(_POLL)


class Run:
    """One process of the program. `log` is its standard error: JSON lines."""

    def __init__(self, process: "subprocess.Popen[bytes]", log: Path) -> None:
        self.process, self.log = process, log
        self.started = time.monotonic()

    def events(self) -> list[dict[str, Any]]:
        """Every whole line of its log; one that is no JSON has the event ``text``."""
        lines = self.log.read_text(errors="replace").split("\n")[:-1]
        return [json.loads(line) if line.startswith("{") else {"event": "text", "line": line} for line in lines]

    def said(self, event: str, **fields: Any) -> list[dict[str, Any]]:
        """The log's lines of that event with these fields."""
        found = [entry for entry in self.events() if entry["event"] == event]
        return [entry for entry in found if all(entry.get(key) == value for key, value in fields.items())]

    def wait_for(self, event: str, *, within: float = 20.0, **fields: Any) -> dict[str, Any]:
        """The first such line, as soon as it is there; fails if the process ends without it."""
        deadline = time.monotonic() + within
        while not (found := self.said(event, **fields)):
            ended = self.process.poll()
            text = self.log.read_text(errors="replace")[-3000:]
            assert ended is None or self.said(event, **fields), f"ended with {ended} before {event!r}:\n{text}"
            assert time.monotonic() < deadline, f"no {event!r} within {within:g} s:\n{text}"
            time.sleep(_POLL)
        return found[0]

    def ready(self, within: float = 20.0) -> float:
        """Wait for the line ``ready``; how many seconds after the start it came."""
        self.wait_for("ready", within=within)
        return time.monotonic() - self.started

    def kill(self) -> None:
        """SIGKILL; safe if it has ended."""
        with suppress(ProcessLookupError):
            self.process.kill()
        self.process.wait()

    def terminate(self) -> None:
        """SIGTERM."""
        self.process.send_signal(signal.SIGTERM)

    def ended(self, within: float = 30.0) -> int:
        """Its exit code."""
        return self.process.wait(within)


class Pipeline:
    """A config in a folder of its own; a context manager that kills what still runs of it.

    `state` is where the state folder goes, if not beside the config. `settings` stand at the file's top.
    """

    def __init__(
        self,
        folder: Path,
        destinations: Mapping[str, Mapping[str, Any]],
        *,
        sources: Mapping[str, Mapping[str, Any]] | None = None,
        state: Path | None = None,
        main: Sequence[str] = PROGRAM,
        **settings: Any,
    ) -> None:
        self.folder = folder
        self.path = folder / "export.yaml"
        self.main = list(main)
        self.runs: list[Run] = []
        self._state_dir = state
        self.write(destinations, sources=sources, **settings)

    def write(
        self,
        destinations: Mapping[str, Mapping[str, Any]],
        *,
        sources: Mapping[str, Mapping[str, Any]] | None = None,
        **settings: Any,
    ) -> None:
        """Write the config file, anew if it was there."""
        document: dict[str, Any] = {
            "state_dir": str(self._state_dir or self.folder / "state"),
            "journal": {"quota": "1GiB"},
            **settings,
            "destinations": {name: dict(options) for name, options in destinations.items()},
        }
        if sources:
            document["sources"] = {name: dict(options) for name, options in sources.items()}
        self.folder.mkdir(parents=True, exist_ok=True)
        self.path.write_text(json.dumps(document, indent=2))  # JSON is YAML, without aliases

    @property
    def state(self) -> Path:
        """The folder with the journal; needs connectors of this process only."""
        parent = self._state_dir or self.folder / "state"
        pipeline = json.loads(self.path.read_text()).get("pipeline", "default")
        return parent / str(pipeline)

    @property
    def journal(self) -> Path:
        """The journal's file."""
        return self.state / FILE_NAME

    @property
    def owner(self) -> int:
        """The process that has the state folder, which may be the child of a `Run`, as under strace."""
        return int((self.state / "owner.lock").read_text().split()[1])

    def start(self, *arguments: str, before: Sequence[str] = (), command: str = "run") -> Run:
        """Start `command`, under the program `before` if given; its standard output goes to `Run.log` plus ``.out``."""
        log = self.folder / f"{len(self.runs):03d}.log"
        with log.open("wb") as error, log.with_suffix(".log.out").open("wb") as out:
            process = subprocess.Popen(
                [*before, *self.main, command, str(self.path), *arguments],
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=error,
                env=environment(),
            )
        run = Run(process, log)
        self.runs.append(run)
        return run

    def until_idle(self, *arguments: str, within: float = 120.0) -> "subprocess.CompletedProcess[str]":
        """`run --until-idle` to its end."""
        return self.call("run", "--until-idle", *arguments, within=within)

    def call(self, command: str, *arguments: str, within: float = 60.0) -> "subprocess.CompletedProcess[str]":
        """One command, such as ``dlq list``, to its end."""
        return subprocess.run(
            [*self.main, *command.split(), str(self.path), *arguments],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=within,
            env=environment(),
        )

    def status(self) -> dict[str, DestinationStatus]:
        """The destinations as the journal has them now."""
        with closing(open_read_only(self.journal)) as connection:
            return {row.name: row for row in journal_status(connection, time.time()).destinations}

    def query(self, sql: str) -> list[tuple[Any, ...]]:
        """Rows of the journal, read beside whoever owns it."""
        with closing(open_read_only(self.journal)) as connection:
            return connection.execute(sql).fetchall()

    def load(self) -> configuration.Config:
        """The config, checked."""
        return configuration.load(self.path)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for run in self.runs:
            run.kill()


def environment() -> dict[str, str]:
    """This process's, in which `support` can be imported too."""
    path = os.pathsep.join(filter(None, [str(TESTS), os.environ.get("PYTHONPATH", "")]))
    return {**os.environ, "PYTHONPATH": path, "PYTHONUNBUFFERED": "1"}
