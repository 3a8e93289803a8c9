"""Forgetting a scan while its exporter works: no lane may have it in its hands."""

import functools
from contextlib import AsyncExitStack

import anyio

from scribe_export.errors import ScribeExportError
from scribe_export.exporter import Exporter
from scribe_export.journal.forget import BeingSent, Forgotten, forget_scan, numbers_of

PATIENCE = 90.0
"""Seconds that attempts in flight have to end; each is bounded by its destination's `timeout`."""
_POLL = 0.25


async def forget(exporter: Exporter, scan_id: str) -> Forgotten:
    """Forget a scan in the journal and in memory; raises `ScribeExportError` if that cannot be, saying why."""
    until = exporter.clock.monotonic() + PATIENCE
    while True:
        try:
            return await _forget_now(exporter, scan_id)
        except BeingSent as sent:
            if exporter.clock.monotonic() > until:
                raise ScribeExportError(
                    f"scan {scan_id} is being sent to {sent} all the while, and nothing was forgotten; ask again later"
                ) from None
        await exporter.clock.sleep(_POLL)


async def _forget_now(exporter: Exporter, scan_id: str) -> Forgotten:
    lanes = exporter.lanes.values()
    async with AsyncExitStack() as standing:
        for lane in lanes:
            # Nothing is sealed, and nothing new is sent, until the lanes know what was taken from them.
            await standing.enter_async_context(lane.turn)
        if exporter.draining:
            names = ", ".join(sorted(exporter.draining))
            raise ScribeExportError(f"{names} is being drained, and nothing was forgotten; ask again later")
        in_flight = frozenset(batch for lane in lanes for batch in lane.in_flight)
        # A lane that was left with what the journal has sealed anew would send it, and the next run once more.
        with anyio.CancelScope(shield=True):
            forgotten = await exporter.store.do(functools.partial(forget_scan, scan_id=scan_id, in_flight=in_flight))
            numbers = await exporter.store.do(functools.partial(numbers_of, scan_id=scan_id))
            exporter.head.drop(numbers)
            for lane in lanes:
                lane.exchange(forgotten.gone, [batch for batch in forgotten.sealed if batch.destination == lane.id])
    if exporter.requests:
        exporter.requests.forget_answers()
    for replier in exporter.repliers:
        replier.ring()
    return forgotten
