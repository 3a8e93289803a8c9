"""Runs a program and says what its whole process tree took: ``python spent.py RESULT INPUT COMMAND…``.

A process of its own and a small one, because the kernel counts a parent's memory at the moment of a start as its child's.
`cpu` is in seconds, user and system, of the program and of all children that it waited for; `peak` is the resident
memory in MiB of the largest of these.
"""

import json
import os
import subprocess
import sys
import time
from pathlib import Path


def main() -> int:
    """Write the figures as JSON to the first argument; the program's exit code."""
    result, stdin, *command = sys.argv[1:]
    with Path(stdin or os.devnull).open("rb") as source:
        started = time.monotonic()
        child = subprocess.Popen(command, stdin=source)
        _, status, usage = os.wait4(child.pid, 0)
        wall = time.monotonic() - started
    child.returncode = os.waitstatus_to_exitcode(status)
    found = {"cpu": usage.ru_utime + usage.ru_stime, "wall": wall, "peak": usage.ru_maxrss / 1024}
    Path(result).write_text(json.dumps(found), "utf-8")
    return child.returncode


if __name__ == "__main__":
    sys.exit(main())
