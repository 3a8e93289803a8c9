"""Scans announced as messages in SQS."""

import hashlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, ClassVar

import msgspec
from anyio import to_thread
from pydantic import Field, model_validator

from scribe_connectors.aws._errors import classify, of_entry
from scribe_connectors.aws._queue import MAX_ENTRIES, Queue, QueueOptions
from scribe_connectors.aws._rehearsal import Answer
from scribe_connectors.aws.sqs_source import SqsSource, SqsSourceOptions
from scribe_export.errors import InvalidScan, Misconfigured, Rejected, SinkError, Transient
from scribe_export.fields import Selection
from scribe_export.interface import Context, Sink
from scribe_export.keys import path_safe
from scribe_export.model import Batch, BatchLimits, Effect, EffectClass, Encoded, Record, Request, Usage
from scribe_export.options import Duration, FieldsOptions, Options, SinkOptions, Size
from scribe_export.parts import Limits, Part, Requests, divided
from scribe_export.text_template import Text, TextTemplate

__all__ = ["SqsSink", "SqsSinkOptions", "SqsSource", "SqsSourceOptions"]

# https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/quotas-messages.html (seen 2026-11-23)
MAX_BYTES = 2**20  # of a message with its attributes, and of all messages of a request
MAX_ATTRIBUTES = 10
MAX_DELAY = 900
MAX_GROUP = 128

# https://aws.amazon.com/sqs/pricing/ (seen 2026-11-25): each of a request's payload is charged as a request
CHUNK = 64 * 1024

_RECORDS = 100  # a lane's batch is several requests, sent side by side
_ATTRIBUTE = re.compile(r"(?!(?i:aws\.|amazon\.))[A-Za-z0-9_-]+(\.[A-Za-z0-9_-]+)*")
_GROUP = re.compile(r"[!-~]{1,128}")
# https://docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference/API_SendMessage.html: JSON has no other character
# outside of what a message may hold that is not escaped already
_FORBIDDEN = {0xFFFE: "\\ufffe", 0xFFFF: "\\uffff"}
_REFUSED = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


class SqsSinkOptions(QueueOptions, SinkOptions):
    """A queue to send to."""

    ordering_key: Text | None = None
    """FIFO queues: scans with the same text, such as {material}, are a message group and arrive in order."""
    message_group: Text | None = None
    """Standard queues: the tenant of a fair queue, such as {source}."""
    attributes: dict[str, Text] = Field(default_factory=dict, max_length=MAX_ATTRIBUTES)
    """Message attributes of type String, made of a scan's fields."""
    delay: Duration = Field(default=0.0, ge=0, le=MAX_DELAY)
    """How long a message stays hidden; FIFO queues take a delay only for the whole queue."""
    max_message_bytes: Size = Field(default=MAX_BYTES, ge=1024)
    """A larger message is refused, or becomes what `oversize` says."""
    max_request_bytes: Size = Field(default=MAX_BYTES, ge=1024)
    """All messages of one request together."""
    concurrency: int = Field(default=8, ge=1, le=256)
    """Requests of up to ten messages being made at once."""

    @model_validator(mode="after")
    def _check(self) -> "SqsSinkOptions":
        if self.ordering_key is not None and not self.fifo:
            raise ValueError(
                "ordering_key needs a FIFO queue, whose URL ends in .fifo; see message_group for fair queues"
            )
        if self.message_group is not None and self.fifo:
            raise ValueError("message_group is for standard queues; a FIFO queue has ordering_key")
        if self.delay and self.fifo:
            raise ValueError("a FIFO queue takes no delay for single messages; set DelaySeconds on the queue")
        if self.max_message_bytes > self.max_request_bytes:
            raise ValueError("max_message_bytes must not be above max_request_bytes")
        for name in self.attributes:
            if not _ATTRIBUTE.fullmatch(name) or len(name) > 256:
                raise ValueError(
                    f"{name!r} is no name of an attribute: letters, digits, _, - and single dots, not AWS.*"
                )
        return self


class SqsSink(Sink):
    """Sends SendMessageBatch requests; of a request that fails in part, only what failed is sent again.

    A FIFO queue drops repeats of the same scan for five minutes, by a deduplication id made of the scan's id and content.
    https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/FIFO-queues-exactly-once-processing.html

    Needs sqs:SendMessage, and kms:GenerateDataKey and kms:Decrypt for an encrypted queue.
    """

    options_type: ClassVar[type[Options]] = SqsSinkOptions
    effect = Effect(EffectClass.WINDOWED, "FIFO queues drop repeats for five minutes; standard queues take them")
    options: SqsSinkOptions

    def __init__(self, options: SqsSinkOptions, context: Context) -> None:
        super().__init__(options, context)
        if options.fifo:
            self.effect = Effect(EffectClass.WINDOWED, "the deduplication id, for five minutes")
        else:
            self.effect = Effect(EffectClass.AT_LEAST_ONCE, "a standard queue takes every repeat as a new message")
        self.ordered = options.ordering_key is not None
        self.limits = BatchLimits(
            max_records=_RECORDS,
            max_bytes=8 * MAX_BYTES,
            max_record_bytes=None if options.attributes or options.fields else options.max_message_bytes,
        )
        self._queue = Queue(options, folder=context.folder, timeout=options.timeout, connections=options.concurrency)
        self._requests = Requests(
            self._send, classify=self._classify, concurrency=options.concurrency, in_order=self.ordered
        )

    async def open(self) -> None:
        await to_thread.run_sync(self._open)

    def _open(self) -> None:
        """Find a missing queue or wrong credentials early; the right to look at the queue is not needed."""
        try:
            self._queue.sqs.get_queue_attributes(QueueUrl=self._queue.url, AttributeNames=["QueueArn"])
        except Exception as error:
            known = self._classify(error)
            if known is None:
                raise
            if isinstance(known, Misconfigured) and _is_denial(error):
                return
            raise known from error

    async def close(self) -> None:
        await to_thread.run_sync(self._queue.client.close)

    def partition(self, record: Record) -> str:
        return group_id(self.options.ordering_key, record) if self.options.ordering_key else ""

    def shape(self) -> Mapping[str, Any]:
        options = self.options
        return {
            "fifo": options.fifo,
            "group": options.ordering_key if options.fifo else options.message_group,
            "attributes": options.attributes,
            "delay": round(options.delay),
            "fields": None if options.fields is None else options.fields.model_dump(mode="json"),
        }

    def encode(self, batch: Batch) -> Encoded:
        shape = batch.shape or self.shape()
        selection = Selection(FieldsOptions.model_validate(shape["fields"])) if shape["fields"] else None
        refused: dict[int, Rejected] = {}
        entries: dict[int, dict[str, Any]] = {}
        sizes: dict[int, int] = {}
        for index, record in enumerate(batch.records):
            try:
                body = selection.apply(record.body) if selection else record.body
                entries[index], sizes[index] = _entry(index, record, body, shape)
                _check_size(sizes[index], self.options.max_message_bytes)
            except Rejected as error:
                refused[index] = error
            except (InvalidScan, UnicodeError) as error:
                refused[index] = Rejected(str(error), kind="invalid")
        accepted = {index: size for index, size in sizes.items() if index not in refused}
        limits = Limits(MAX_ENTRIES, self.options.max_request_bytes)
        parts = [
            Part(members, [entries[i] for i in members], sum([accepted[i] for i in members]))
            for members in divided(accepted, limits)
        ]
        return Encoded(batch, parts, refused, sum(accepted.values()))

    async def write(self, encoded: Encoded) -> str | None:
        await self._requests.write(encoded.payload)
        return f"{len(encoded.batch.records)} messages"

    def usage(self, encoded: Encoded) -> Usage:
        parts: Sequence[Part] = encoded.payload
        shape = encoded.batch.shape or self.shape()
        kind = "fifo" if shape["fifo"] else "fair" if shape["group"] else "standard"
        charged = sum([max(1, -(-part.size // CHUNK)) for part in parts])
        return Usage({"requests": len(parts), "bytes_sent": encoded.size, f"aws_sqs.{kind}_requests": charged})

    async def preview(self, encoded: Encoded) -> Sequence[Request]:
        offline = SqsSink(self.options, self.context)
        rehearsal = offline._queue.client.rehearse(_all_taken)
        await offline.write(encoded)
        await offline.close()
        requests = [replace(request, records=tuple(map(int, _ids(request)))) for request in rehearsal.requests]
        return sorted(requests, key=lambda request: request.records[0])

    def _send(self, part: Part) -> Mapping[int, SinkError]:
        answer = self._queue.sqs.send_message_batch(QueueUrl=self._queue.url, Entries=part.payload)
        taken = {int(one["Id"]) for one in answer.get("Successful", ())}
        errors: dict[int, SinkError] = {
            int(one["Id"]): of_entry(one["Code"], one.get("Message", ""), sender_fault=one.get("SenderFault", False))
            for one in answer.get("Failed", ())
        }
        silent = [index for index in part.members if index not in taken and index not in errors]
        return errors | dict.fromkeys(silent, Transient("the answer says nothing of this message"))

    def _classify(self, error: Exception) -> SinkError | None:
        self._queue.client.failed(error)
        return classify(error)


def group_id(template: str, record: Record) -> str:
    """A message group's id: at most 128 printable characters of ASCII, so other text is escaped, and hashed if longer."""
    text = TextTemplate.parse(template).render(record)
    if _GROUP.fullmatch(text):
        return text
    safe = path_safe(text)
    return safe if len(safe) <= MAX_GROUP else hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


def _entry(index: int, record: Record, body: bytes, shape: Mapping[str, Any]) -> tuple[dict[str, Any], int]:
    """One message of a request, and how many bytes of the quota it takes."""
    text = body.decode().translate(_FORBIDDEN) if not body.isascii() else body.decode("ascii")
    entry: dict[str, Any] = {"Id": str(index), "MessageBody": text}
    size = len(body) if len(text) == len(body) else len(text.encode())
    if shape["attributes"]:
        values = {name: _attribute(name, template, record) for name, template in shape["attributes"].items()}
        entry["MessageAttributes"] = {
            name: {"DataType": "String", "StringValue": value} for name, value in values.items()
        }
        size += sum(len(name) + len("String") + len(value.encode()) for name, value in values.items())
    if shape["delay"]:
        entry["DelaySeconds"] = shape["delay"]
    if shape["group"]:
        entry["MessageGroupId"] = group_id(shape["group"], record)
    if shape["fifo"]:
        entry.setdefault("MessageGroupId", group_id("{scan_id}", record))
        entry["MessageDeduplicationId"] = hashlib.sha256(record.ident.encode()).hexdigest()
    return entry, size


def _check_size(size: int, most: int) -> None:
    if size > most:
        message = f"a message of {size} bytes with its attributes, and max_message_bytes is {most}"
        raise Rejected(message, kind="too_large")


def _attribute(name: str, template: str, record: Record) -> str:
    value = TextTemplate.parse(template).render(record)
    if not value or _REFUSED.search(value):
        raise Rejected(f"attribute {name}: {value!r:.80} is empty or holds a character that SQS refuses")
    return value


def _is_denial(error: Exception) -> bool:
    # Whoever may send need not have the right to look; wrong credentials are another matter.
    return getattr(error, "response", {}).get("Error", {}).get("Code", "") in {"AccessDenied", "AccessDeniedException"}


def _ids(request: Request) -> list[str]:
    return [str(entry["Id"]) for entry in msgspec.json.decode(request.body)["Entries"]]


def _all_taken(request: Request) -> Answer:
    return Answer(msgspec.json.encode({"Successful": [{"Id": one, "MessageId": one} for one in _ids(request)]}))
