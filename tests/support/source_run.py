"""A journal's part towards a source: commits, acks while the source is already asked for more, and remembers."""

from collections.abc import Callable, Mapping, Sequence
from contextlib import aclosing
from typing import Any, cast

import anyio

from scribe_export.interface import Source
from scribe_export.model import Delivery
from scribe_export.scan import read_fields


class Notebook:
    """Checkpoints and bodies, as committed."""

    def __init__(self) -> None:
        self.values: dict[str, str] = {}
        self.ids: list[str] = []
        self.bodies: dict[str, bytes] = {}
        self.sizes: list[int] = []

    async def get(self, keys: Sequence[str]) -> Mapping[str, str]:
        return {key: self.values[key] for key in keys if key in self.values}

    def commit(self, delivery: Delivery) -> None:
        for key, value in delivery.checkpoint.items():
            if value is None:
                self.values.pop(key, None)
            else:
                self.values[key] = value
        for incoming in delivery.incoming:
            scan_id = read_fields(incoming.body).scan_id
            self.ids.append(scan_id)
            self.bodies[scan_id] = incoming.body
        self.sizes.append(len(delivery.incoming))


def everything(_: Delivery) -> bool:
    return True


async def run_source(
    source: Source, notebook: Notebook, *, take: Callable[[Delivery], bool] = everything, until: int | None = None
) -> None:
    """Take what the source yields until it returns or raises, or `until` scans are committed.

    What `take` declines is nacked.
    """

    async def settle(delivery: Delivery, scope: anyio.CancelScope) -> None:
        if take(delivery):
            notebook.commit(delivery)
            await delivery.ack()
        else:
            await delivery.nack()
        if until is not None and len(notebook.ids) >= until:
            scope.cancel()

    error: Exception | None = None
    async with anyio.create_task_group() as group:
        try:
            async with aclosing(cast("Any", source.deliveries(notebook))) as deliveries:
                async for delivery in deliveries:
                    group.start_soon(settle, delivery, group.cancel_scope)
        except Exception as raised:  # noqa: BLE001 - raised again outside of the group, which would wrap it
            error = raised
    if error:
        raise error
