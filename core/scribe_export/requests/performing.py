"""Requests performed by the config's scanner, `max_in_flight` at once."""

import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import cast

import anyio
import structlog
from anyio.abc import TaskGroup

from scribe_export.accepted import Accepted
from scribe_export.config.result import Built
from scribe_export.errors import Misconfigured, Rejected, ScribeExportError, SinkError, Transient
from scribe_export.identify import Origin
from scribe_export.intake import Intake
from scribe_export.interface import Context, Scanner
from scribe_export.journal.bodies import read_body
from scribe_export.journal.database import Database
from scribe_export.journal.ingest import Ingested
from scribe_export.journal.requests import (
    RequestRow,
    accept,
    accepted_after,
    fail,
    find_request,
    finish,
    put_back,
    start,
    unfinished,
)
from scribe_export.journal.store import Store
from scribe_export.lane.waiting import Bell
from scribe_export.model import Incoming, ScanRequest
from scribe_export.options import ScannerOptions
from scribe_export.patterns import CacheAside, CircuitBreaker, RetryPolicy
from scribe_export.tasks import plain_errors

log = structlog.get_logger()
SOURCE = "scanner"
UNKNOWN = "the exporter stopped while the scan was being performed: whether it was is not known"
_ATTEMPTS = 4  # of a request of this process, whose asker waits


class ScanFailed(ScribeExportError):
    """A request that was not performed, or of which that is not known; the message says which."""


class ScanRefused(ScanFailed):
    """A request that can never be performed."""


@dataclass(frozen=True, slots=True)
class Performed:
    """A request's end. `body` is the completed scan, None if it came before and its scan has left the journal."""

    accepted: Accepted
    body: bytes | None


class Requests:
    """Performs what was accepted, oldest first.

    A scanner that is down has its requests waiting; one that a crash caught being performed ends as `on_unknown` says.
    `accepted` makes the answer for a scan that was journalled.
    """

    def __init__(
        self,
        built: Built[ScannerOptions],
        context: Context,
        *,
        store: Store,
        intake: Intake,
        accepted: Callable[[str, Ingested], Accepted],
    ) -> None:
        self._options, self._clock = built.options, context.clock
        self._scanner = cast("Scanner", built.connector(built.options, context))
        self._opened, self._opening = False, anyio.Lock()
        self._store, self._intake, self._accepted = store, intake, accepted
        self._limiter = anyio.CapacityLimiter(built.options.max_in_flight)
        self._retry = RetryPolicy(_ATTEMPTS, 0.5, 30.0, clock=self._clock)
        self._breaker = CircuitBreaker(clock=self._clock)
        self._cache = CacheAside(built.options.cache.ttl, clock=self._clock)
        self._failures, self._not_before = 0, 0.0
        self._seen, self._loaded, self._stopping = 0, False, False
        self._busy: set[str] = set()
        self._bell = Bell()
        self._ended: list[Callable[[], None]] = []

    @property
    def idle(self) -> bool:
        """Nothing accepted is left to perform."""
        return self._loaded and not self._busy

    def ring(self) -> None:
        """Something was accepted."""
        self._loaded = False
        self._bell.ring()

    def again(self) -> None:
        """Look at all that is accepted anew: some were revived."""
        self._seen = 0
        self.ring()

    def forget_answers(self) -> None:
        """Keep no scan as the answer to further requests."""
        self._cache.clear()

    def on_end(self, tell: Callable[[], None]) -> None:
        """Have `tell` called whenever a request has ended."""
        self._ended.append(tell)

    def stop(self) -> None:
        """Start nothing more; `run` returns when the scans being performed have ended."""
        self._stopping = True
        self._bell.ring()

    async def close(self) -> None:
        """Release the scanner."""
        self._opened = False
        await self._scanner.close()

    async def run(self) -> None:
        """Look at what an earlier run left, then perform what is accepted, until stopped."""
        for row in await self._store.do(unfinished):
            if row.state == "started":
                await self._found_started(row)
        with plain_errors():
            async with anyio.create_task_group() as tasks:
                while not self._stopping:
                    if not await self._begin_next(tasks):
                        await self._bell.wait(self._clock, self._seconds_to_wait())

    async def perform(self, request: ScanRequest, request_id: str | None = None) -> Accepted:
        """Perform one request of this process and journal its scan; an id that came before is not performed again.

        Raises `ScanFailed`, also where the scanner is down.
        """
        return (await self.performed(request, request_id)).accepted

    async def performed(self, request: ScanRequest, request_id: str | None = None) -> Performed:
        """As `perform`, with the scan itself."""
        request_id = request_id or uuid.uuid4().hex
        self._busy.add(request_id)
        try:
            if not await self._store.do(lambda db: accept(db, request_id, request)):
                return await self._known(request_id)
            async with self._limiter:
                return await self._tried(request_id, request)
        finally:
            self._busy.discard(request_id)

    async def _tried(self, request_id: str, request: ScanRequest) -> Performed:
        attempt = 0
        while True:
            attempt += 1
            try:
                return await self._once(request_id, request)
            except (Transient, Misconfigured) as error:
                if attempt == _ATTEMPTS or not isinstance(error, Transient):
                    await self._end(request_id, f"{error.kind}: {error}")
                    raise ScanFailed(str(error)) from None
                await self._clock.sleep(self._retry.delay(attempt, error.retry_after))

    def _seconds_to_wait(self) -> float | None:
        """Until the scanner may be tried again; None if only an event can bring more to do."""
        if self._loaded:
            return None
        return max(self._not_before - self._clock.monotonic(), self._breaker.remaining(), 0.01)

    async def _begin_next(self, tasks: TaskGroup) -> bool:
        """Begin the oldest that waits; False if there is none, or the scanner has a rest."""
        if self._not_before > self._clock.monotonic() or self._breaker.remaining() > 0:
            return False
        await self._limiter.acquire_on_behalf_of(self)
        rows = [] if self._stopping else await self._store.do(lambda db: accepted_after(db, self._seen, 1))
        for row in rows:
            self._seen = row.id
            if row.request_id not in self._busy:
                self._busy.add(row.request_id)
                tasks.start_soon(self._until_ended, row)
        self._limiter.release_on_behalf_of(self)
        self._loaded = not rows
        return bool(rows)

    async def _until_ended(self, row: RequestRow) -> None:
        try:
            async with self._limiter:
                await self._once(row.request_id, row.request)
            self._failures = 0
        except ScanFailed as error:
            log.error("scan request failed", request=row.request_id, reason=str(error))  # noqa: TRY400
        except (Transient, Misconfigured) as error:
            self._failures += 1
            pause = self._retry.delay(self._failures, getattr(error, "retry_after", None))
            self._not_before = self._clock.monotonic() + pause
            self._seen = min(self._seen, row.id - 1)
            self._loaded = False
            log.warning("scan request waits", request=row.request_id, reason=str(error), seconds=round(pause, 1))
        finally:
            self._busy.discard(row.request_id)
            self._bell.ring()
            for tell in self._ended:
                tell()

    async def _once(self, request_id: str, request: ScanRequest) -> Performed:
        """One attempt. Raises `Transient` or `Misconfigured` if it may be tried again, `ScanFailed` at its end."""
        cached = self._cache.get(request)
        if cached is not None:
            scan_id, answer = cached
            await self._store.do(lambda db: finish(db, request_id, seq=None, answer=answer))
            return Performed(Accepted(scan_id, 0, "duplicate", ()), answer)
        if not self._breaker.allow():
            raise Transient(f"the scanner is given a rest: {self._breaker.reason}", applied="no")
        try:
            await self._open()
            await self._store.do(lambda db: start(db, request_id))
            body = await self._scanner.scan(request)
        except SinkError as error:
            self._weigh(error)
            raise await self._judged(request_id, error) from None
        except BaseException:
            self._breaker.release()
            raise
        self._breaker.record_success()
        return await self._keep(request_id, request, body)

    async def _open(self) -> None:
        async with self._opening:
            if not self._opened:
                await self._scanner.open()
                self._opened = True

    async def _judged(self, request_id: str, error: SinkError) -> ScribeExportError:
        """What an attempt that failed means for its request."""
        may_come_again = isinstance(error, Transient | Misconfigured)
        surely_not = isinstance(error, Misconfigured) or error.applied == "no"
        if may_come_again and (surely_not or self._options.on_unknown == "retry"):
            await self._store.do(lambda db: put_back(db, request_id))
            return error
        doubt = "; it may have been performed" if may_come_again else ""
        await self._end(request_id, f"{error.kind}: {error}{doubt}")
        return (ScanRefused if isinstance(error, Rejected) else ScanFailed)(f"{error}{doubt}")

    async def _keep(self, request_id: str, request: ScanRequest, body: bytes) -> Performed:
        """Journal the scan and the request's end in one transaction."""
        origin = Origin(SOURCE)
        scans = await self._intake.prepare([Incoming(body, f"request {request_id}")], origin)
        invalid = scans[0].invalid
        why = f"the scanner answered with what is no scan: {invalid[1]}" if invalid else ""

        def end(db: Database, results: Sequence[Ingested]) -> None:
            if why:
                fail(db, request_id, why, seq=results[0].seq)
            else:
                finish(db, request_id, seq=results[0].seq, answer=body)

        results = await self._intake.commit(scans, origin, then=end)
        if why:
            raise ScanFailed(why)
        self._cache.set(request, (scans[0].scan_id, body))
        return Performed(self._accepted(scans[0].scan_id, results[0]), body)

    def _weigh(self, error: SinkError) -> None:
        """What a failure says of the scanner."""
        if isinstance(error, Misconfigured):
            self._breaker.trip(str(error))
        elif isinstance(error, Transient):
            self._breaker.record_failure(str(error))
        else:
            self._breaker.release()

    async def _found_started(self, row: RequestRow) -> None:
        if self._options.on_unknown == "error":
            log.error("scan request unknown", request=row.request_id, reason=UNKNOWN)
            await self._end(row.request_id, UNKNOWN)
        else:
            await self._store.do(lambda db: put_back(db, row.request_id))

    async def _known(self, request_id: str) -> Performed:
        row = await self._store.do(lambda db: find_request(db, request_id))
        if row is None or row.state != "done" or row.seq is None:
            state = row.state if row else "unknown"
            raise ScanFailed(f"request {request_id} came before and is {state}" + (f": {row.error}" if row else ""))
        seq = row.seq
        row_of_scan, body = await self._store.do(lambda db: (_scan(db, seq), read_body(db, seq)))
        if row_of_scan is None:
            raise ScanFailed(f"request {request_id} was performed; its scan is no longer in the journal")
        return Performed(Accepted(row_of_scan[0], seq, "duplicate", ()), body)

    async def _end(self, request_id: str, why: str) -> None:
        await self._store.do(lambda db: fail(db, request_id, why))


def _scan(db: Database, seq: int) -> tuple[str] | None:
    row: tuple[str] | None = db.connection.execute("SELECT scan_id FROM scan WHERE seq=?", (seq,)).fetchone()
    return row
