"""What a process has used when it ends."""

import os
from dataclasses import dataclass

from support.pipeline import Run, until


@dataclass(frozen=True)
class Usage:
    """`seconds` of CPU, and the most memory in MiB at once."""

    exit_code: int
    seconds: float
    peak: float


def ended(run: Run, within: float) -> Usage:
    """Wait for a process's end, and take its figures from the system, wait4(2)."""
    found: list[Usage] = []

    def reaped() -> bool:
        pid, status, used = os.wait4(run.process.pid, os.WNOHANG)
        if pid:
            run.process.returncode = os.waitstatus_to_exitcode(status)
            found.append(Usage(run.process.returncode, used.ru_utime + used.ru_stime, used.ru_maxrss / 1024))
        return bool(pid)

    until(reaped, within=within, what="its end", seen=lambda: run.log.read_text(errors="replace")[-3000:])
    return found[0]
