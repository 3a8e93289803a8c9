"""Scans as rows of a table in BigQuery."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any, ClassVar

from anyio import to_thread

from scribe_connectors.gcp.bigquery import rehearsed
from scribe_connectors.gcp.bigquery.columns import column_types
from scribe_connectors.gcp.bigquery.insert_rows import InsertRows
from scribe_connectors.gcp.bigquery.load import LoadJobs
from scribe_connectors.gcp.bigquery.options import BigQuerySinkOptions, Method
from scribe_connectors.gcp.bigquery.storage_write import StorageWrite
from scribe_connectors.gcp.bigquery.target import Target
from scribe_export.errors import SinkError
from scribe_export.interface import Context, Sink
from scribe_export.model import Batch, BatchLimits, Effect, EffectClass, Encoded, Identity, Request, Usage
from scribe_export.options import Options

_LIMITS: Mapping[Method, BatchLimits] = {
    # Bytes are for memory: an upload is held whole.
    "load": BatchLimits(max_records=100_000, max_bytes=256 * 2**20),
    # A batch is one request, and a row has some hundred bytes beside its document.
    "storage_write": BatchLimits(max_records=5_000, max_bytes=10 * 2**20),
    "insert_rows": BatchLimits(max_records=5_000, max_bytes=32 * 2**20),
}
_EFFECTS: Mapping[Method, Effect] = {
    "load": Effect(EffectClass.EXACT_PER_BATCH, "the load job's id, made of the batch's"),
    "storage_write": Effect(EffectClass.EXACT_PER_BATCH, "an offset in a stream of the batch's own"),
    "insert_rows": Effect(EffectClass.WINDOWED, "the row's insertId, which BigQuery remembers for about a minute"),
}
_IDENTITY: Mapping[Method, Identity] = {"load": "batch", "storage_write": "batch", "insert_rows": "record"}


class BigQuerySink(Sink):
    """Writes by load jobs, by the Storage Write API or by insertAll, whichever a batch was sealed for.

    Needs bigquery.tables.get and bigquery.tables.updateData, and bigquery.jobs.create for load jobs;
    bigquery.tables.create for `create_table`, and bigquery.tables.update for `schema: evolve`.
    """

    options_type: ClassVar[type[Options]] = BigQuerySinkOptions
    options: BigQuerySinkOptions

    def __init__(self, options: BigQuerySinkOptions, context: Context) -> None:
        super().__init__(options.model_copy(update={"batch": options.sealing}), context)
        self.limits, self.effect = _LIMITS[options.method], _EFFECTS[options.method]
        if options.method == "storage_write" and options.max_request_bytes:
            self.limits = replace(self.limits, max_bytes=options.max_request_bytes // 2)
        self.identity = _IDENTITY[options.method]
        self._target = Target(options, context.folder, context.clock)
        self._methods: Mapping[Method, LoadJobs | StorageWrite | InsertRows] = {
            "load": LoadJobs(self._target),
            "storage_write": StorageWrite(self._target),
            "insert_rows": InsertRows(self._target),
        }

    async def open(self) -> None:
        await self._classified(partial(to_thread.run_sync, self._target.table.look))

    async def close(self) -> None:
        await to_thread.run_sync(self._target.close)

    def shape(self) -> Mapping[str, Any]:
        options = self.options
        return {
            "method": options.method,
            "types": column_types(options.row, options.column_types),
            "partition": options.create_table.partition_by if options.create_table else None,
            "compression": options.compression,
            "timezone": str(self.context.assume_timezone),
            "fields": None if options.fields is None else options.fields.model_dump(mode="json"),
        }

    def encode(self, batch: Batch) -> Encoded:
        shape = batch.shape
        return self._methods[shape["method"]].encode(batch, shape, self.options.row_limit)

    async def prepare(self, batch: Batch) -> str:
        method = self._methods[batch.shape["method"]]
        return str(await self._classified(method.prepare)) if isinstance(method, StorageWrite) else ""

    async def write(self, encoded: Encoded) -> str | None:
        method = self._methods[encoded.batch.shape["method"]]
        return str(await self._classified(partial(method.write, encoded)))

    def usage(self, encoded: Encoded) -> Usage:
        """A row's bytes are those of its JSON or its protobuf, which is near to what BigQuery counts."""
        return self._methods[encoded.batch.shape["method"]].usage(encoded)

    async def preview(self, encoded: Encoded) -> Sequence[Request]:
        offline = BigQuerySink(self.options, self.context)
        return await rehearsed.requests(offline, offline._target, encoded)

    async def _classified(self, call: Callable[[], Any]) -> Any:
        try:
            return await call()
        except SinkError:
            raise
        except Exception as error:
            known = self._target.classify(error)
            if known is None:
                raise
            raise known from error
