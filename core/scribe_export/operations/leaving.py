"""What becomes of a destination that left the config: its backlog is delivered, or given up."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace

import anyio

from scribe_export.assembly import Assembly
from scribe_export.config import Config
from scribe_export.errors import ScribeExportError
from scribe_export.exporter import Exporter
from scribe_export.journal.destinations import DestinationRow, forget, orphan
from scribe_export.journal.status import journal_status
from scribe_export.lane.lane import Lane
from scribe_export.tasks import plain_errors

POLL = 0.05


@dataclass(frozen=True, slots=True)
class Drained:
    """What is left of the backlog; `gone` when nothing is, and the destination has left the journal.

    `stuck`: nothing will move before an operator acts, because of `reason`.
    """

    pending: int
    delivered: int
    dead: int
    gone: bool
    stuck: bool
    reason: str


async def drain(exporter: Exporter, name: str, old: Config, *, within: float) -> Drained:
    """Deliver the backlog of a destination that left the config, as `old` describes it, for so many seconds at most.

    Once nothing is left, dead letters neither, the journal forgets the destination. Raises `JournalError` if it has not
    left the config.
    """
    row = await exporter.store.do(lambda db: orphan(db, name))
    with _alone(exporter, name):
        return await _drain(exporter, row, old, within)


async def _drain(exporter: Exporter, row: DestinationRow, old: Config, within: float) -> Drained:
    name = row.name
    parts = Assembly(old, clock=exporter.clock, rng=exporter.rng, once=True)
    sink = parts.sink(name)
    lane = parts.lane(
        replace(row, paused=False),
        sink,
        store=exporter.store,
        head=exporter.head,
        claims=parts.claim_store(sink.options),
        told=None,
    )
    lane.flush = True
    with plain_errors():
        stuck = await _deliver(exporter, lane, within)
    status = await exporter.store.do(lambda db: journal_status(db.connection, db.clock.now()))
    (left,) = [one for one in status.destinations if one.name == name]
    gone = not left.pending and not left.dead
    if gone:
        await exporter.store.do(lambda db: forget(db, name))
    stuck = not gone and (stuck or not left.pending)
    return Drained(left.pending, left.delivered, left.dead, gone, stuck, left.last_error)


async def _deliver(exporter: Exporter, lane: Lane, within: float) -> bool:
    """Run a lane until it is idle, or stuck: then True."""
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(_run_to_its_end, lane)
        try:
            with anyio.move_on_after(within):
                while not (lane.idle or lane.stuck):
                    await exporter.clock.sleep(POLL)
        finally:
            stuck = lane.stuck
            lane.stop()
    return stuck


async def _run_to_its_end(lane: Lane) -> None:
    # What is in flight is settled also when the process is told to stop.
    with anyio.CancelScope(shield=True):
        await lane.run()


@contextmanager
def _alone(exporter: Exporter, name: str) -> Iterator[None]:
    """Two lanes of one destination would send everything twice."""
    if name in exporter.draining:
        raise ScribeExportError(f"{name} is being drained already")
    exporter.draining.add(name)
    try:
        yield
    finally:
        exporter.draining.remove(name)


async def discard(exporter: Exporter, name: str) -> int:
    """Give up the backlog of a destination that left the config; returns how many scans it still held.

    Each has a receipt that says so. Raises `JournalError` if it has not left the config.
    """
    with _alone(exporter, name):
        return await exporter.store.do(lambda db: forget(db, name))
