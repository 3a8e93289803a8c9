"""Run as a script: become another program that dies with the process that started this one.

Between fork and exec only little may be done safely in a program with threads, so a fresh interpreter does it:
``python -I -S leash.py PARENT_PID PROGRAM ARGUMENT…``. On Linux the kernel then sends SIGKILL when the thread that
started it ends (https://man7.org/linux/man-pages/man2/PR_SET_PDEATHSIG.2const.html); elsewhere nothing is tied.
"""

import ctypes
import os
import signal
import sys

_PR_SET_PDEATHSIG = 1


def main() -> None:
    parent, command = int(sys.argv[1]), sys.argv[2:]
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != parent:
        sys.exit("the process that started this server is gone")
    os.execvp(command[0], command)  # noqa: S606 - the command comes from this package


if __name__ == "__main__":
    main()
