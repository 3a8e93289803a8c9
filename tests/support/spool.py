"""A source whose acknowledgement cannot be taken back: a file a scan, removed when it is acked, as a queue would."""

from collections.abc import AsyncIterator
from pathlib import Path

import anyio

from scribe_export.interface import Checkpoint, Source
from scribe_export.model import Delivery, Incoming
from scribe_export.options import SourceOptions
from scribe_export.registry import register_source


class SpoolOptions(SourceOptions):
    """Where the files are, and how many scans go into a delivery. One delivery is out at a time."""

    directory: str
    records: int = 5


class SpoolSource(Source):
    options_type = SpoolOptions
    options: SpoolOptions

    async def deliveries(self, checkpoint: Checkpoint) -> AsyncIterator[Delivery]:
        folder = Path(self.context.folder) / self.options.directory
        while True:
            files = sorted(folder.glob("*.json"))[: self.options.records]
            if files:
                delivery, settled = _delivery(files)
                yield delivery
                await settled.wait()
            elif self.context.once:
                return
            else:
                await self.context.clock.sleep(0.02)


def _delivery(files: list[Path]) -> tuple[Delivery, anyio.Event]:
    settled = anyio.Event()

    async def ack() -> None:
        for file in files:
            file.unlink()
        settled.set()

    async def nack() -> None:
        settled.set()

    return Delivery([Incoming(file.read_bytes(), file.name) for file in files], ack=ack, nack=nack), settled


def register() -> None:
    """Make it known as ``spool`` in this process."""
    register_source("spool", SpoolSource)
