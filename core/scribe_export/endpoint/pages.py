"""Which path shows what."""

import time
from collections.abc import Awaitable, Callable, Mapping
from http import HTTPStatus

import msgspec

from scribe_export.endpoint.catalogue import CATALOGUE
from scribe_export.endpoint.exposition import CONTENT_TYPE, OPEN_CONTENT_TYPE, exposed
from scribe_export.endpoint.page import HEADERS, page
from scribe_export.endpoint.reading import NotRead, Reader, spared_until
from scribe_export.endpoint.snapshot import Snapshot
from scribe_export.endpoint.wire import Answer, Refused, Request
from scribe_export.exporter import Exporter
from scribe_export.status_document import status_document

_STARTING = "the exporter is starting"


class Pages:
    """Until `opened` and after `closed` there is nothing to show but that the process lives."""

    def __init__(self) -> None:
        self._exporter: Exporter | None = None
        self._reader: Reader | None = None
        self._why_not = _STARTING
        self._kept: dict[str, tuple[Answer, float]] = {}
        self._by_path: Mapping[str, Callable[[Request], Awaitable[Answer]]] = {
            "/": self._page,
            "/livez": self._livez,
            "/readyz": self._readyz,
            "/metrics": self._metrics,
            "/status": self._status,
        }

    def opened(self, exporter: Exporter, reader: Reader) -> None:
        """It works from now on."""
        self._exporter, self._reader = exporter, reader

    def closed(self) -> None:
        """It has stopped."""
        self._exporter = self._reader = None
        self._kept.clear()
        self._why_not = "the exporter has stopped"

    async def answer(self, request: Request) -> Answer:
        """What is at a request's path; raises `Refused` if nothing is."""
        found = self._by_path.get(request.path)
        if found is None:
            raise Refused(HTTPStatus.NOT_FOUND)
        try:
            return await found(request)
        except NotRead:
            return _unavailable("the journal has not been read yet")

    async def _livez(self, _: Request) -> Answer:
        """That this is answered says that the event loop lives; of the journal's thread it is asked."""
        if self._exporter is not None and not self._exporter.store.alive:
            return _unavailable("the journal's thread has ended")
        return Answer("ok\n")

    async def _readyz(self, _: Request) -> Answer:
        """A destination that is down, or a full journal, is no reason: starting anew would not help."""
        exporter = self._exporter
        if exporter is None:
            return _unavailable(self._why_not)
        failure = exporter.failure or exporter.store.failure
        if failure is not None or not exporter.store.alive:
            return _unavailable("the journal is unusable; the log says why")
        if exporter.stopping:
            return _unavailable("the exporter is stopping")
        return Answer("ok\n")

    async def _metrics(self, request: Request) -> Answer:
        if "application/openmetrics-text" in request.headers.get("accept", ""):
            return await self._made("openmetrics", _openmetrics)
        return await self._made("metrics", _metrics)

    async def _status(self, _: Request) -> Answer:
        return await self._made("status", _status)

    async def _page(self, _: Request) -> Answer:
        return await self._made("page", _page)

    async def _made(self, what: str, make: Callable[[Snapshot], Answer]) -> Answer:
        """The same answer for those who ask soon after each other: asking without end takes little time of the loop."""
        answer, until = self._kept.get(what, (None, 0.0))
        if answer is not None and time.monotonic() < until:
            return answer
        if self._reader is None:
            raise NotRead
        seen = await self._reader.snapshot()
        began = time.perf_counter()
        answer = make(seen)
        self._kept[what] = (answer, spared_until(time.perf_counter() - began))
        return answer


def _metrics(seen: Snapshot) -> Answer:
    return Answer(exposed(CATALOGUE, seen), content_type=CONTENT_TYPE)


def _openmetrics(seen: Snapshot) -> Answer:
    return Answer(exposed(CATALOGUE, seen, openmetrics=True), content_type=OPEN_CONTENT_TYPE)


def _status(seen: Snapshot) -> Answer:
    sources = [view.state for view in seen.sources]
    document = status_document(seen.status, used=seen.journal.used, quota=seen.journal.quota, sources=sources)
    return Answer(msgspec.json.encode(document).decode() + "\n", content_type="application/json")


def _page(seen: Snapshot) -> Answer:
    return Answer(page(seen), content_type="text/html; charset=utf-8", headers=HEADERS)


def _unavailable(why: str) -> Answer:
    return Answer(f"{why}\n", HTTPStatus.SERVICE_UNAVAILABLE)
