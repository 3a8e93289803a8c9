"""Pipelines with `buffer: none` that read messages from a folder, and sinks that do as a test says."""

import json
from collections.abc import Awaitable, Callable
from itertools import count
from pathlib import Path
from typing import Any, ClassVar

import anyio
from support import spool
from support.pipeline import Pipeline

from scribe_export.errors import Rejected, Transient
from scribe_export.exporter import Exporter
from scribe_export.interface import Sink
from scribe_export.model import BatchLimits, Encoded
from scribe_export.registry import register_sink

Body = Callable[[Exporter], Awaitable[None]]


class GateSink(Sink):
    """Takes what comes while its gate is open, but for scans named in `refusing`."""

    limits = BatchLimits(max_records=100)
    gate: ClassVar[anyio.Event]
    taken: ClassVar[list[str]]
    refusing: ClassVar[set[str]]

    async def write(self, encoded: Encoded) -> None:
        await self.gate.wait()
        ids = [record.scan_id for record in encoded.batch.records]
        for one in self.refusing.intersection(ids):
            raise Rejected(f"not {one}", kind="unwanted")
        self.taken.extend(ids)


class DownSink(Sink):
    """Takes nothing, for now."""

    async def write(self, encoded: Encoded) -> None:
        raise Transient("down", applied="no")


class FussySink(Sink):
    """Refuses everything, each time with another text, as services do that name their request."""

    limits = BatchLimits(max_records=100)
    numbers = count()

    async def write(self, encoded: Encoded) -> None:
        raise Rejected(f"no; request {next(self.numbers)}", kind="unwanted")


spool.register()
register_sink("gate", GateSink)
register_sink("down", DownSink)
register_sink("fussy", FussySink)


def reset() -> None:
    """The gate is closed and has seen nothing."""
    GateSink.gate, GateSink.taken, GateSink.refusing = anyio.Event(), [], set()


class Spooled:
    """A pipeline that reads a folder of messages."""

    def __init__(self, folder: Path, destinations: dict[str, Any], *, own_queue: bool = False, **settings: Any) -> None:
        self.messages = folder / "it" / "messages"
        source = {"type": "spool", "directory": "messages", "records": 10, **settings.pop("source", {})}
        if own_queue:
            source["dead_letter_queue"] = True
        self.pipeline = Pipeline(folder / "it", destinations, sources={"in": source}, buffer="none", **settings)
        self.messages.mkdir()

    def put(self, name: str, body: bytes | None = None) -> None:
        """A message; that of a scan with this id if no body is given."""
        part = self.messages / f"{name}.part"
        part.write_bytes(json.dumps({"scan_id": name}).encode() if body is None else body)
        part.rename(part.with_suffix(".json"))

    def run(self, body: Body, **options: Any) -> None:
        """Do something with a running exporter."""

        async def run() -> None:
            with anyio.fail_after(20):
                async with Exporter(self.pipeline.load(), **options) as exporter:
                    await body(exporter)

        anyio.run(run)

    def names(self, suffix: str = ".json") -> set[str]:
        """The messages that are there."""
        return {path.stem for path in self.messages.glob(f"*{suffix}")}


FILE = {"type": "file", "directory": "kept", "key": "scans/{scan_id}.json"}
LETTERS = {"type": "file", "directory": "letters", "key": "dead/{scan_id}.json"}


def kept(spooled: Spooled) -> set[str]:
    """The scans in the folder of `FILE`."""
    return {path.stem for path in (spooled.pipeline.folder / "kept" / "scans").glob("*.json")}


def letters(spooled: Spooled) -> list[Any]:
    """What the folder of `LETTERS` holds."""
    return [json.loads(path.read_bytes()) for path in (spooled.pipeline.folder / "letters").glob("dead/*.json")]
