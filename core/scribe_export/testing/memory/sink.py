"""A destination and its sink that live in this process and keep the whole contract."""

import posixpath
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, ClassVar, Literal, cast

import anyio.lowlevel
from pydantic import Field

from scribe_export.errors import Conflict, Misconfigured, PartialFailure, Rejected, SinkError, Transient
from scribe_export.interface import Context, Sink
from scribe_export.keys import path_safe
from scribe_export.model import Batch, BatchLimits, Effect, EffectClass, Encoded, Identity, Record, Usage
from scribe_export.options import Options, SinkOptions
from scribe_export.testing.destination import Destination, Faults
from scribe_export.testing.memory.switches import Switches

Keeps = Literal["records", "batches", "log"]
Answer = Literal["created", "same", "different", "busy"]


@dataclass(frozen=True, slots=True)
class Put:
    """A conditional create under `name`, or an append if it has none."""

    name: str | None
    rows: tuple[tuple[str, bytes], ...]


class MemoryService(Switches):
    """Holds named objects and a log; takes a list of puts in one request and answers each."""

    def __init__(self) -> None:
        super().__init__()
        self.objects: dict[str, tuple[tuple[str, bytes], ...]] = {}
        self.log: list[tuple[str, bytes]] = []
        self._busy: set[str] = set()

    async def request(self, puts: Sequence[Put]) -> Sequence[Answer]:
        """Perform each put or none of it; raises OSError as a client would."""
        await anyio.lowlevel.checkpoint()
        self.arrive()
        answers = [self._put(put) for put in puts]
        await anyio.lowlevel.checkpoint()
        self.leave()
        return answers

    def held(self) -> Iterator[tuple[str, bytes]]:
        """Every row, of the objects and of the log."""
        yield from [row for rows in list(self.objects.values()) for row in rows]
        yield from list(self.log)

    @contextmanager
    def busy_for(self, record: Record) -> Iterator[None]:
        """Puts that hold this scan are answered "busy" and not performed within the block."""
        self._busy.add(record.scan_id)
        try:
            yield
        finally:
            self._busy.discard(record.scan_id)

    def faults(self) -> Faults:
        """All that this service can be made to do."""
        return Faults(
            down=self.down,
            deny=self.denying,
            lose_answers=self.losing_answers,
            refuse=self.busy_for,
            requests=lambda: self.requests,
        )

    def _put(self, put: Put) -> Answer:
        if any(scan_id in self._busy for scan_id, _ in put.rows):
            return "busy"
        if put.name is None:
            self.log.extend(put.rows)
            return "created"
        if put.name in self.objects:
            return "same" if self.objects[put.name] == put.rows else "different"
        self.objects[put.name] = put.rows
        return "created"


class MemoryDestination(Destination):
    """What a `MemoryService` holds."""

    def __init__(self, service: MemoryService) -> None:
        self._service = service

    def held(self) -> Iterable[tuple[str, bytes]]:
        return list(self._service.held())

    def strays(self) -> Sequence[str]:
        """Names that would mean another place to a store with folders."""
        return [name for name in self._service.objects if posixpath.normpath(name) != name]


class MemorySinkOptions(SinkOptions):
    """What a user of the memory sink may set."""

    keeps: Keeps = "records"
    """One object a scan, one a batch, or a log that takes all it is given."""
    prefix: str = "scans/"
    """What the objects' names start with."""
    max_records: int | None = Field(default=100, ge=1)
    """Records a batch."""
    max_bytes: int | None = 1024 * 1024
    """Bytes a batch."""
    max_record_bytes: int | None = 64 * 1024
    """Bytes a record."""


class MemorySink(Sink):
    """Writes to a `MemoryService`; `keeps` decides which effect class it has."""

    options_type: ClassVar[type[Options]] = MemorySinkOptions

    def __init__(self, options: SinkOptions, context: Context, *, service: MemoryService | None = None) -> None:
        super().__init__(options, context)
        self.service = service or MemoryService()
        chosen = cast("MemorySinkOptions", options)
        self.limits = BatchLimits(chosen.max_records, chosen.max_bytes, chosen.max_record_bytes)
        self.effect, self.identity = _EFFECTS[chosen.keeps]

    def partition(self, record: Record) -> str:  # noqa: ARG002 - the name is the batch's
        options = cast("MemorySinkOptions", self.options)
        return options.prefix + "{batch_id}" if options.keeps == "batches" else ""

    def shape(self) -> Mapping[str, Any]:
        """The layout and the prefix."""
        options = cast("MemorySinkOptions", self.options)
        return {"keeps": options.keeps, "prefix": options.prefix}

    def encode(self, batch: Batch) -> Encoded:
        """The puts; records above `max_record_bytes` are refused."""
        most = self.limits.max_record_bytes
        refused = {
            index: Rejected(f"{len(record.body)} bytes, the most is {most}", kind="too_large")
            for index, record in enumerate(batch.records)
            if most is not None and len(record.body) > most
        }
        puts = tuple(_puts(batch))
        return Encoded(batch, puts, refused, sum(len(body) for put in puts for _, body in put.rows))

    def usage(self, encoded: Encoded) -> Usage:
        """One request a batch."""
        size = sum(record.size for record in encoded.batch.records)
        return Usage({"requests": 1, "bytes_sent": size}, {"stored_bytes": size})

    async def write(self, encoded: Encoded) -> str | None:
        """One request; every answer that is not a success becomes an error of its records."""
        try:
            answers = await self.service.request(encoded.payload)
        except ConnectionRefusedError as error:
            raise Transient(str(error), applied="no") from error
        except PermissionError as error:
            raise Misconfigured(str(error)) from error
        except OSError as error:
            raise Transient(str(error)) from error
        errors = {index: _error(answer) for index, answer in enumerate(answers) if answer in {"busy", "different"}}
        if len(answers) == 1 and errors:
            raise errors[0]
        if errors:
            raise PartialFailure(set(range(len(answers))) - set(errors), errors)
        return f"{len(answers)} puts"


_EFFECTS: dict[Keeps, tuple[Effect, Identity]] = {
    "records": (Effect(EffectClass.EXACT, "a conditional create under the scan's id"), "record"),
    "batches": (Effect(EffectClass.EXACT_PER_BATCH, "a conditional create under the batch's id"), "batch"),
    "log": (Effect(EffectClass.AT_LEAST_ONCE, "nothing: a log takes what it is given"), "record"),
}


def _puts(batch: Batch) -> Iterator[Put]:
    rows = [(record.scan_id, record.body) for record in batch.records]
    if batch.shape["keeps"] == "batches":
        yield Put(batch.name, tuple(rows))
    elif batch.shape["keeps"] == "records":
        yield from (Put(batch.shape["prefix"] + path_safe(row[0]), (row,)) for row in rows)
    else:
        yield from (Put(None, (row,)) for row in rows)


def _error(answer: Answer) -> SinkError:
    if answer == "busy":
        return Transient("the service was busy", applied="no")
    return Conflict("the name holds another body")
