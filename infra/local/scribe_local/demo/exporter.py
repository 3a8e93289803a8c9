"""The exporter as the process that it is for its users: started, killed, stopped, and asked by its own commands."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from scribe_local import leash
from scribe_local.demo.failure import DemoFailed

_READY_WITHIN = 60.0
_LOG_SHOWN = 2000


def exporter_command() -> list[str]:
    """What starts the ``scribe-export`` of this environment."""
    return [sys.executable, "-m", "scribe_export"]


class Exporter:
    """``scribe-export run``, one process after another on one config; close it at the end.

    It writes to `log`. It runs in a session of its own, so Ctrl-C reaches only the demo, which ends it; on Linux it dies
    with the demo in any case.
    """

    def __init__(self, config: Path, log: Path) -> None:
        self.config, self.log = config, log
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int:
        return self._process.pid if self._process else 0

    def start(self) -> float:
        """Start it; the seconds until it was ready. Raises `DemoFailed`."""
        read_from = self.log.stat().st_size if self.log.exists() else 0
        started = time.monotonic()
        self._spawn("run")
        while not self._said_ready(read_from):
            self.check()
            if time.monotonic() - started > _READY_WITHIN:
                raise DemoFailed(f"the exporter was not ready within {_READY_WITHIN:g} s; {self.log_tail()}")
            time.sleep(0.01)
        return time.monotonic() - started

    def run_until_idle(self) -> None:
        """Start it on what there is to do; see `ended`."""
        self._spawn("run", "--until-idle", "--max-wait", "60s")

    def ended(self) -> int | None:
        """Its exit code; None while it runs."""
        return None if self._process is None else self._process.poll()

    def check(self) -> None:
        """Raise `DemoFailed` if it ended by itself."""
        if self.ended() is not None:
            raise DemoFailed(f"the exporter ended with exit code {self.ended()}; {self.log_tail()}")

    def kill(self) -> None:
        """``kill -9``."""
        if self._process is not None:
            with suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()
            self._process = None

    def stop(self) -> None:
        """``kill``: it settles what is in flight first. Raises `DemoFailed` if that took 40 s, or failed."""
        assert self._process is not None
        self._process.terminate()
        try:
            code = self._process.wait(40)
        except subprocess.TimeoutExpired:
            raise DemoFailed(f"the exporter did not stop within 40 s; {self.log_tail()}") from None
        if code:
            raise DemoFailed(f"the exporter stopped with exit code {code}; {self.log_tail()}")
        self._process = None

    def ask(self, *arguments: str) -> str:
        """What another of its commands prints. Raises `DemoFailed`."""
        done = subprocess.run(  # noqa: S603 - the command comes from this package
            [*exporter_command(), *arguments], capture_output=True, text=True, timeout=120, check=False
        )
        if done.returncode:
            raise DemoFailed(f"scribe-export {' '.join(arguments)}: exit code {done.returncode}: {done.stderr.strip()}")
        return done.stdout

    def log_tail(self) -> str:
        """Where its log is, and its end."""
        text = self.log.read_text(errors="replace") if self.log.exists() else ""
        return f"the end of {self.log}:\n{text[-_LOG_SHOWN:].strip() or '(nothing logged)'}"

    def _spawn(self, command: str, *options: str) -> None:
        leashed = [sys.executable, "-I", "-S", str(Path(leash.__file__)), str(os.getpid())]
        arguments: Sequence[str] = [*leashed, *exporter_command(), command, *options, str(self.config)]
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(  # noqa: S603 - the command comes from this package
                arguments, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True
            )

    def _said_ready(self, read_from: int) -> bool:
        with self.log.open("rb") as log:
            log.seek(read_from)
            for line in log:
                with suppress(ValueError):
                    entry = json.loads(line)
                    if isinstance(entry, dict) and entry.get("event") == "ready":
                        return True
        return False
