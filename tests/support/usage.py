"""What a process has used when it ends."""

import os
import re
from dataclasses import dataclass
from pathlib import Path

from support.pipeline import Run, until


@dataclass(frozen=True)
class Usage:
    """`seconds` of CPU, and the most memory in MiB at once."""

    exit_code: int
    seconds: float
    peak: float


def ended(run: Run, within: float) -> Usage:
    """Wait for a process's end, and take its figures from the system.

    Its CPU is that of wait4(2). Its memory is looked at all the while: what wait4 says of it begins with that of the
    process that started it.
    """
    found: list[Usage] = []
    peak = 0.0

    def reaped() -> bool:
        nonlocal peak
        peak = max(peak, _most(run.process.pid))
        pid, status, used = os.wait4(run.process.pid, os.WNOHANG)
        if pid:
            run.process.returncode = os.waitstatus_to_exitcode(status)
            found.append(Usage(run.process.returncode, used.ru_utime + used.ru_stime, peak))
        return bool(pid)

    until(reaped, within=within, what="its end", seen=lambda: run.log.read_text(errors="replace")[-3000:])
    return found[0]


def _most(pid: int) -> float:
    """The most memory that a process had so far, in MiB; 0 if it has ended, proc_pid_status(5)."""
    text = Path(f"/proc/{pid}/status").read_text()
    found = re.search(r"^VmHWM:\s+(\d+) kB", text, re.MULTILINE)
    return int(found[1]) / 1024 if found else 0.0
