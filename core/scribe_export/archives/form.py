"""How a batch becomes objects: their names, bytes and metadata, from what was frozen when the batch was sealed."""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, timedelta, timezone, tzinfo
from typing import Any
from zoneinfo import ZoneInfo

import msgspec

from scribe_export.archives.codec import EXTENSIONS, Compression, compress, jsonl, one_line
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

Order = tuple[float, int]


@dataclass(frozen=True, slots=True)
class Object:
    """One object as it is to be stored.

    `members` are the indexes of its records in the batch. `plain` is the content before compression, `data` what is
    stored. `versioned_key` is its name beside other content that holds `key`; equal to `key` if it is versioned already.
    `named_by_content`: the key alone tells this content from any other.
    """

    key: str
    versioned_key: str
    members: tuple[int, ...]
    plain: bytes
    data: bytes
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
    compression: Compression
    selection: Selection | None
    timezone: tzinfo

    @classmethod
    def thaw(cls, shape: Mapping[str, Any]) -> "ObjectForm":
        """From what `freeze` gave."""
        fields = shape.get("fields")
        return cls(
            template=KeyTemplate.parse(shape["key"]),
            compression=shape["compression"],
            selection=None if fields is None else Selection(FieldsOptions.model_validate(fields)),
            timezone=timezone_named(shape["timezone"]),
        )

    @property
    def format(self) -> str:
        return "json" if self.template.per_record else "jsonl"

    @property
    def extension(self) -> str:
        """What ``{ext}`` stands for, without its leading dot."""
        return self.format + EXTENSIONS[self.compression]

    def key(self, record: Record, *, version: int | None = None) -> str:
        """The record's or its batch's name; raises `Rejected`."""
        return self.template.render(_placed(record, self.timezone, version), ext=self.extension)

    def encode(self, batch: Batch, check_key: Callable[[str], None]) -> Encoded:
        """The batch as `Object`s in `Encoded.payload`; `check_key` raises `Rejected` for a name the store refuses."""
        refused: dict[int, Rejected] = {}
        plain: dict[int, bytes] = {}
        keys: dict[int, tuple[str, str]] = {}
        for index, record in enumerate(batch.records):
            try:
                plain[index] = self._plain(record)
                if self.template.per_record:
                    keys[index] = key, versioned = self.key(record), self.key(record, version=max(record.version, 2))
                    check_key(key)
                    check_key(versioned)
            except Rejected as error:
                refused[index] = error
            except InvalidScan as error:
                refused[index] = Rejected(str(error), kind="invalid")
        accepted = [index for index in range(len(batch.records)) if index not in refused]
        if self.template.per_record:
            objects = tuple(
                self._object(keys[i], (i,), plain[i], {SHA256: batch.records[i].sha256}, batch) for i in accepted
            )
        elif refused:
            # The others come again in a batch of their own, under its own name.
            objects = ()
        else:
            versioned = batch.name.replace(batch.id, f"{batch.id}~v{batch.digest[:12]}", 1)
            content = jsonl(plain[i] for i in accepted)
            objects = (self._object((batch.name, versioned), tuple(accepted), content, {DIGEST: batch.digest}, batch),)
        return Encoded(batch, objects, refused, sum(len(item.data) for item in objects))

    def _plain(self, record: Record) -> bytes:
        body = self.selection.apply(record.body) if self.selection else record.body
        if self.template.per_record:
            return body
        try:
            return one_line(body)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            raise Rejected(f"not JSON, so it cannot be put on one line: {error}", kind="invalid") from None

    def _object(
        self, keys: tuple[str, str], members: tuple[int, ...], plain: bytes, identity: dict[str, str], batch: Batch
    ) -> Object:
        order = max((round(batch.records[i].received_at, 6), batch.records[i].seq) for i in members)
        return Object(
            key=keys[0],
            versioned_key=keys[1],
            members=members,
            plain=plain,
            data=compress(plain, self.compression),
            compression=self.compression,
            content_type=_CONTENT_TYPES[self.format, self.compression],
            metadata=identity | {ORDER: f"{order[0]:.6f}-{order[1]}"} | ({FIELDS: "1"} if self.selection else {}),
            order=order,
            per_record=self.template.per_record,
            named_by_content=any(name in {"batch_id", "sha256"} for _, name, _ in self.template.parts),
        )


def claim(key: str, record: Record) -> Object:
    """A whole scan kept under a name that its content gives it."""
    order = (round(record.received_at, 6), record.seq)
    return Object(
        key=key,
        versioned_key=key,
        members=(0,),
        plain=record.body,
        data=record.body,
        compression="none",
        content_type=_CONTENT_TYPES["json", "none"],
        metadata={SHA256: record.sha256, ORDER: f"{order[0]:.6f}-{order[1]}"},
        order=order,
        per_record=True,
        named_by_content=True,
    )


def freeze(key: str, compression: Compression, fields: FieldsOptions | None, assume_timezone: tzinfo) -> dict[str, Any]:
    """Everything that names or encodes a batch, as JSON values."""
    template = KeyTemplate.parse(key)
    return {
        "key": key,
        "format": "json" if template.per_record else "jsonl",
        "compression": compression,
        "fields": None if fields is None else fields.model_dump(mode="json"),
        "timezone": str(assume_timezone),
    }


def read_order(metadata: Mapping[str, str]) -> Order | None:
    """When an object's newest scan was journalled, from its metadata; None if it does not say."""
    match = re.fullmatch(r"(\d+\.\d+)-(\d+)", metadata.get(ORDER, ""))
    return (float(match[1]), int(match[2])) if match else None


def _placed(record: Record, assume: tzinfo, version: int | None) -> Record:
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
        return UTC if name == "UTC" else ZoneInfo(name)
    offset = timedelta(hours=int(match[2]), minutes=int(match[3]))
    return timezone(offset if match[1] == "+" else -offset)
