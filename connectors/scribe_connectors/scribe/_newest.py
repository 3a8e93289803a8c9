"""Asking for more and more of the newest scans until those seen before are met."""

from collections.abc import Callable
from dataclasses import dataclass

from scribe_connectors.scribe._endpoints import ScanId
from scribe_connectors.scribe._seen import mark
from scribe_connectors.scribe.client import AsyncScribeClient
from scribe_export.errors import Rejected, SourceError


@dataclass(frozen=True, slots=True)
class Newest:
    """What the API listed: ids by mark, newest first. `asked` is the last limit that was answered.

    `exhausted` says that asking for more was not possible: at `max_limit`, or because the API refused a higher one.
    `met` says that a known scan is among them, `nameless` how many entries have no id to be asked for by.
    """

    scans: dict[str, ScanId]
    asked: int
    exhausted: bool
    met: bool
    nameless: int = 0


async def newest(
    client: AsyncScribeClient, known: Callable[[str], bool], *, first_limit: int, max_limit: int
) -> Newest:
    """List until the oldest entries are known, or there are no more.

    All of the last `first_limit` // 2 entries have to be known, not just any: a scan that appears late, below newer ones
    that were seen already, is new all the same. Raises `SourceError` if even the first limit is refused.
    """
    limit, tail = min(first_limit, max_limit), max(1, first_limit // 2)
    found: dict[str, ScanId] = {}
    asked = nameless = 0
    while True:
        try:
            entries = await client.get_scan_list(limit)
        except Rejected as error:
            if not asked:
                raise SourceError(f"the list of scans cannot be read: {error}") from None
            return Newest(found, asked, exhausted=True, met=any(map(known, found)), nameless=nameless)
        found, asked = {mark(entry): entry.scan_id for entry in entries if entry.scan_id != ""}, limit
        nameless = sum(entry.scan_id == "" for entry in entries)
        short, most = len(entries) < limit, limit >= max_limit
        if short or most or all(map(known, list(found)[-tail:])):
            return Newest(found, asked, exhausted=most and not short, met=any(map(known, found)), nameless=nameless)
        limit = min(limit * 2, max_limit)
