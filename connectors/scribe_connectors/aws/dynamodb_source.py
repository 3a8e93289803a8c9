"""Scans read back from the items of a DynamoDB table."""

import base64
import hashlib
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterator, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from typing import Any, ClassVar, TypeVar

import anyio
import msgspec
import structlog
from anyio import to_thread
from pydantic import Field

from scribe_connectors.aws._dynamodb_item import DOCUMENT, SHA256
from scribe_connectors.aws._dynamodb_read import Item, NotAScan, document, scan_json
from scribe_connectors.aws._dynamodb_table import Table, TableOptions
from scribe_export.archives.reading import CHUNK_BYTES, CHUNK_RECORDS, Handover
from scribe_export.errors import Transient
from scribe_export.interface import Checkpoint, Context, Source
from scribe_export.model import Delivery, Incoming
from scribe_export.options import Duration, Options, Size, SourceOptions
from scribe_export.oversize import POINTER

_T = TypeVar("_T")
_log = structlog.get_logger("scribe_export.dynamodb")
_TAKEN = "1"


class DynamoDbSourceOptions(TableOptions, SourceOptions):
    """A table whose items hold a scan each."""

    segments: int = Field(default=4, ge=1, le=64)
    """Parts of the table that are read side by side."""
    consistent_read: bool = False
    """Also find what was written a moment ago, at twice the price."""
    follow: bool = False
    """Read the table again and again, or end when all there is was read. Each time costs a read of the whole table."""
    poll_interval: Duration = Field(default=3600.0, gt=0)
    """With `follow`: how long to wait before the table is read again."""
    max_record: Size = Field(default=64 * 2**20, gt=0)
    """A longer document is passed over, with an alarm."""
    timeout: Duration = Field(default=30.0, gt=0)
    """Seconds before one call is given up."""


class _Position(msgspec.Struct, frozen=True, omit_defaults=True):
    """How far a segment was read: after which key, if any."""

    after: dict[str, dict[str, str]] | None = None
    done: bool = False


_position = msgspec.json.Decoder(_Position)


@dataclass(slots=True)
class _Page:
    found: dict[str, Incoming]
    next: _Position


class DynamoDbSource(Source):
    """Scans the table, in segments side by side, and yields what it has not yielded before.

    The checkpoint holds the digest of every scan that was taken, so that none is taken twice however often the table is
    read, and each segment's place until all are at their ends, so that an interrupted reading goes on where it was.

    Needs dynamodb:Scan.
    """

    options_type: ClassVar[type[Options]] = DynamoDbSourceOptions
    options: DynamoDbSourceOptions

    def __init__(self, options: DynamoDbSourceOptions, context: Context) -> None:
        super().__init__(options, context)
        self._table = Table(options, folder=context.folder, timeout=options.timeout, connections=options.segments)
        self._places = [f"segment {number}/{options.segments}" for number in range(options.segments)]
        self._passed_over: set[str] = set()

    async def open(self) -> None:
        await self._blocking(self._table.client.get)

    async def close(self) -> None:
        await to_thread.run_sync(self._table.client.close)

    async def deliveries(self, checkpoint: Checkpoint) -> AsyncIterator[Delivery]:
        handover = Handover(most=2 * self.options.segments)
        while True:
            async with aclosing(self._pass(checkpoint, handover)) as found:
                async for delivery in found:
                    yield delivery
            if not self.options.follow or self.context.once:
                if handover.refused():
                    raise Transient("a delivery was not taken; its items are read again", applied="no")
                return
            await self.context.clock.sleep(self.options.poll_interval)

    async def _pass(self, checkpoint: Checkpoint, handover: Handover) -> AsyncGenerator[Delivery, None]:
        await handover.settled(self._places)
        known = await checkpoint.get(self._places)
        starts = {place: _position.decode(known.get(place, "{}")) for place in self._places}
        noted = bool(known)
        while reading := {place: start for place, start in starts.items() if not start.done}:
            pages = await self._read(reading)
            for place, page in pages.items():
                async with aclosing(self._hand(place, starts[place], page, checkpoint, handover)) as found:
                    async for delivery in found:
                        noted = True
                        yield delivery
                # What follows must not be taken before it; it comes again in the next pass.
                starts[place] = _Position(done=True) if handover.refused(place) else page.next
        if noted:
            await handover.room(self._places)
            if not any(map(handover.refused, self._places)):
                yield handover.hand((), dict.fromkeys(self._places))

    async def _read(self, reading: Mapping[str, _Position]) -> dict[str, _Page]:
        """The next page of each segment, side by side."""
        pages: dict[str, _Page] = {}
        errors: list[Exception] = []

        async def read(place: str, start: _Position) -> None:
            try:
                pages[place] = await self._blocking(self._scan, self._places.index(place), start)
            except Exception as error:  # noqa: BLE001 - raised below, without the group around it
                errors.append(error)

        async with anyio.create_task_group() as group:
            for place, start in reading.items():
                group.start_soon(read, place, start)
        if errors:
            raise errors[0]
        return {place: pages[place] for place in reading}

    async def _hand(
        self, place: str, start: _Position, page: _Page, checkpoint: Checkpoint, handover: Handover
    ) -> AsyncGenerator[Delivery, None]:
        await handover.room([place, *page.found])
        taken = await checkpoint.get(list(page.found))
        fresh = {digest: one for digest, one in page.found.items() if digest not in taken}
        chunks = list(_chunks(fresh))
        for chunk in chunks:
            await handover.room([place, *chunk])
            if handover.refused(place):
                return
            position = page.next if chunk is chunks[-1] else start
            checkpointed = dict.fromkeys(chunk, _TAKEN) | {place: msgspec.json.encode(position).decode()}
            yield handover.hand([fresh[digest] for digest in chunk], checkpointed)

    def _scan(self, segment: int, start: _Position) -> _Page:
        after: dict[str, Any] = {"ExclusiveStartKey": _thawed(start.after)} if start.after else {}
        answer = self._table.boto.scan(
            TableName=self._table.name,
            Segment=segment,
            TotalSegments=self.options.segments,
            ConsistentRead=self.options.consistent_read,
            **after,
        )
        found: dict[str, Incoming] = {}
        for item in answer["Items"]:
            try:
                body = self._body(item)
            except NotAScan as error:
                self._pass_over(_name(item), error)
            else:
                digest = hashlib.blake2b(body, digest_size=16).hexdigest()
                found[digest] = Incoming(body, f"item {_name(item)}")
        last: Any = answer.get("LastEvaluatedKey")
        return _Page(found, _Position(after=_frozen(last)) if last else _Position(done=True))

    def _body(self, item: Item) -> bytes:
        """The scan of an item; raises `NotAScan`."""
        if POINTER in item:
            raise NotAScan("claim_checked", "it holds a pointer to the scan and not the scan")
        most = self.options.max_record
        plain = document(item, most)
        if plain is not None:
            if SHA256 in item and item[SHA256].get("S") != hashlib.sha256(plain).hexdigest():
                raise NotAScan("shaped", f"by fields: or trim, its {DOCUMENT} is less than the scan")
            return plain
        made = scan_json(item)
        if len(made) > most:
            raise NotAScan("too_long", f"longer than max_record, {most} bytes")
        return made

    def _pass_over(self, name: str, error: NotAScan) -> None:
        if name not in self._passed_over:
            self._passed_over.add(name)
            where = f"item {name}"
            _log.error("passed over", alarm=error.kind, source=self.context.name, origin=where, reason=str(error))
            self.missed(f"{where} was passed over: {error}")

    async def _blocking(self, call: Callable[..., _T], *args: Any) -> _T:
        try:
            # What a read finds after it was given up is found again.
            return await to_thread.run_sync(call, *args, abandon_on_cancel=True)
        except Exception as error:
            known = self._table.classify(error)
            if known is None:
                raise
            raise known from error


def _name(item: Item) -> str:
    value = item.get("scan_id") or next(iter(item.values()), {})
    return str(next(iter(value.values()), ""))[:300]


def _chunks(found: Mapping[str, Incoming]) -> Iterator[Sequence[str]]:
    chunk: list[str] = []
    size = 0
    for digest, one in found.items():
        if chunk and (len(chunk) == CHUNK_RECORDS or size + len(one.body) > CHUNK_BYTES):
            yield chunk
            chunk, size = [], 0
        chunk.append(digest)
        size += len(one.body)
    if chunk:
        yield chunk


def _frozen(key: Mapping[str, Mapping[str, Any]]) -> dict[str, dict[str, str]]:
    """A key as JSON can hold it."""
    return {
        name: {kind: base64.b64encode(value).decode() if kind == "B" else value for kind, value in attribute.items()}
        for name, attribute in key.items()
    }


def _thawed(key: Mapping[str, Mapping[str, str]]) -> dict[str, dict[str, Any]]:
    return {
        name: {kind: base64.b64decode(value) if kind == "B" else value for kind, value in attribute.items()}
        for name, attribute in key.items()
    }
