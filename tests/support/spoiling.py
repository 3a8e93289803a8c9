"""An HTTP layer before a server that answers 500 to the requests that a test names."""

import http.client
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Self


class SpoilingServer:
    """Passes every request on, but for those whose method and path `spoils` names; a context manager.

    `spoilt` counts what was answered 500.
    """

    def __init__(self, target_port: int, spoils: Callable[[str, str], bool]) -> None:
        self.spoilt = 0
        outer = self

        class Passing(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def _pass(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
                if spoils(self.command, self.path):
                    outer.spoilt += 1
                    self._answer(
                        500, [("Content-Type", "application/xml")], b"<Error><Code>InternalError</Code></Error>"
                    )
                    return
                connection = http.client.HTTPConnection("127.0.0.1", target_port, timeout=30)
                try:
                    headers = {name: value for name, value in self.headers.items() if name.lower() != "expect"}
                    connection.request(self.command, self.path, body=body or None, headers=headers)
                    answer = connection.getresponse()
                    data = answer.read()
                    self._answer(answer.status, answer.getheaders(), data)
                finally:
                    connection.close()

            do_GET = do_PUT = do_HEAD = do_POST = do_DELETE = _pass  # noqa: N815 - the names that the library calls

            def _answer(self, status: int, headers: list[tuple[str, str]], data: bytes) -> None:
                self.send_response(status)
                framing = {"transfer-encoding", "connection", "date", "server"}
                kept = [(name, value) for name, value in headers if name.lower() not in framing]
                for name, value in kept:
                    self.send_header(name, value)
                if not any(name.lower() == "content-length" for name, _ in kept):
                    self.send_header("Content-Length", str(len(data)))
                self.end_headers()
                if self.command != "HEAD":
                    self.wfile.write(data)

            def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - as the library has it
                return

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Passing)
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True)

    @property
    def url(self) -> str:
        """Without a slash at its end."""
        return f"http://127.0.0.1:{self._server.server_port}"

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()
