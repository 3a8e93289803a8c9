"""The scanner's HTTP API, with the paths and messages of the SCRIBE integration guide."""

import hmac
import sqlite3
from collections.abc import Callable
from typing import Any

import msgspec
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import HTTPConnection, Request
from starlette.responses import Response
from starlette.routing import Route, WebSocketRoute
from starlette.websockets import WebSocket

from scribe_local import messages
from scribe_local.live import Live
from scribe_local.scanner import Refused, SimulatedScanner, UnknownScan

_LARGEST_BODY = 1024 * 1024
_DEFAULT_LIMIT = 10
_VERSION = "1.0.0"


def application(scanner: SimulatedScanner, *, api_key: str | None = None) -> Starlette:
    """The ASGI application. With an `api_key`, all but ``/health`` want it as ``X-API-Key``.

    A refusal is a 4xx whose JSON has `detail`: 401 without the key, 404 for an unknown scan or path, 413 for a body above
    1 MiB, 422 for a request that makes no sense. 503 says that the database cannot be used now. Whoever subscribes at the
    WebSocket ``/ws`` is told of each scan that was performed here.
    """
    api = _Api(scanner, api_key)
    routes = [
        Route("/health", api.health, methods=["GET"]),
        Route("/scan", api.scan, methods=["POST"]),
        Route("/scans", api.scans, methods=["GET"]),
        Route("/scans/{scan_id}", api.details, methods=["GET"]),
        Route("/feedback", api.feedback, methods=["POST"]),
        Route("/compare", api.compare, methods=["POST"]),
        WebSocketRoute("/ws", api.live),
    ]
    refusals: dict[Any, Callable[..., Response]] = {
        Refused: lambda _, error: _refusal(422, str(error)),
        UnknownScan: lambda _, error: _refusal(404, str(error)),
        sqlite3.Error: lambda _, error: _refusal(503, f"the database cannot be used now: {error}"),
        HTTPException: lambda _, error: _refusal(error.status_code, error.detail),
    }
    return Starlette(routes=routes, exception_handlers=refusals)


class _Api:
    """One coroutine a path; what computes or reads the database runs in a worker thread."""

    def __init__(self, scanner: SimulatedScanner, api_key: str | None) -> None:
        self._scanner = scanner
        self._api_key = api_key
        self._live = Live(scanner.load)

    async def health(self, _: Request) -> Response:
        return _json(msgspec.json.encode({"status": "healthy", "version": _VERSION}))

    async def scan(self, request: Request) -> Response:
        self._admit(request)
        config = messages.scan_config(await _body(request))
        try:
            performed = await run_in_threadpool(self._scanner.scan, config)
        except sqlite3.Error as error:
            self._live.alert("error", f"a scan was not kept: {error}")
            raise
        self._live.completed(performed)
        return _json(performed)

    async def scans(self, request: Request) -> Response:
        self._admit(request)
        limit = messages.whole_number("limit", request.query_params.get("limit", str(_DEFAULT_LIMIT)))
        found = await run_in_threadpool(self._scanner.newest, limit)
        return _json(b'{"scans":[' + b",".join(found) + b"]}")

    async def details(self, request: Request) -> Response:
        self._admit(request)
        scan_id = messages.whole_number("scan_id", request.path_params["scan_id"])
        return _json(await run_in_threadpool(self._scanner.details, scan_id))

    async def feedback(self, request: Request) -> Response:
        self._admit(request)
        given = messages.feedback(await _body(request))
        return _json(msgspec.json.encode(await run_in_threadpool(self._scanner.feedback, *given)))

    async def compare(self, request: Request) -> Response:
        self._admit(request)
        wanted = messages.scan_ids(await _body(request))
        return _json(msgspec.json.encode(await run_in_threadpool(self._scanner.compare, wanted)))

    async def live(self, socket: WebSocket) -> None:
        self._admit(socket)
        await self._live.serve(socket)

    def _admit(self, request: HTTPConnection) -> None:
        given = request.headers.get("X-API-Key", "")
        if self._api_key is not None and not hmac.compare_digest(given.encode("latin-1"), self._api_key.encode()):
            raise HTTPException(401, "X-API-Key is missing or wrong")


async def _body(request: Request) -> bytes:
    read = bytearray()
    async for chunk in request.stream():
        read += chunk
        if len(read) > _LARGEST_BODY:
            raise HTTPException(413, f"the body is larger than {_LARGEST_BODY} bytes")
    return bytes(read)


def _json(body: bytes) -> Response:
    return Response(body, media_type="application/json")


def _refusal(status: int, detail: str) -> Response:
    return Response(msgspec.json.encode({"detail": detail}), status, media_type="application/json")
