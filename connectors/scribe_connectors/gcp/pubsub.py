"""Scans announced as messages in Pub/Sub."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, ClassVar, Literal

import grpc
from anyio import to_thread
from pydantic import Field, field_validator, model_validator

from scribe_connectors.gcp._client import GcpOptions
from scribe_connectors.gcp._pubsub import GetTopicRequest, PublishRequest, PublishResponse, TopicName, pubsub_client
from scribe_connectors.gcp._rpc_errors import classify, code_of
from scribe_connectors.gcp.pubsub_source import PubsubSource, PubsubSourceOptions
from scribe_export.errors import InvalidScan, PartialFailure, Rejected, SinkError, Transient
from scribe_export.fields import Selection
from scribe_export.interface import Context, Sink
from scribe_export.model import Batch, BatchLimits, Effect, EffectClass, Encoded, Record, Request, Usage
from scribe_export.options import FieldsOptions, Options, SinkOptions, Size
from scribe_export.parts import Limits, Part, Requests, divided
from scribe_export.text_template import Text, TextTemplate

__all__ = ["PubsubSink", "PubsubSinkOptions", "PubsubSource", "PubsubSourceOptions"]

# https://cloud.google.com/pubsub/quotas#resource_limits (seen 2026-11-24)
MAX_REQUEST_BYTES = 10_000_000
MAX_MESSAGES = 1000
MAX_ATTRIBUTES = 100
MAX_ATTRIBUTE_KEY = 256
MAX_ATTRIBUTE_VALUE = 1024
MAX_ORDERING_KEY = 1024
# https://cloud.google.com/pubsub/pricing (seen 2026-11-25); ids have 16 or 17 digits
LEAST_CHARGED = 1000  # a request, whatever its messages have
CHARGED_TIMESTAMP = 20
CHARGED_ID = 16

_ROOM = 9_500_000
_TOPIC = 512  # bytes of a request that are not its messages: the topic's name, at the longest
_FRAME = 5  # bytes before each message in a request


class PubsubSinkOptions(GcpOptions, SinkOptions):
    """A topic to publish to."""

    topic: TopicName
    """Its name, such as scans, or whole: projects/PROJECT/topics/NAME."""
    ordering_key: Text | None = None
    """Scans with the same text, such as {material}, are published in order, and the key's next request waits while one
    is being repeated."""
    attributes: dict[str, Text] = Field(
        default={"scan_id": "{scan_id}", "sha256": "{sha256}"}, max_length=MAX_ATTRIBUTES
    )
    """Attributes made of a scan's fields, for filters and to tell a repeat; yours replace the default ones."""
    compression: Literal["gzip"] | None = None
    """How requests are compressed on their way; subscribers see nothing of it."""
    max_message_bytes: Size = Field(default=_ROOM, ge=1024, le=MAX_REQUEST_BYTES)
    """A larger message, with its attributes, is refused, or becomes what `oversize` says."""
    max_request_bytes: Size = Field(default=_ROOM, ge=2048, le=MAX_REQUEST_BYTES)
    """All messages of one request together."""
    concurrency: int = Field(default=4, ge=1, le=256)
    """Requests being made at once."""

    @field_validator("attributes")
    @classmethod
    def _check_attributes(cls, value: dict[str, str]) -> dict[str, str]:
        for name in value:
            if not 0 < len(name.encode()) <= MAX_ATTRIBUTE_KEY or name.startswith("goog"):
                raise ValueError(f"{name!r:.80} is no attribute's name: 1 to 256 bytes, and not beginning with goog")
        return value

    @model_validator(mode="after")
    def _check(self) -> "PubsubSinkOptions":
        if self.max_message_bytes > self.max_request_bytes:
            raise ValueError("max_message_bytes must not be above max_request_bytes")
        return self


class PubsubSink(Sink):
    """Publishes a batch in as few requests as it fits, without a future for each message.

    With an ordering key a batch holds one key's scans, its requests go one after the other, and none goes on while an
    earlier one of the key is unconfirmed; other keys do. The service knows no repeats, so a lost answer doubles messages:
    subscribers tell them by the attribute sha256. https://cloud.google.com/pubsub/docs/publisher

    Needs pubsub.topics.publish.
    """

    options_type: ClassVar[type[Options]] = PubsubSinkOptions
    effect = Effect(EffectClass.AT_LEAST_ONCE, "the service takes every repeat as a new message")
    options: PubsubSinkOptions

    def __init__(self, options: PubsubSinkOptions, context: Context) -> None:
        super().__init__(options, context)
        self.ordered = options.ordering_key is not None
        bare = not (options.attributes or options.fields or options.ordering_key)
        largest = _most(options) - 2 * _FRAME
        self.limits = BatchLimits(
            max_records=MAX_MESSAGES,
            max_bytes=max(largest - _most_added(options), 1024),
            max_record_bytes=largest if bare else None,
        )
        self._client = pubsub_client(options, "topic", options.topic, folder=context.folder)
        self._closed = False
        self._compression = grpc.Compression.Gzip if options.compression else None
        self._requests = Requests(self._send, classify=self._classify, concurrency=options.concurrency)

    async def open(self) -> None:
        self._closed = False
        try:
            await to_thread.run_sync(self._look)
        except Exception as error:
            known = self._classify(error)
            if known is None:
                raise
            raise known from error

    def _look(self) -> None:
        """Find a missing topic early; the right to look at it is not needed."""
        topic = self._client.get()
        try:
            topic.look(GetTopicRequest(topic=topic.name), timeout=self.options.timeout, metadata=topic.routing)
        except grpc.RpcError as error:
            if error.code() is not grpc.StatusCode.PERMISSION_DENIED:
                raise

    async def close(self) -> None:
        self._closed = True
        await to_thread.run_sync(self._client.close)

    def partition(self, record: Record) -> str:
        return _ordering_key(self.options.ordering_key, record) if self.options.ordering_key else ""

    def shape(self) -> Mapping[str, Any]:
        options = self.options
        return {
            "ordering_key": options.ordering_key,
            "attributes": options.attributes,
            "fields": None if options.fields is None else options.fields.model_dump(mode="json"),
        }

    def encode(self, batch: Batch) -> Encoded:
        shape = batch.shape or self.shape()
        selection = Selection(FieldsOptions.model_validate(shape["fields"])) if shape["fields"] else None
        templates = {name: TextTemplate.parse(text) for name, text in shape["attributes"].items()}
        refused: dict[int, Rejected] = {}
        messages: dict[int, dict[str, Any]] = {}
        keys: dict[str, dict[int, int]] = {}
        charged: dict[int, int] = {}
        most = _most(self.options)
        for index, record in enumerate(batch.records):
            try:
                body = selection.apply(record.body) if selection else record.body
                key = _ordering_key(shape["ordering_key"], record) if shape["ordering_key"] else ""
                attributes = {name: _attribute(name, text.render(record)) for name, text in templates.items()}
                size = _size(body, attributes, key)
                _check_size(size, most)
            except Rejected as error:
                refused[index] = error
            except InvalidScan as error:
                refused[index] = Rejected(str(error), kind="invalid")
            else:
                messages[index] = {"data": body, "attributes": attributes, "ordering_key": key}
                keys.setdefault(key, {})[index] = size
                charged[index] = _charged(size, len(attributes), key)
        limits = Limits(MAX_MESSAGES, self.options.max_request_bytes - _TOPIC)
        # One request has one ordering key: https://cloud.google.com/pubsub/docs/ordering
        parts = [
            Part(members, _request(messages, members), sum([charged[index] for index in members]))
            for sizes in keys.values()
            for members in divided(sizes, limits)
        ]
        return Encoded(batch, parts, refused, sum(size for sizes in keys.values() for size in sizes.values()))

    async def write(self, encoded: Encoded) -> str | None:
        parts: Sequence[Part] = encoded.payload
        if len(parts) == 1:
            await self._write_one(parts[0])
        elif (encoded.batch.shape or self.shape())["ordering_key"]:
            await self._write_in_order(parts)
        else:
            await self._write_side_by_side(parts)
        return f"{len(encoded.batch.records)} messages"

    def usage(self, encoded: Encoded) -> Usage:
        parts: Sequence[Part] = encoded.payload
        published = sum([max(LEAST_CHARGED, part.size) for part in parts])
        return Usage({"requests": len(parts), "bytes_sent": encoded.size, "gcp_pubsub.published_bytes": published})

    async def preview(self, encoded: Encoded) -> Sequence[Request]:
        offline = PubsubSink(self.options, self.context)
        rehearsal = offline._client.rehearse(lambda _, request: _all_taken(request))
        for part in encoded.payload:
            await offline._requests.write([part])
        await offline.close()
        return [
            replace(request, records=part.members)
            for request, part in zip(rehearsal.requests, encoded.payload, strict=True)
        ]

    async def _write_one(self, part: Part) -> None:
        """Raise `Rejected` if one of the messages, nobody knows which, cannot be accepted: the lane then divides."""
        try:
            await self._requests.write([part])
        except PartialFailure as failure:
            raise next(iter(failure.errors.values())) from failure

    async def _write_in_order(self, parts: Sequence[Part]) -> None:
        acked: list[int] = []
        for number, part in enumerate(parts):
            try:
                await self._write_one(part)
            except SinkError as error:
                if not acked:
                    raise  # the rest was not sent either
                after = Transient(f"waits for an earlier one of its ordering key: {error}", applied="no")
                errors = dict.fromkeys(part.members, _of_each(error, part))
                errors |= {index: after for later in parts[number + 1 :] for index in later.members}
                raise PartialFailure(acked, errors) from error
            acked += part.members

    async def _write_side_by_side(self, parts: Sequence[Part]) -> None:
        try:
            await self._requests.write(parts)
        except PartialFailure as failure:
            errors = {
                index: _of_each(failure.errors[index], part)
                for part in parts
                for index in part.members
                if index in failure.errors
            }
            raise PartialFailure(failure.acked, errors) from failure

    def _send(self, part: Part) -> Mapping[int, SinkError]:
        pubsub = self._client.get()
        request = part.payload
        request.topic = pubsub.name
        try:
            answer = pubsub.publish(
                request, timeout=self.options.timeout, metadata=pubsub.routing, compression=self._compression
            )
        except grpc.RpcError as error:
            if code_of(error) is grpc.StatusCode.INVALID_ARGUMENT:
                # Such as a message that does not fit the topic's schema: nothing of the request was taken.
                raise Rejected(str(self._classify(error))) from error
            raise
        if len(answer.message_ids) != len(part.members):
            raise Transient(f"the answer names {len(answer.message_ids)} of {len(part.members)} messages")
        return {}

    def _classify(self, error: Exception) -> SinkError | None:
        self._client.failed(error)
        known = classify(error)
        # A call on a channel that is closed raises what bugs raise.
        return Transient(f"closed meanwhile: {error}") if known is None and self._closed else known


def _of_each(error: SinkError, part: Part) -> SinkError:
    """A request's error, of each of its messages: if it was refused for one of several, the others may pass."""
    if isinstance(error, Rejected) and len(part.members) > 1:
        return Transient(f"one of {len(part.members)} messages was refused: {error}", applied="no")
    return error


def _most(options: PubsubSinkOptions) -> int:
    """Bytes of the largest message that fits a request."""
    return min(options.max_message_bytes, options.max_request_bytes - _TOPIC)


def _most_added(options: PubsubSinkOptions) -> int:
    """Bytes that a scan's attributes and ordering key may take."""
    names = [len(name.encode()) + MAX_ATTRIBUTE_VALUE + 3 * _FRAME for name in options.attributes]
    return sum(names) + (MAX_ORDERING_KEY + _FRAME if options.ordering_key else 0)


def _request(messages: Mapping[int, dict[str, Any]], members: Sequence[int]) -> Any:
    request = PublishRequest()
    add = request.messages.add
    for index in members:
        add(**messages[index])
    return request


def _size(body: bytes, attributes: Mapping[str, str], key: str) -> int:
    """Bytes of a message in a request, as protobuf writes it, or a few more."""
    size = len(body) + _FRAME + _FRAME
    for name, value in attributes.items():
        size += len(name.encode()) + len(value.encode()) + 3 * _FRAME
    return size + (len(key.encode()) + _FRAME if key else 0)


def _charged(size: int, attributes: int, key: str) -> int:
    """Bytes of a message on the bill: body, attributes and ordering key, a timestamp and the id that it gets."""
    frames = 2 + 3 * attributes + bool(key)
    return size - frames * _FRAME + CHARGED_TIMESTAMP + CHARGED_ID


def _check_size(size: int, most: int) -> None:
    if size > most:
        message = f"a message of {size} bytes with its attributes, and max_message_bytes is {most}"
        raise Rejected(message, kind="too_large")


def _ordering_key(template: str, record: Record) -> str:
    key = TextTemplate.parse(template).render(record)
    if len(key.encode()) > MAX_ORDERING_KEY:
        raise Rejected(f"the ordering key is longer than {MAX_ORDERING_KEY} bytes: {key:.80}…")
    return key


def _attribute(name: str, value: str) -> str:
    if len(value.encode()) > MAX_ATTRIBUTE_VALUE:
        raise Rejected(f"attribute {name} is longer than {MAX_ATTRIBUTE_VALUE} bytes: {value:.80}…")
    return value


def _all_taken(request: Any) -> Any:
    return PublishResponse(message_ids=[str(number) for number in range(len(request.messages))])
