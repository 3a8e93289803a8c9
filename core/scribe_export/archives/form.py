"""How a batch becomes objects: their names, bytes and metadata, from what was frozen when the batch was sealed."""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import timedelta, timezone, tzinfo
from typing import Any
from zoneinfo import ZoneInfo

import msgspec

from scribe_export.archives.codec import EXTENSIONS, Compression, Format, JsonLines, compress, one_line
from scribe_export.archives.parquet import ParquetRows
from scribe_export.errors import InvalidScan, Rejected
from scribe_export.fields import Selection
from scribe_export.keys import KeyTemplate
from scribe_export.model import Batch, Encoded, Record
from scribe_export.options import FieldsOptions

SHA256 = "scribe-sha256"
"""Metadata of one scan's object: the hex SHA-256 of the body as its source gave it."""
DIGEST = "scribe-digest"
"""Metadata of a batch's object: the batch's digest over its scans' ids and SHA-256s."""
ORDER = "scribe-order"
"""Metadata: ``{seconds since the epoch}-{seq}`` of the newest scan's journalling, which tells older from newer."""
FIELDS = "scribe-fields"
"""Metadata, ``1`` on objects that `fields:` has shaped: they hold less than the scan, so no source takes them."""

MAX_BATCH_ID = 64  # characters kept free in a key for the batch's id

_CONTENT_TYPES = {
    ("json", "none"): "application/json",
    ("jsonl", "none"): "application/x-ndjson",
    ("json", "gzip"): "application/gzip",
    ("jsonl", "gzip"): "application/gzip",
    ("json", "zstd"): "application/zstd",
    ("jsonl", "zstd"): "application/zstd",
}
_PARQUET = "application/vnd.apache.parquet"

Order = tuple[float, int]


@dataclass(frozen=True, slots=True)
class Object:
    """One object as it is to be stored.

    `members` are the indexes of its records in the batch. `data` is what is stored, `size` the bytes of its documents.
    `versioned_key` is its name beside other content that holds `key`; equal to `key` if it is versioned already.
    `named_by_content`: the key alone tells this content from any other.
    """

    key: str
    versioned_key: str
    members: tuple[int, ...]
    data: bytes
    size: int
    format: Format
    compression: Compression
    content_type: str
    metadata: Mapping[str, str]
    order: Order
    per_record: bool
    named_by_content: bool


@dataclass(frozen=True, slots=True)
class ObjectForm:
    """The frozen settings of a batch, read back from `Batch.shape`."""

    template: KeyTemplate
    format: Format
    compression: Compression
    selection: Selection | None
    timezone: tzinfo
    overwrites: bool

    @classmethod
    def thaw(cls, shape: Mapping[str, Any]) -> "ObjectForm":
        """From what `freeze` gave."""
        fields = shape.get("fields")
        return cls(
            template=KeyTemplate.parse(shape["key"]),
            format=shape["format"],
            compression=shape["compression"],
            selection=None if fields is None else Selection(FieldsOptions.model_validate(fields)),
            timezone=timezone_named(shape["timezone"]),
            overwrites=shape.get("overwrites", False),
        )

    @property
    def extension(self) -> str:
        """What ``{ext}`` stands for, without its leading dot."""
        # Parquet compresses within, and is read without unpacking it first.
        return self.format if self.format == "parquet" else self.format + EXTENSIONS[self.compression]

    def key(self, record: Record, *, version: int | None = None) -> str:
        """The record's or its batch's name; raises `Rejected`."""
        return self.template.render(placed(record, self.timezone, version), ext=self.extension)

    def encode(self, batch: Batch, check_key: Callable[[str], None]) -> Encoded:
        """The batch as `Object`s in `Encoded.payload`; `check_key` raises `Rejected` for a name the store refuses."""
        refused: dict[int, Rejected] = {}
        objects = self._each(batch, check_key, refused) if self.template.per_record else self._one(batch, refused)
        return Encoded(batch, objects, refused, sum(len(item.data) for item in objects))

    def _each(self, batch: Batch, check_key: Callable[[str], None], refused: dict[int, Rejected]) -> tuple[Object, ...]:
        objects = []
        for index, record in enumerate(batch.records):
            try:
                document = self._document(record)
                # What the newest content replaces has the name of the first.
                own = 1 if self.overwrites else record.version
                keys = self.key(record, version=own), self.key(record, version=max(record.version, 2))
                for key in keys:
                    check_key(key)
            except (Rejected, InvalidScan) as error:
                refused[index] = _refusal(error)
            else:
                order = _order(record)
                metadata = self._metadata({SHA256: record.sha256}, order)
                data = compress(document, self.compression)
                objects.append(self._object(keys, (index,), data, len(document), metadata, order))
        return tuple(objects)

    def _one(self, batch: Batch, refused: dict[int, Rejected]) -> tuple[Object, ...]:
        """Documents go into the object as they are made: beside the raw bodies there is only what will be stored."""
        order = max(map(_order, batch.records))
        metadata = self._metadata({DIGEST: batch.digest}, order)
        rows = (
            ParquetRows(self.compression, self.selection, metadata)
            if self.format == "parquet"
            else JsonLines(self.compression, self._size_of_lines(batch))
        )
        size = 0
        for index, record in enumerate(batch.records):
            try:
                document = self._document(record)
                rows.add(placed(record, self.timezone, None), document)
                size += len(document)
            except (Rejected, InvalidScan) as error:
                refused[index] = _refusal(error)
        if refused:
            # The others come again in a batch of their own, under its own name.
            return ()
        versioned = batch.name.replace(batch.id, f"{batch.id}~v{batch.digest[:12]}", 1)
        members = tuple(range(len(batch.records)))
        return (self._object((batch.name, versioned), members, rows.finish(), size, metadata, order),)

    def _document(self, record: Record) -> bytes:
        body = self.selection.apply(record.body) if self.selection else record.body
        if self.format != "jsonl":
            return body
        try:
            return one_line(body)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            raise Rejected(f"not JSON, so it cannot be put on one line: {error}", kind="invalid") from None

    def _size_of_lines(self, batch: Batch) -> int | None:
        """None where it is known only once every line is made."""
        if self.selection or any(b"\n" in record.body or b"\r" in record.body for record in batch.records):
            return None
        return sum(record.size + 1 for record in batch.records)

    def _metadata(self, identity: dict[str, str], order: Order) -> dict[str, str]:
        return identity | {ORDER: f"{order[0]:.6f}-{order[1]}"} | ({FIELDS: "1"} if self.selection else {})

    def _object(
        self,
        keys: tuple[str, str],
        members: tuple[int, ...],
        data: bytes,
        size: int,
        metadata: dict[str, str],
        order: Order,
    ) -> Object:
        return Object(
            key=keys[0],
            versioned_key=keys[1],
            members=members,
            data=data,
            size=size,
            format=self.format,
            compression=self.compression,
            content_type=_PARQUET if self.format == "parquet" else _CONTENT_TYPES[self.format, self.compression],
            metadata=metadata,
            order=order,
            per_record=self.template.per_record,
            named_by_content=any(name in {"batch_id", "sha256"} for _, name, _ in self.template.parts),
        )


def _order(record: Record) -> Order:
    return round(record.received_at, 6), record.seq


def _refusal(error: Rejected | InvalidScan) -> Rejected:
    return error if isinstance(error, Rejected) else Rejected(str(error), kind="invalid")


def claim(key: str, record: Record) -> Object:
    """A whole scan kept under a name that its content gives it."""
    order = _order(record)
    return Object(
        key=key,
        versioned_key=key,
        members=(0,),
        data=record.body,
        size=record.size,
        format="json",
        compression="none",
        content_type=_CONTENT_TYPES["json", "none"],
        metadata={SHA256: record.sha256, ORDER: f"{order[0]:.6f}-{order[1]}"},
        order=order,
        per_record=True,
        named_by_content=True,
    )


def freeze(
    key: str,
    form: Format,
    compression: Compression,
    fields: FieldsOptions | None,
    assume_timezone: tzinfo,
    *,
    overwrites: bool,
) -> dict[str, Any]:
    """Everything that names or encodes a batch, as JSON values."""
    return {
        "key": key,
        "format": form,
        "compression": compression,
        "fields": None if fields is None else fields.model_dump(mode="json"),
        "timezone": str(assume_timezone),
        "overwrites": overwrites,
    }


def read_order(metadata: Mapping[str, str]) -> Order | None:
    """When an object's newest scan was journalled, from its metadata; None if it does not say."""
    match = re.fullmatch(r"(\d+\.\d+)-(\d+)", metadata.get(ORDER, ""))
    return (float(match[1]), int(match[2])) if match else None


def placed(record: Record, assume: tzinfo, version: int | None) -> Record:
    """The record as it was when its batch was sealed: its timestamps read in `assume`; `version` None is its own."""
    version = record.version if version is None else version
    if version == record.version and record.assume == assume:
        return record
    return Record(
        seq=record.seq,
        scan_id=record.scan_id,
        sha256=record.sha256,
        body=record.body,
        source=record.source,
        version=version,
        received_at=record.received_at,
        fields=record.fields,
        assume=assume,
    )


def timezone_named(name: str) -> tzinfo:
    """From what ``str`` gave for it."""
    match = re.fullmatch(r"UTC([+-])(\d\d):(\d\d)", name)
    if not match:
        return ZoneInfo(name)
    offset = timedelta(hours=int(match[2]), minutes=int(match[3]))
    return timezone(offset if match[1] == "+" else -offset)
