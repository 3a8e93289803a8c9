"""Scans from elsewhere as rows of SCRIBE's own database."""

from collections.abc import Mapping, Sequence
from os.path import normpath
from pathlib import Path
from typing import Any, ClassVar

import msgspec
from anyio import to_thread
from pydantic import Field, model_validator

from scribe_connectors.scribe._database_entries import MAX_ROW_BYTES, Entry, RowForm
from scribe_connectors.scribe._database_rows import PARTS
from scribe_connectors.scribe._database_writing import INSERT, Writer
from scribe_export.errors import InvalidScan, Rejected, Transient
from scribe_export.interface import Context, Sink
from scribe_export.model import Batch, BatchLimits, Effect, EffectClass, Encoded, Request, Usage
from scribe_export.options import Options, SinkOptions

_RECORDS = 500
_BYTES = 32 * 2**20  # what one transaction may hold SCRIBE up for, and ask of memory


class ScribeDatabaseSinkOptions(SinkOptions):
    """SCRIBE's SQLite database, with the guide's table `scan_results`."""

    path: str = Field(min_length=1)
    """The file, such as scribe_learning.db, on a disk of this machine; SCRIBE makes it. Relative to the config's own
    folder."""

    def place(self) -> str:
        """Two destinations must not have the same."""
        return f"scribe_database/{normpath(self.path)}"

    @model_validator(mode="after")
    def _check_fields(self) -> "ScribeDatabaseSinkOptions":
        fields = self.fields
        if fields is None:
            return self
        included = None if fields.include is None else {path.split(".")[0] for path in fields.include}
        for part in PARTS:
            if part in fields.exclude or part in fields.rename or (included is not None and part not in included):
                raise ValueError(
                    f"fields: {part} must stay, because a row of scan_results needs it; leave out what is in it, such as "
                    "response.audio_data"
                )
        return self


class ScribeDatabaseSink(Sink):
    """Adds rows as the guide's `add_external_scan_data` does, each scan once: a table of ours beside SCRIBE's, written in
    the same transaction, remembers which scan became which row.

    The journal mode stays as SCRIBE has it. A transaction waits up to `timeout` for SCRIBE's own writing.
    """

    options_type: ClassVar[type[Options]] = ScribeDatabaseSinkOptions
    effect = Effect(EffectClass.EXACT, "one row a scan, noted by its id in the same transaction")
    limits = BatchLimits(max_records=_RECORDS, max_bytes=_BYTES, max_record_bytes=MAX_ROW_BYTES)
    options: ScribeDatabaseSinkOptions

    def __init__(self, options: ScribeDatabaseSinkOptions, context: Context) -> None:
        super().__init__(options, context)
        self._path = Path(context.folder).resolve() / options.path
        self._writer: Writer | None = None

    async def open(self) -> None:
        await self.close()
        options = self.options
        self._writer = Writer(self._path, timeout=options.timeout, on_conflict=options.on_conflict)
        await to_thread.run_sync(self._writer.check)

    async def close(self) -> None:
        writer, self._writer = self._writer, None
        if writer:
            await to_thread.run_sync(writer.close)

    def shape(self) -> Mapping[str, Any]:
        options = self.options
        return {
            "versions": options.on_conflict == "version",
            "fields": None if options.fields is None else options.fields.model_dump(mode="json"),
            "timezone": str(self.context.assume_timezone),
        }

    def encode(self, batch: Batch) -> Encoded:
        form = RowForm(batch.shape or self.shape())
        refused: dict[int, Rejected] = {}
        entries: list[Entry] = []
        for index, record in enumerate(batch.records):
            try:
                entries.append(form.entry(index, record))
            except Rejected as error:
                refused[index] = error
            except InvalidScan as error:
                refused[index] = Rejected(str(error), kind="invalid")
        return Encoded(batch, tuple(entries), refused, sum(entry.size for entry in entries))

    async def write(self, encoded: Encoded) -> str | None:
        if self._writer is None:
            raise Transient("the sink is not open", applied="no")
        return await to_thread.run_sync(self._writer.write, encoded.payload)

    def usage(self, encoded: Encoded) -> Usage:
        """A transaction is one request."""
        return Usage({"requests": 1}, {"stored_bytes": encoded.size})

    async def preview(self, encoded: Encoded) -> Sequence[Request]:
        """The statement, and as JSON what is bound to it."""
        entries: Sequence[Entry] = encoded.payload
        return [
            Request(INSERT, str(self._path), {}, msgspec.json.encode(entry.columns), (entry.member,))
            for entry in entries
        ]
