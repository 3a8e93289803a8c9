"""The program's system calls, in order, as strace saw them."""

import re
import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from support.missing import missing

_UNFINISHED = re.compile(r"(\d+) +(\w+)\((.*) <unfinished \.\.\.>$", re.DOTALL)
_RESUMED = re.compile(r"(\d+) +<\.\.\. (\w+) resumed>(.*)$", re.DOTALL)
_WHOLE = re.compile(r"(\d+) +(\w+)\((.*)$", re.DOTALL)
_WAL = "journal.db-wal>"


@dataclass(slots=True)
class Call:
    """One call: `begun` and `done` are places in the order of all lines; `done` is None if it never came back."""

    name: str
    text: str
    begun: int
    done: int | None = None

    @property
    def failed(self) -> bool:
        """Whether it came back with an error."""
        return " = -1 " in self.text


@cache
def _strace() -> str:
    program = shutil.which("strace")
    if program is None:
        return ""
    probe = subprocess.run([program, "-f", "-o", "/dev/null", "true"], capture_output=True)
    return program if probe.returncode == 0 else ""


def strace(log: Path, calls: str, *options: str) -> list[str]:
    """The command to put before a program; skips, or fails in CI, where tracing is not possible."""
    if not _strace():
        missing("strace is missing or may not trace here: apt-get install strace, and allow ptrace")
    return [_strace(), "-f", "-y", "-s", "40000", "-e", f"trace={calls}", *options, "-o", str(log)]


def calls(log: Path) -> list[Call]:
    """Every call of a log, in the order in which they began."""
    found: list[Call] = []
    open_calls: dict[str, Call] = {}
    for place, line in enumerate(log.read_text(errors="replace").split("\n")):
        if match := _UNFINISHED.match(line):
            call = Call(match[2], match[3], place)
            found.append(call)
            open_calls[match[1]] = call
        elif match := _RESUMED.match(line):
            call = open_calls.pop(match[1])
            call.text += match[3]
            call.done = place
        elif match := _WHOLE.match(line):
            found.append(Call(match[2], match[3], place, place))
    return found


def synced_at(trace: Sequence[Call], mark: str) -> int | None:
    """When the first write of `mark` into the write-ahead log was on the disk; None if it never was."""
    written = next((c.done for c in trace if c.name == "pwrite64" and _WAL in c.text and mark in c.text), None)
    if written is None:
        return None
    for call in trace:
        sync = call.name in {"fdatasync", "fsync"} and _WAL in call.text and not call.failed
        if sync and call.begun > written and call.done is not None:
            return call.done
    return None


def early(trace: Sequence[Call], told: Sequence[tuple[str, int]]) -> list[str]:
    """Of what was `told` (a mark and when), the marks that were not on the disk by then."""
    found = []
    for mark, moment in told:
        safe = synced_at(trace, mark)
        if safe is None or safe > moment:
            found.append(mark)
    return found
