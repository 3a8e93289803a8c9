"""A source whose acknowledgement cannot be taken back: a file a scan, removed when it is acked, as a queue would."""

import time
from collections.abc import AsyncIterator, Sequence
from pathlib import Path

import anyio
import msgspec

from scribe_export.errors import Transient
from scribe_export.interface import Checkpoint, Source
from scribe_export.model import Answer, Delivery, Incoming
from scribe_export.options import QueueSourceOptions
from scribe_export.registry import register_source


class SpoolOptions(QueueSourceOptions):
    """Where the files are, and how many scans go into a delivery. One delivery is out at a time.

    A file that is refused is renamed to ``.refused``.

    `reply` is a folder for the answers of requests, a file each; while a file ``closed`` is in it, none can be written.
    """

    directory: str
    records: int = 5
    reply: str | None = None


class SpoolSource(Source):
    options_type = SpoolOptions
    options: SpoolOptions

    @property
    def replies(self) -> bool:
        return self.options.reply is not None

    async def reply(self, replies: Sequence[bytes]) -> None:
        folder = Path(self.context.folder) / str(self.options.reply)
        if (folder / "closed").exists():
            raise Transient("the folder is closed", applied="no")
        for reply in replies:
            name = f"{msgspec.json.decode(reply)['request_id']}.{time.time_ns()}.json"
            part = (folder / name).with_suffix(".part")
            part.write_bytes(reply)
            part.rename(folder / name)

    async def open(self) -> None:
        self._open = True

    async def close(self) -> None:
        self._open = False

    async def deliveries(self, checkpoint: Checkpoint) -> AsyncIterator[Delivery]:
        folder = Path(self.context.folder) / self.options.directory
        while True:
            files = sorted(folder.glob("*.json"))[: self.options.records]
            if files:
                delivery, settled = self._delivery(files)
                yield delivery
                await settled.wait()
            elif self.context.once:
                return
            else:
                await self.context.clock.sleep(0.02)

    def _delivery(self, files: list[Path]) -> tuple[Delivery, anyio.Event]:
        settled = anyio.Event()

        async def ack() -> None:
            for file in files:
                file.unlink()
            settled.set()

        async def nack() -> None:
            settled.set()

        left = set(files)

        async def answer(places: Sequence[int], said: Answer) -> None:
            assert self._open, "a queue cannot be answered over a connection that is closed"
            for file in [files[place] for place in places]:
                left.remove(file)
                if said == "ack":
                    file.unlink()
                elif said == "refuse":
                    file.rename(file.with_suffix(".refused"))
            if not left:
                settled.set()

        incoming = [Incoming(file.read_bytes(), file.name, id=file.stem) for file in files]
        return Delivery(incoming, ack=ack, nack=nack, answer=answer), settled


def register() -> None:
    """Make it known as ``spool`` in this process."""
    register_source("spool", SpoolSource)
