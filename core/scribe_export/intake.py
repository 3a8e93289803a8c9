"""From bodies to the journal: identified, routed, fsynced; only then are lanes told and sources acknowledged."""

from collections.abc import Callable, Mapping, Sequence

import anyio
import anyio.to_thread
import structlog

from scribe_export.arrivals import Arrivals
from scribe_export.clock import Clock
from scribe_export.errors import JournalFull
from scribe_export.identify import Identifier, Origin
from scribe_export.journal.blobs import BLOB_THRESHOLD
from scribe_export.journal.database import Database
from scribe_export.journal.ingest import ConflictMasks, Ingested, NewScan, bits, ingest
from scribe_export.journal.store import Store
from scribe_export.lane.head import Head
from scribe_export.lane.lane import Lane
from scribe_export.model import Incoming, Record

log = structlog.get_logger()
FULL_PAUSE = 1.0


class Intake:
    """One for all sources."""

    def __init__(
        self,
        *,
        store: Store,
        head: Head,
        lanes: Mapping[int, Lane],
        identifier: Identifier,
        conflicts: ConflictMasks,
        clock: Clock,
        arrivals: Arrivals,
    ) -> None:
        self.arrivals = arrivals
        self._store, self._head, self._lanes, self._identifier = store, head, lanes, identifier
        self._conflicts, self._clock = conflicts, clock

    async def prepare(self, incoming: Sequence[Incoming], origin: Origin) -> list[NewScan]:
        """Identify and route; large bodies are written beside the journal."""
        now = self._clock.now()
        scans = [self._identifier.identify(item, origin, now) for item in incoming]
        for item, scan in zip(incoming, scans, strict=True):
            if scan.invalid:
                kind, why = scan.invalid
                log.error(
                    "not a scan", source=origin.source, origin=item.origin, kind=kind, error=why, sha256=scan.sha256
                )
            if len(scan.body) > BLOB_THRESHOLD and self._store.database.folder:
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
        self.arrivals.took(origin.source, scans, results)
        return results

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
