"""A server as a child process on 127.0.0.1: started, awaited, paused, stopped, restarted where it was."""

import http.client
import os
import random
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Self

from scribe_export.errors import ScribeExportError
from scribe_local import leash

_PORTS = range(20_000, 32_000)  # below those that the system gives to outgoing connections, so a restart finds its own
_POLL = 0.02
_LOG_SHOWN = 2000


class ServerFailed(ScribeExportError):
    """A server did not start, or ended by itself; the message ends with its log."""


class ServerMissing(ScribeExportError):
    """A server's program is not installed; the message says what to run."""


def free_port() -> int:
    """A port of 127.0.0.1 that nobody listens on now."""
    for port in random.SystemRandom().sample(_PORTS, 200):
        with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe, suppress(OSError):
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(("127.0.0.1", port))
            return port
    raise ServerFailed(f"no free port of 127.0.0.1 found from {_PORTS.start} to {_PORTS.stop - 1}")


class Server:
    """A server process, not yet started; a context manager that starts it and stops it.

    It runs in a session of its own, so Ctrl-C reaches only the process that owns it, and on Linux it is killed when the
    thread that started it ends: start it from a thread that lives as long as it should. `ready` is the path that
    answers 200 once it serves; None for a server that speaks no HTTP/1.1 and serves once it accepts connections. `log` is
    where its output goes. Starting again uses the same port, command and files.
    """

    def __init__(
        self,
        name: str,
        command: Sequence[str],
        *,
        port: int,
        ready: str | None,
        log: Path,
        environment: Mapping[str, str] | None = None,
        deadline: float = 30.0,
    ) -> None:
        self.name = name
        self.port = port
        self.process: subprocess.Popen[bytes] | None = None
        self._command = list(command)
        self._ready = ready
        self._log = log
        self._environment = {**os.environ, **(environment or {})}
        self._deadline = deadline

    @property
    def url(self) -> str:
        """Without a slash at its end."""
        return f"http://{self.address}"

    @property
    def address(self) -> str:
        """Host and port."""
        return f"127.0.0.1:{self.port}"

    @property
    def running(self) -> bool:
        """Whether its process lives; a paused one does."""
        return self.process is not None and self.process.poll() is None

    def start(self) -> Self:
        """Start it and return once it answers. Raises `ServerFailed`; does nothing if it runs."""
        if self.running:
            return self
        self._log.parent.mkdir(parents=True, exist_ok=True)
        leashed = [sys.executable, "-I", "-S", str(Path(leash.__file__)), str(os.getpid()), *self._command]
        with self._log.open("ab") as log:
            self.process = subprocess.Popen(  # noqa: S603 - the command comes from this package
                leashed,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                env=self._environment,
                start_new_session=True,
            )
        try:
            self._await_answer(self.process)
        except BaseException:
            self.kill()
            raise
        return self

    def stop(self, patience: float = 5.0) -> None:
        """Ask it to end, and kill it if it does not within `patience` seconds. Safe twice, and before `start`."""
        if self.process is not None and self.running:
            self.process.terminate()
            self.resume()
            with suppress(subprocess.TimeoutExpired):
                self.process.wait(patience)
        self.kill()

    def kill(self) -> None:
        """End it and its children at once, as a crash would. Safe twice, and before `start`."""
        if self.process is None:
            return
        with suppress(ProcessLookupError):
            # Its session's group has its pid as long as one of its children lives.
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()
        self.process = None

    def pause(self) -> None:
        """Stop it in its tracks: connections are accepted by the system, and nobody answers."""
        self._signal(signal.SIGSTOP)

    def resume(self) -> None:
        """Undo `pause`."""
        self._signal(signal.SIGCONT)

    def log_tail(self) -> str:
        """The end of its output."""
        text = self._log.read_text(errors="replace") if self._log.exists() else ""
        return text[-_LOG_SHOWN:].strip() or "(nothing logged)"

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def _signal(self, which: signal.Signals) -> None:
        if self.process is not None and self.running:
            self.process.send_signal(which)

    def _await_answer(self, process: subprocess.Popen[bytes]) -> None:
        until = time.monotonic() + self._deadline
        while time.monotonic() < until:
            if process.poll() is not None:
                raise ServerFailed(f"{self.name} ended with status {process.returncode}:\n{self.log_tail()}")
            if self._answers():
                return
            time.sleep(_POLL)
        raise ServerFailed(
            f"{self.name} does not answer at {self.url}{self._ready or ''} after {self._deadline:g} s:\n{self.log_tail()}"
        )

    def _answers(self) -> bool:
        if self._ready is None:
            with suppress(OSError), socket.create_connection(("127.0.0.1", self.port), timeout=2):
                return True
            return False
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=2)
        try:
            connection.request("GET", self._ready)
            return connection.getresponse().status == http.HTTPStatus.OK
        except (OSError, http.client.HTTPException):
            return False
        finally:
            connection.close()
