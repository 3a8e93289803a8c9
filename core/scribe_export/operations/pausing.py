"""A destination held by an operator, or let go on; its scans wait in the journal."""

from scribe_export.exporter import Exporter
from scribe_export.journal.destinations import keep_paused


async def pause(exporter: Exporter, name: str, *, paused: bool) -> bool:
    """Hold a destination of the config or resume it; returns whether that changed anything.

    What is in flight there ends. It stays held over restarts.
    """
    changed = await exporter.store.do(lambda db: keep_paused(db, name, paused=paused))
    if name in exporter.lanes:
        exporter.lanes[name].pause(paused=paused)
    return changed
