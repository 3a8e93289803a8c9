"""Scans on request: journalled before they are performed, so that none is performed twice."""

import uuid
from typing import cast

import anyio
import structlog

from scribe_export.accepted import Accepted
from scribe_export.errors import InvalidScan, Rejected, ScribeExportError, SinkError, Transient
from scribe_export.exporter import Exporter
from scribe_export.identify import Origin
from scribe_export.interface import Scanner
from scribe_export.journal.requests import accept, find_request, finish, start, unfinished
from scribe_export.model import Incoming, ScanRequest
from scribe_export.patterns import RetryPolicy

log = structlog.get_logger()
SOURCE = "scanner"
UNKNOWN = "the exporter stopped while the scan was being performed: whether it was is not known"


class ScanFailed(ScribeExportError):
    """A request that was not performed, or of which that is not known; the message says which."""


class Requests:
    """Performs requests with the config's scanner, `max_in_flight` at once. Raises ValueError if there is none."""

    def __init__(self, exporter: Exporter) -> None:
        built = exporter.config.scanner
        if built is None:
            raise ValueError("the config has no scanner; add one, like  scanner: {type: scribe_api, url: …}")
        self._exporter = exporter
        self._options = built.options
        self._scanner = cast("Scanner", built.connector(built.options, exporter.config.context(SOURCE)))
        self._limiter = anyio.CapacityLimiter(built.options.max_in_flight)
        self._retry = RetryPolicy(max_attempts=4, base_delay=0.5, max_delay=10.0, retry_on=_surely_not_performed)

    async def perform(self, request: ScanRequest, request_id: str | None = None) -> Accepted:
        """Perform one request and journal its scan; a request id that came before is not performed again.

        Raises `ScanFailed`.
        """
        request_id = request_id or uuid.uuid4().hex
        store = self._exporter.store
        if not await store.do(lambda db: accept(db, request_id, request)):
            return await self._known(request_id)
        return await self._perform(request, request_id)

    async def resume(self) -> None:
        """Look at what an earlier run left: the accepted are performed, the started answered as `on_unknown` says."""
        for row in await self._exporter.store.do(unfinished):
            if row.state == "started" and self._options.on_unknown == "error":
                log.error("scan request unknown", request=row.request_id, reason=UNKNOWN)
                await self._fail(row.request_id, UNKNOWN)
            else:
                try:
                    await self._perform(row.request, row.request_id)
                except ScanFailed as error:
                    log.error("scan request failed", request=row.request_id, reason=str(error))  # noqa: TRY400

    async def close(self) -> None:
        """Release the scanner."""
        await self._scanner.close()

    async def _perform(self, request: ScanRequest, request_id: str) -> Accepted:
        store, intake = self._exporter.store, self._exporter.intake
        async with self._limiter:
            await store.do(lambda db: start(db, request_id))
            try:
                await self._scanner.open()
                body = await self._retry.aexecute(self._scanner.scan, request)
            except SinkError as error:
                await self._fail(request_id, f"{error.kind}: {error}")
                doubt = "; it may have been performed" if not _surely_not_performed(error) else ""
                raise ScanFailed(f"{error}{doubt}") from None
        origin = Origin(SOURCE)
        scans = await intake.prepare([Incoming(body, f"request {request_id}")], origin)
        results = await intake.commit(
            scans, origin, then=lambda db, results: finish(db, request_id, seq=results[0].seq)
        )
        if scans[0].invalid:
            raise ScanFailed(f"the scanner answered with what is no scan: {scans[0].invalid[1]}")
        return self._exporter.accepted(scans[0].scan_id, results[0])

    async def _known(self, request_id: str) -> Accepted:
        row = await self._exporter.store.do(lambda db: find_request(db, request_id))
        if row is None or row.state != "done" or row.seq is None:
            state = row.state if row else "unknown"
            raise ScanFailed(f"request {request_id} came before and is {state}" + (f": {row.error}" if row else ""))
        seq = row.seq
        scan_id = await self._exporter.store.do(
            lambda db: db.connection.execute("SELECT scan_id FROM scan WHERE seq=?", (seq,)).fetchone()
        )
        if scan_id is None:
            raise ScanFailed(f"request {request_id} was performed; its scan is no longer in the journal")
        return Accepted(scan_id[0], seq, "duplicate", ())

    async def _fail(self, request_id: str, why: str) -> None:
        await self._exporter.store.do(lambda db: finish(db, request_id, error=why))


async def resume_requests(exporter: Exporter) -> None:
    """Look, once, at the requests that an earlier run left unfinished."""
    requests = Requests(exporter)
    try:
        await requests.resume()
    finally:
        with anyio.CancelScope(shield=True):
            await requests.close()


def _surely_not_performed(error: BaseException) -> bool:
    return isinstance(error, Transient) and error.applied == "no" and not isinstance(error, Rejected | InvalidScan)
