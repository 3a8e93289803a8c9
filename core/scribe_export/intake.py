"""From bodies to the journal: identified, routed, fsynced; only then are lanes told and sources acknowledged."""

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, tzinfo

import anyio
import anyio.to_thread
import structlog

from scribe_export.clock import Clock
from scribe_export.errors import InvalidScan, JournalFull
from scribe_export.journal.blobs import BLOB_THRESHOLD
from scribe_export.journal.database import Database
from scribe_export.journal.ingest import ConflictMasks, Ingested, NewScan, bits, ingest
from scribe_export.journal.store import Store
from scribe_export.lane.head import Head
from scribe_export.lane.lane import Lane
from scribe_export.model import Incoming, Record
from scribe_export.routing.router import Router
from scribe_export.scan import read_fields

log = structlog.get_logger()
FULL_PAUSE = 1.0


@dataclass(frozen=True, slots=True)
class Origin:
    """The source that bodies come from; `scope` is set before its scan ids."""

    source: str
    scope: str | None = None


class Intake:
    """One for all sources. `max_record` is in bytes; a larger body is kept as a dead letter, class ``too_large``."""

    def __init__(
        self,
        *,
        store: Store,
        head: Head,
        lanes: Mapping[int, Lane],
        router: Router,
        bits_by_name: Mapping[str, int],
        conflicts: ConflictMasks,
        clock: Clock,
        max_record: int,
        assume: tzinfo = UTC,
    ) -> None:
        self._store, self._head, self._lanes, self._router = store, head, lanes, router
        self._bits, self._conflicts, self._clock = bits_by_name, conflicts, clock
        self._max_record, self._assume = max_record, assume

    async def prepare(self, incoming: Sequence[Incoming], origin: Origin) -> list[NewScan]:
        """Identify and route; large bodies are written beside the journal."""
        scans = [self._identified(item, origin) for item in incoming]
        for scan in scans:
            if len(scan.body) > BLOB_THRESHOLD:
                scan.blob = await self._blob(scan)
        return scans

    async def commit(
        self,
        scans: Sequence[NewScan],
        origin: Origin,
        checkpoint: Mapping[str, str | None] | None = None,
        *,
        wait_for_room: bool = True,
        then: Callable[[Database, Sequence[Ingested]], None] | None = None,
    ) -> list[Ingested]:
        """Journal what `prepare` gave, with the source's checkpoint; returns after the fsync.

        While the journal is full it waits, or raises `JournalFull`. `then` is done in the same transaction.
        """

        def command(db: Database) -> list[Ingested]:
            results = ingest(db, scans, conflicts=self._conflicts, source=origin.source, checkpoint=checkpoint)
            if then:
                then(db, results)
            return results

        waited = False
        while True:
            try:
                with anyio.CancelScope(shield=True):
                    results = await self._store.do(command)
                break
            except JournalFull as error:
                if not wait_for_room:
                    raise
                if not waited:
                    log.warning("source paused", source=origin.source, reason=str(error))
                waited = True
                await self._clock.sleep(FULL_PAUSE)
        if waited:
            log.info("source goes on", source=origin.source)
        self._hand_over(scans, results)
        return results

    def _identified(self, item: Incoming, origin: Origin) -> NewScan:
        body = item.body
        sha256 = hashlib.sha256(body).hexdigest()
        if len(body) > self._max_record:
            why = f"{len(body)} bytes, and journal.max_record is {self._max_record}"
            return self._invalid(item, origin, sha256, "too_large", why)
        try:
            fields = read_fields(body)
        except InvalidScan as error:
            return self._invalid(item, origin, sha256, "invalid", str(error))
        scan_id = f"{origin.scope}:{fields.scan_id}" if origin.scope else fields.scan_id
        record = Record(
            seq=0,
            scan_id=scan_id,
            sha256=sha256,
            body=body,
            source=origin.source,
            received_at=self._clock.now(),
            fields=fields,
            assume=self._assume,
        )
        routing = self._router.route(record)
        failed = {self._bits[name]: why for name, why in routing.failed.items()} if routing.failed else {}
        return NewScan(scan_id, sha256, body, origin.source, routing.mask, failed, record=record)

    def _invalid(self, item: Incoming, origin: Origin, sha256: str, kind: str, why: str) -> NewScan:
        log.error("not a scan", source=origin.source, origin=item.origin, kind=kind, error=why, sha256=sha256)
        text = f"{item.origin}: {why}" if item.origin else why
        return NewScan(f"sha256:{sha256}", sha256, item.body, origin.source, invalid=(kind, text[:512]))

    async def _blob(self, scan: NewScan) -> str:
        while True:
            try:
                return await anyio.to_thread.run_sync(self._store.database.blobs.write, scan.body, scan.sha256)
            except OSError as error:
                log.warning(
                    "source paused", source=scan.source, reason=f"a large scan cannot be stored: {error.strerror}"
                )
                await self._clock.sleep(FULL_PAUSE)

    def _hand_over(self, scans: Sequence[NewScan], results: Sequence[Ingested]) -> None:
        """Give what was committed to the lanes."""
        now = self._clock.now()
        records: list[Record] = []
        masks: list[int] = []
        totals: dict[int, list[int]] = {}
        for scan, result in zip(scans, results, strict=True):
            record = scan.record
            if not result.mask or record is None:
                continue
            record.seq, record.version, record.received_at = result.seq, result.version, now
            records.append(record)
            masks.append(result.mask)
            total = totals.setdefault(result.mask, [0, 0])
            total[0] += 1
            total[1] += record.size
        numbers = [result.seq for result in results if result.outcome != "duplicate"]
        if numbers:
            self._head.append(records, masks, numbers[0], numbers[-1])
        waiting: dict[int, list[int]] = {}
        for mask, (count, size) in totals.items():
            for bit in bits(mask):
                total = waiting.setdefault(bit, [0, 0])
                total[0] += count
                total[1] += size
        for bit, (count, size) in waiting.items():
            if bit in self._lanes:
                self._lanes[bit].journalled(count, size)
