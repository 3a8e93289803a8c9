"""A container's command: `scribe_export.hosts.gcp` behind a WSGI server, at the port that the environment names.

Under /function the entry point for the Functions Framework is called, with as much of Flask's request as it reads.
"""

import os
from collections.abc import Callable, Iterable, Mapping
from http import HTTPStatus
from socketserver import ThreadingMixIn
from typing import Any
from wsgiref.simple_server import WSGIServer, make_server

from scribe_export.hosts.gcp import app, main


class ThreadingServer(ThreadingMixIn, WSGIServer):
    daemon_threads = True
    request_queue_size = 128


class FlaskRequest:
    def __init__(self, environ: Mapping[str, Any]) -> None:
        self.method = environ["REQUEST_METHOD"]
        self.headers = {"Content-Length": environ.get("CONTENT_LENGTH") or None}
        self._input = environ["wsgi.input"]

    def get_data(self) -> bytes:
        read: bytes = self._input.read(int(self.headers["Content-Length"] or 0))
        return read


def routed(environ: Mapping[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
    if environ["PATH_INFO"] != "/function":
        return app(environ, start_response)
    text, status = main(FlaskRequest(environ))
    start_response(f"{status} {HTTPStatus(status).phrase}", [("Content-Length", str(len(text.encode())))])
    return [text.encode()]


if __name__ == "__main__":
    make_server("127.0.0.1", int(os.environ["PORT"]), routed, ThreadingServer).serve_forever()
