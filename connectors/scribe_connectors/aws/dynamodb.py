"""Scans as items of a DynamoDB table."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, ClassVar

import msgspec
from anyio import to_thread

from scribe_connectors.aws._dynamodb_item import Entry, ItemForm
from scribe_connectors.aws._dynamodb_options import DynamoDbSinkOptions
from scribe_connectors.aws._dynamodb_table import Table
from scribe_connectors.aws._dynamodb_usage import usage_of
from scribe_connectors.aws._dynamodb_writing import Writer
from scribe_connectors.aws._rehearsal import Answer
from scribe_connectors.aws.dynamodb_source import DynamoDbSource, DynamoDbSourceOptions
from scribe_export.errors import InvalidScan, Misconfigured, Rejected, Throttled
from scribe_export.interface import Context, Sink
from scribe_export.model import Batch, BatchLimits, Effect, EffectClass, Encoded, Request, Usage
from scribe_export.options import Options

__all__ = ["DynamoDbSink", "DynamoDbSinkOptions", "DynamoDbSource", "DynamoDbSourceOptions"]

_RECORDS = 100  # a lane's batch is several requests, sent side by side


class DynamoDbSink(Sink):
    """Writes each scan's item where there is none; one that is there already is judged by its digest of the scan.

    https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/Expressions.ConditionExpressions.html

    Needs dynamodb:PutItem; dynamodb:PartiQLInsert for `insert`, dynamodb:BatchWriteItem for `batch`.
    """

    options_type: ClassVar[type[Options]] = DynamoDbSinkOptions
    effect = Effect(EffectClass.EXACT, "one item a scan, created only where there is none")
    options: DynamoDbSinkOptions
    limits = BatchLimits(max_records=_RECORDS, max_bytes=16 * 2**20)

    def __init__(self, options: DynamoDbSinkOptions, context: Context) -> None:
        super().__init__(options, context)
        if options.writes == "batch":
            self.effect = Effect(EffectClass.EXACT, "one item a scan, in place of itself when it comes again")
        self._table = Table(options, folder=context.folder, timeout=options.timeout, connections=options.concurrency)
        self._writer = Writer(self._table, options)

    async def open(self) -> None:
        await to_thread.run_sync(self._open)

    def _open(self) -> None:
        """Find a missing table, other keys or wrong credentials early; the right to look at the table is not needed."""
        try:
            found = self._table.describe()
        except (Rejected, Throttled):
            return
        letters = {"number": "N", "string": "S"}
        wanted = {key.name: letters[key.type] for key in self.options.table_keys()}
        if found is not None and list(found.items()) != list(wanted.items()):
            named = ", ".join(f"{name} ({kind})" for name, kind in found.items())
            raise Misconfigured(f"table {self._table.name} has the keys {named}; say so in partition_key and sort_key")

    async def close(self) -> None:
        await to_thread.run_sync(self._table.client.close)

    def shape(self) -> Mapping[str, Any]:
        options = self.options
        return {
            "item": options.item,
            "keys": [{"name": key.name, "value": key.value, "type": key.type} for key in options.table_keys()],
            "versions": options.on_conflict != "overwrite",
            "attributes": options.attributes,
            "ttl": options.ttl.model_dump() if options.ttl else None,
            "fields": None if options.fields is None else options.fields.model_dump(mode="json"),
            "timezone": str(self.context.assume_timezone),
        }

    def encode(self, batch: Batch) -> Encoded:
        form = ItemForm(batch.shape or self.shape())
        refused: dict[int, Rejected] = {}
        entries: list[Entry] = []
        for index, record in enumerate(batch.records):
            try:
                entries.append(form.entry(index, record, self.options.max_item_bytes))
            except Rejected as error:
                refused[index] = error
            except InvalidScan as error:
                refused[index] = Rejected(str(error), kind="invalid")
        return Encoded(batch, tuple(entries), refused, sum(entry.size for entry in entries))

    async def write(self, encoded: Encoded) -> str | None:
        return await self._writer.write(encoded.payload)

    def usage(self, encoded: Encoded) -> Usage:
        return usage_of(encoded.payload, self.options)

    async def preview(self, encoded: Encoded) -> Sequence[Request]:
        offline = DynamoDbSink(self.options, self.context)
        rehearsal = offline._table.client.rehearse(_all_taken)
        await offline.write(encoded)
        await offline.close()
        members = {call.body: call.members for call in offline._writer.calls(encoded.payload)}
        named = [replace(request, records=members[request.body]) for request in rehearsal.requests]
        return sorted(named, key=lambda request: min(request.records))


def _all_taken(request: Request) -> Answer:
    statements = msgspec.json.decode(request.body).get("Statements", ())
    return Answer(msgspec.json.encode({"Responses": [{} for _ in statements]} if statements else {}))
