"""What every store of named objects has in common: S3, Cloud Storage, a folder.

The key decides the layout. With ``{scan_id}`` each scan is an object of its own, known again by its name; with
``{batch_id}`` a batch is one object of JSON lines or Parquet, known again by the batch's name, which is never used
twice. Objects
are only ever created where there was none, so a repeat cannot double or damage one. What stands under a name already is
judged by the SHA-256 of the raw body (or the batch's digest) in its metadata, and without that by its JSON.
"""

from abc import abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import zip_longest
from typing import Annotated, Any, ClassVar, Literal

import anyio
from anyio import to_thread
from pydantic import AfterValidator, Field, model_validator

from scribe_export.archives.codec import (
    DAMAGED,
    EXTENSIONS,
    Compression,
    Format,
    compression_of,
    documents,
    same_json,
)
from scribe_export.archives.form import (
    DIGEST,
    MAX_BATCH_ID,
    SHA256,
    Object,
    ObjectForm,
    Order,
    claim,
    freeze,
    read_order,
)
from scribe_export.archives.parquet import INSTALL, installed
from scribe_export.errors import Conflict, Misconfigured, PartialFailure, SinkError, Transient
from scribe_export.interface import Context, Sink
from scribe_export.keys import KeyTemplate
from scribe_export.model import Batch, BatchLimits, Effect, EffectClass, Encoded, Record, Request, Usage
from scribe_export.options import Options, SinkOptions
from scribe_export.parts import one_for_all

MAX_BATCH_RECORDS = 100_000
"""Of one object; with `MAX_BATCH_BYTES` what a batch may ask of memory, where it is once raw and once as stored."""
MAX_BATCH_BYTES = 256 * 2**20


def _check_key(value: str) -> str:
    KeyTemplate.parse(value)
    return value


class ObjectOptions(SinkOptions):
    """Common to every store of objects."""

    key: Annotated[str, AfterValidator(_check_key)]
    """Template of the objects' names: ``{scan_id}`` for one a scan, ``{batch_id}`` for one a batch."""
    format: Literal["json", "jsonl", "parquet"] | None = None
    """Of one object a scan: `json`. Of one a batch: `jsonl`, which is the default, or `parquet`."""
    compression: Compression | None = None
    """``{ext}`` in the key becomes json, jsonl.zst and so on. Left out: `none`, and within Parquet `zstd`."""
    concurrency: int = Field(default=16, ge=1, le=256)
    """Objects being written at once."""

    @property
    def form(self) -> Format:
        """What an object holds."""
        return self.format or ("json" if KeyTemplate.parse(self.key).per_record else "jsonl")

    @property
    def codec(self) -> Compression:
        """How it is compressed."""
        return self.compression or ("zstd" if self.form == "parquet" else "none")

    @model_validator(mode="after")
    def _check_form(self) -> "ObjectOptions":
        if (self.form == "json") != KeyTemplate.parse(self.key).per_record:
            raise ValueError(
                "format: json goes with {scan_id} in the key, format: jsonl and format: parquet with {batch_id}; leave "
                "format out, or change the key"
            )
        if self.form == "parquet" and not installed():
            raise ValueError(INSTALL)
        if self.key.endswith("{ext}"):
            return self
        if (self.form == "parquet") != self.key.endswith(".parquet"):
            raise ValueError("format: parquet needs a key that ends in {ext} or in .parquet, and no other format does")
        if self.form != "parquet" and compression_of(self.key) != self.codec:
            expected = EXTENSIONS[self.codec] or "neither .gz nor .zst"
            raise ValueError(f"compression: {self.codec} needs a key that ends in {{ext}} or in {expected}")
        return self


@dataclass(frozen=True, slots=True)
class Found:
    """What stands under a name: `tag` tells this state of it from any other, `size` is in stored bytes."""

    tag: str
    size: int
    metadata: Mapping[str, str] = field(default_factory=dict)
    order: Order | None = None

    @property
    def newest(self) -> Order | None:
        """When its newest scan was journalled, as far as known."""
        return self.order or read_order(self.metadata)


class ObjectSink(Sink):
    """A sink over a blocking store, which a subclass provides; its methods run in worker threads, several at once.

    What the store's methods raise goes through `classify`.
    """

    options_type: ClassVar[type[Options]] = ObjectOptions
    effect = Effect(EffectClass.EXACT, "one object a scan, created only where there is none; per batch with {batch_id}")
    options: ObjectOptions

    def __init__(self, options: ObjectOptions, context: Context) -> None:
        super().__init__(options, context)
        if KeyTemplate.parse(options.key).per_record:
            self.identity = "record"
            self.effect = Effect(EffectClass.EXACT, "one object a scan, created only where there is none")
            self.limits = BatchLimits(max_records=100, max_bytes=16 * 2**20)
        else:
            self.identity = "batch"
            self.effect = Effect(EffectClass.EXACT_PER_BATCH, "one object a batch, created only where there is none")
            self.limits = BatchLimits(max_records=MAX_BATCH_RECORDS, max_bytes=MAX_BATCH_BYTES)
        self._limiter: anyio.CapacityLimiter | None = None

    @abstractmethod
    def create(self, key: str, item: Object) -> str | None:
        """Store `item.data` under `key` and return its tag once it is durable; None if the name is taken."""

    @abstractmethod
    def stat(self, key: str) -> Found | None:
        """What stands under `key`; None if nothing."""

    @abstractmethod
    def read(self, key: str, found: Found) -> bytes | None:
        """The stored bytes of `found`; None if it is gone or has changed."""

    @abstractmethod
    def replace(self, item: Object, found: Found) -> str | None:
        """Put `item` in place of `found`, durably, and return the new tag; None if it is gone or has changed."""

    @abstractmethod
    def location(self, key: str) -> Mapping[str, str]:
        """Where the object of that name lies: a `uri`, and its parts as the store calls them."""

    async def keep(self, key: str, record: Record) -> None:
        """Return once the record's raw body lies under `key`, whose name tells it from any other."""
        await to_thread.run_sync(self._keep, claim(key, record))

    async def preview_keep(self, key: str, record: Record) -> Sequence[Request]:
        """The requests of a first `keep`, as `preview`."""
        return await self.preview(_as_encoded(claim(key, record)))

    def usage_of_keep(self, key: str, record: Record) -> Usage:
        """What a `keep` is charged for, as `usage`."""
        return self.usage(_as_encoded(claim(key, record)))

    def _keep(self, item: Object) -> None:
        try:
            self._put(item)
        except SinkError:
            raise
        except Exception as error:
            known = self.classify(error)
            if known is None:
                raise
            raise known from error

    @abstractmethod
    def classify(self, error: Exception) -> SinkError | None:
        """The error in the framework's terms; None for what is no error of the store."""

    def confirm(self, key: str) -> None:
        """Make sure that an object found under its name is as durable as one just created."""

    def check_key(self, key: str) -> None:
        """Raise `Rejected` for a name that the store cannot take."""

    def partition(self, record: Record) -> str:
        if self._form.template.per_record:
            return ""
        name = self._form.key(record)
        self.check_key(name.replace("{batch_id}", "0" * MAX_BATCH_ID))
        return name

    @cached_property
    def _form(self) -> ObjectForm:
        return ObjectForm.thaw(self.shape())

    def shape(self) -> Mapping[str, Any]:
        given = self.options
        overwrites = given.on_conflict == "overwrite"
        zone = self.context.assume_timezone
        return freeze(given.key, given.form, given.codec, given.fields, zone, overwrites=overwrites)

    def encode(self, batch: Batch) -> Encoded:
        return ObjectForm.thaw(batch.shape or self.shape()).encode(batch, self.check_key)

    def usage(self, encoded: Encoded) -> Usage:
        """One request an object; a look at what stands under a taken name, and what follows from it, is not counted."""
        objects: Sequence[Object] = encoded.payload
        return Usage({"requests": len(objects), "bytes_sent": encoded.size}, {"stored_bytes": encoded.size})

    async def write(self, encoded: Encoded) -> str | None:
        objects: tuple[Object, ...] = encoded.payload
        outcomes = _Outcomes(workers=min(self.options.concurrency, len(objects)))
        if self._limiter is None:
            self._limiter = anyio.CapacityLimiter(self.options.concurrency)
        waiting = iter(objects)
        async with anyio.create_task_group() as group:
            for _ in range(outcomes.workers):
                group.start_soon(self._work, waiting, outcomes, self._limiter)
        return outcomes.conclude()

    async def _work(self, waiting: Iterator[Object], outcomes: "_Outcomes", limiter: anyio.CapacityLimiter) -> None:
        for item in waiting:
            if outcomes.stopped:
                outcomes.fail(item, outcomes.stopped)
                continue
            try:
                verb, tag = await to_thread.run_sync(self._put, item, limiter=limiter)
            except SinkError as error:
                outcomes.fail(item, error)
            except Exception as error:  # noqa: BLE001 - a bug in one object's way must not lose the others' acks
                known = self.classify(error)
                outcomes.fail(item, known or error)
            else:
                outcomes.ack(item, verb, tag)

    def _put(self, item: Object) -> tuple[str, str]:
        """Store one object by the rules; what became of it, and its tag."""
        tag = self.create(item.key, item)
        if tag is not None:
            return "created", tag
        found = self._look(item.key, item)
        if found is None:
            return "present", ""
        if self._equal(item.key, found, item):
            self.confirm(item.key)
            return "present", found.tag
        action = self.options.on_conflict
        if action == "keep" and item.per_record:
            return "kept as it was", found.tag
        if action == "version" and item.versioned_key != item.key:
            return self._put_version(item)
        if action == "overwrite":
            return self._overwrite(item, found)
        raise Conflict(f"{item.key} holds other content already")

    def _put_version(self, item: Object) -> tuple[str, str]:
        key = item.versioned_key
        tag = self.create(key, item)
        if tag is not None:
            return "created as a version", tag
        found = self._look(key, item)
        if found is None or self._equal(key, found, item):
            self.confirm(key)
            return "present", found.tag if found else ""
        raise Conflict(f"{item.key} and {key} hold other content already")

    def _overwrite(self, item: Object, found: Found) -> tuple[str, str]:
        newest = found.newest
        if newest is not None and newest > item.order:
            return "superseded", found.tag
        tag = self.replace(item, found)
        if tag is None:
            raise Transient(f"{item.key} was changed by another writer meanwhile", applied="no")
        return "overwritten", tag

    def _look(self, key: str, item: Object) -> Found | None:
        """What stands under a taken name; None if it cannot be looked at, and its name alone says that it is ours."""
        try:
            found = self.stat(key)
        except Exception as error:
            known = error if isinstance(error, SinkError) else self.classify(error)
            if not isinstance(known, Misconfigured):
                raise
            if item.named_by_content:
                return None
            raise Misconfigured(
                f"{key} exists and may not be read, so a repeat cannot be told from other content; allow reading, or put "
                f"{{sha256}} into the key: {known}"
            ) from error
        if found is None:
            raise Transient(f"{key} was taken and is gone again", applied="no")
        return found

    def _equal(self, key: str, found: Found, item: Object) -> bool:
        name = SHA256 if item.per_record else DIGEST
        if found.metadata.get(name) == item.metadata[name]:
            return True
        # The same value may stand there with other spacing, or longer; nothing of ours is many times as long.
        most = 8 * item.size + 2**20
        data = self.read(key, found) if found.size <= most else None
        if data is None:
            return False
        pair = (documents(stored, item.format, item.compression, most) for stored in (data, item.data))
        try:
            return all(
                theirs is not None and ours is not None and same_json(theirs, ours)
                for theirs, ours in zip_longest(*pair)
            )
        except (OSError, *DAMAGED):
            return False


def _as_encoded(item: Object) -> Encoded:
    return Encoded(Batch("", "", (), ""), (item,), size=len(item.data))


class _Outcomes:
    """What became of the objects of one write."""

    def __init__(self, workers: int) -> None:
        self.workers = workers
        self.stopped: SinkError | None = None
        self._acked: set[int] = set()
        self._errors: dict[int, SinkError] = {}
        self._bugs: list[Exception] = []
        self._verbs: dict[str, int] = {}
        self._tag = ""
        self._whole = False

    def ack(self, item: Object, verb: str, tag: str) -> None:
        self._acked.update(item.members)
        self._verbs[verb] = self._verbs.get(verb, 0) + 1
        self._tag = tag
        self._whole = not item.per_record

    def fail(self, item: Object, error: Exception) -> None:
        self._whole = not item.per_record
        if not isinstance(error, SinkError):
            self._bugs.append(error)
            return
        self._errors.update(dict.fromkeys(item.members, error))
        if isinstance(error, Misconfigured):
            self.stopped = error
        elif isinstance(error, Transient) and not self._acked and len(self._errors) >= self.workers > 1:
            # Every worker met a failing store: the rest would only wait for the same.
            self.stopped = self.stopped or Transient(
                f"not tried, the others failed: {error}", retry_after=error.retry_after, applied="no"
            )

    def conclude(self) -> str:
        answer = self._tag if self._whole else ", ".join(f"{n} {verb}" for verb, n in sorted(self._verbs.items()))
        if not self._errors and not self._bugs:
            return answer
        if not self._acked:
            if not self._errors:
                raise self._bugs[0]
            one = next(iter(self._errors.values())) if self._whole else one_for_all(self._errors.values())
            if one and not self._bugs:
                raise one
        raise PartialFailure(self._acked, self._errors, answer=answer)
