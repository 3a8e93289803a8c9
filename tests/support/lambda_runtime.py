"""A function as AWS Lambda runs it: the shipped zip under the genuine runtime client, against a small Runtime API.

https://docs.aws.amazon.com/lambda/latest/dg/runtimes-api.html
"""

from __future__ import annotations

import json
import os
import queue
import signal
import socket
import subprocess
import threading
import time
import uuid
from collections.abc import Mapping
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from scribe_local.process import ServerMissing
from scribe_local.servers import ACCESS_KEY, REGION, SECRET_KEY

ENVIRONMENT = "SCRIBE_EXPORT_LAMBDA_ENV"
"""The environment variable that names the virtual environment holding awslambdaric alone."""
HANDLER = "scribe_export.hosts.aws_lambda.handler"
ARN = f"arn:aws:lambda:{REGION}:000000000000:function:scribe-scan-function"
_API = "/2018-06-01/runtime"


class FunctionError(Exception):
    """What the platform reports of an invocation that raised; `kind` is the name of what was raised."""

    def __init__(self, kind: str, message: str) -> None:
        super().__init__(message)
        self.kind = kind


class Died(Exception):
    """The function's process ended before it answered."""


@dataclass(frozen=True, slots=True)
class _Invocation:
    id: str
    event: bytes
    seconds: float
    answer: Future[Any]


class RuntimeApi:
    """Serves one function's process at a time; a context manager."""

    def __init__(self) -> None:
        self.waiting: queue.Queue[_Invocation] = queue.Queue()
        self.given: dict[str, _Invocation] = {}
        self.init_error: Future[Any] = Future()
        self._server = _Server(self)
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,), name="runtime-api")

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self._server.server_address[1]}"

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, api: RuntimeApi) -> None:
        super().__init__(("127.0.0.1", 0), _Requests)
        self.api = api


class _Requests(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    wbufsize = -1
    server: _Server

    def setup(self) -> None:
        super().setup()
        self.connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def do_GET(self) -> None:
        assert self.path == f"{_API}/invocation/next", self.path
        one = self._next()
        if one is None:
            return
        self.server.api.given[one.id] = one
        headers = {
            "Lambda-Runtime-Aws-Request-Id": one.id,
            "Lambda-Runtime-Deadline-Ms": str(int((time.time() + one.seconds) * 1000)),
            "Lambda-Runtime-Invoked-Function-Arn": ARN,
        }
        self._answer(200, one.event, headers)

    def _next(self) -> _Invocation | None:
        """None if who asked is there no more: its successor asks on another connection."""
        while self._there():
            with suppress(queue.Empty):
                one = self.server.api.waiting.get(timeout=0.05)
                if self._there():
                    return one
                self.server.api.waiting.put(one)
        return None

    def _there(self) -> bool:
        try:
            return bool(self.connection.recv(1, socket.MSG_PEEK | socket.MSG_DONTWAIT))
        except BlockingIOError:
            return True
        except OSError:
            return False

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self._answer(202, b'{"status": "OK"}', {})
        what = self.path.removeprefix(_API).strip("/").split("/")
        answer = self.server.api.init_error if what[0] == "init" else self.server.api.given[what[1]].answer
        if what[-1] == "error":
            answer.set_exception(FunctionError(body["errorType"], body["errorMessage"]))
        else:
            answer.set_result(body)

    def _answer(self, status: int, body: bytes, headers: Mapping[str, str]) -> None:
        self.send_response(status)
        for name, value in {**headers, "Content-Type": "application/json"}.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
        self.wfile.flush()

    def log_message(self, *_: object) -> None:
        pass


class Function:
    """The process of one execution environment; a context manager. `code` is where the zip was unzipped."""

    def __init__(self, api: RuntimeApi, code: Path, log: Path, **environment: str) -> None:
        self._api, self._log = api, log
        self._process: subprocess.Popen[bytes] | None = None
        self._code = code
        # Nothing of this process's own environment reaches it.
        self._environment = {
            "AWS_ACCESS_KEY_ID": ACCESS_KEY,
            "AWS_SECRET_ACCESS_KEY": SECRET_KEY,
            "AWS_REGION": REGION,
            "AWS_DEFAULT_REGION": REGION,
            "AWS_LAMBDA_RUNTIME_API": api.address,
            "AWS_LAMBDA_FUNCTION_NAME": "scribe-scan-function",
            "LAMBDA_TASK_ROOT": str(code),
            "PATH": "/usr/bin:/bin",
            "SCRIBE_EXPORT_CONFIG": "export.yaml",
            **environment,
        }

    def __enter__(self) -> Self:
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                [runtime_python(), "-m", "awslambdaric", HANDLER],
                cwd=self._code,
                env=self._environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
            )
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.kill()

    def kill(self) -> None:
        """As the platform ends an environment that it has no more use for, or the machine does."""
        assert self._process is not None
        self._process.kill()
        self._process.wait()

    def freeze(self) -> None:
        """As between two invocations."""
        assert self._process is not None
        self._process.send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        assert self._process is not None
        self._process.send_signal(signal.SIGCONT)

    def begin(self, event: Any, *, seconds: float = 20.0) -> Future[Any]:
        """An invocation that may take so many seconds, as the function sees it."""
        one = _Invocation(str(uuid.uuid4()), json.dumps(event).encode(), seconds, Future())
        self._api.waiting.put(one)
        return one.answer

    def invoke(self, event: Any, *, seconds: float = 20.0) -> Any:
        """The answer; raises `FunctionError` or `Died`."""
        answer = self.begin(event, seconds=seconds)
        until = time.monotonic() + seconds + 20
        while time.monotonic() < until:
            try:
                return answer.result(0.05)
            except TimeoutError:
                assert self._process is not None
                if self._process.poll() is not None:
                    raise Died(self.log()) from None
        raise Died(f"no answer: {self.log()}")

    def log(self) -> str:
        """What it said."""
        return self._log.read_text(errors="replace")


def runtime_python() -> str:
    """The interpreter of the environment that holds awslambdaric. Raises `ServerMissing`."""
    beside = Path(__file__).parents[2] / ".venv-lambda"
    program = Path(os.environ.get(ENVIRONMENT, beside)) / "bin" / "python"
    if not os.access(program, os.X_OK):
        raise ServerMissing(
            "awslambdaric, the runtime client of AWS Lambda, is not installed: run `make .venv-lambda/.installed` in the "
            f"repository, or set {ENVIRONMENT}"
        )
    return str(program)
