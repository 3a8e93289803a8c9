"""Fetching the documents of several scans at once."""

from collections.abc import Mapping

import anyio
import msgspec

from scribe_connectors.scribe._endpoints import ScanId
from scribe_connectors.scribe.client import AsyncScribeClient
from scribe_export.errors import SinkError, Transient


class _Answer(msgspec.Struct):
    scan_id: int | str | msgspec.UnsetType = msgspec.UNSET


async def fetch(client: AsyncScribeClient, wanted: Mapping[str, ScanId]) -> dict[str, bytes | SinkError]:
    """The raw documents by mark, in the order wanted; an error where one could not be fetched."""
    found: dict[str, bytes | SinkError] = {}

    async def one(marked: str, scan_id: ScanId) -> None:
        try:
            body = await client.scan_bytes(scan_id)
            found[marked] = _mistaken(body, scan_id) or body
        except SinkError as error:
            found[marked] = error

    async with anyio.create_task_group() as group:
        for marked, scan_id in wanted.items():
            group.start_soon(one, marked, scan_id)
    return {marked: found[marked] for marked in wanted}


def _mistaken(body: bytes, scan_id: ScanId) -> Transient | None:
    # Another scan's document would be journalled as that one, and this one be lost. A document without a usable id goes
    # on: the journal sets it aside with its bytes.
    try:
        given = msgspec.json.decode(body, type=_Answer).scan_id
    except msgspec.ValidationError:
        return None
    if given is msgspec.UNSET or str(given) == str(scan_id):
        return None
    return Transient(f"asked for scan {scan_id}, got scan {given!s:.80}")
