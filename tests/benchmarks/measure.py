"""What programs cost, in rounds in which those that are compared take turns."""

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

SPENT = Path(__file__).with_name("spent.py")
ROUNDS = int(os.environ.get("BENCH_ROUNDS", "3"))

Figures = Mapping[str, float]


@dataclass(frozen=True, slots=True)
class Run:
    """One run of a program: `stdin` is the file that it reads, `environment` comes on top of this process's."""

    command: Sequence[str]
    stdin: Path | None = None
    environment: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Spent:
    """Seconds of CPU and by the clock, and MiB resident at most, of a program with all its children."""

    cpu: float
    wall: float
    peak: float


def spend(run: Run) -> Spent:
    """Run it; raises CalledProcessError with what it wrote to standard error if it fails."""
    with tempfile.TemporaryDirectory() as folder:
        result = Path(folder) / "spent"
        command = [sys.executable, "-S", "-E", str(SPENT), str(result), str(run.stdin or ""), *run.command]
        environment = os.environ | run.environment
        done = subprocess.run(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, check=False)
        if done.returncode:
            sys.stderr.write(done.stderr.decode(errors="replace")[-4000:])
            raise subprocess.CalledProcessError(done.returncode, list(run.command))
        return Spent(**json.loads(result.read_text("utf-8")))


def child(part: str, *arguments: str) -> Figures:
    """Run one of these modules in a process of its own; it prints one JSON object."""
    command = [sys.executable, "-W", "ignore", "-m", f"benchmarks.{part}", *arguments]
    found: Figures = json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout)
    return found


def alternated(turns: Mapping[str, Callable[[], Figures]], rounds: int = ROUNDS) -> list[dict[str, Any]]:
    """A row for each that takes turns, with its figures of every round in order."""
    found: dict[str, list[Figures]] = {name: [] for name in turns}
    for number in range(rounds):
        for name, turn in turns.items():
            print(f"round {number + 1} of {rounds}: {name}", file=sys.stderr)
            found[name].append(turn())
    return [{"who": name, **_by_figure(each)} for name, each in found.items()]


def _by_figure(rounds: Iterable[Figures]) -> dict[str, list[float]]:
    table: dict[str, list[float]] = {}
    for one in rounds:
        for key, value in one.items():
            table.setdefault(key, []).append(float(f"{value:.5g}"))
    return table


def marginal(run: Callable[[int], Spent], few: int, many: int) -> dict[str, float]:
    """From two runs, of few scans and of many: CPU microseconds a further scan, further scans a second, the peak of the
    larger run in MiB, and the CPU seconds of the smaller, which is mostly its start."""
    small, large = run(few), run(many)
    further = many - few
    return {
        "cpu": (large.cpu - small.cpu) / further * 1e6,
        "rate": further / max(large.wall - small.wall, 1e-3),
        "peak": large.peak,
        "start": small.cpu,
    }
