"""Scans as messages in RabbitMQ."""

import hashlib
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Literal

from aiormq import Channel
from pamqp.commands import Basic
from pydantic import Field, model_validator

from scribe_connectors.rabbitmq._connection import Broker
from scribe_connectors.rabbitmq._options import GUIDE_EXCHANGE, QueueDeclaration, RabbitMqOptions
from scribe_connectors.rabbitmq._preview import request_of
from scribe_connectors.rabbitmq._publishing import MAX_SHORT, Message, Publisher, concluded, no_queue
from scribe_export.errors import InvalidScan, Rejected, SinkError
from scribe_export.fields import Selection
from scribe_export.interface import Context, Sink
from scribe_export.model import Batch, BatchLimits, Effect, EffectClass, Encoded, Record, Request, Usage
from scribe_export.options import FieldsOptions, Options, SinkOptions, Size
from scribe_export.text_template import Text, TextTemplate

# https://www.rabbitmq.com/docs/limits, max_message_size of RabbitMQ 4 (seen 2026-11-24); before, it was 128 MiB
MAX_MESSAGE = 16 * 2**20
# https://www.rabbitmq.com/docs/configure, frame_max (seen 2026-11-24): headers have to fit one frame of 128 KiB
MAX_HEADERS = 100 * 2**10

_RECORDS = 500
_PERSISTENT = 2
_NAME = Field(default=None, min_length=1, max_length=MAX_SHORT)


class RabbitMqSinkOptions(RabbitMqOptions, QueueDeclaration, SinkOptions):
    """A queue or an exchange to publish to."""

    queue: str | None = _NAME
    """The queue, through the default exchange."""
    exchange: str | None = _NAME
    """In place of a queue: the exchange."""
    routing_key: Text = ""
    """With an exchange: text made of a scan's fields, such as scans.{material}."""
    declare: Literal["none", "classic", "quorum", "fanout", "direct", "topic"] = "none"
    """What is made if it is missing: a durable queue of that type, or an exchange of that kind, durable but for the
    guide's scribe.events. With none it has to be there."""
    attributes: dict[str, Text] = Field(default={"scan_id": "{scan_id}", "sha256": "{sha256}"})
    """Message headers made of a scan's fields; yours replace the default ones."""
    event_type: str | None = Field(default=None, pattern=r"^[A-Za-z0-9_.-]{1,64}$")
    """Send each scan as an event of the guide's form: event_type, the scan as data, and a timestamp in seconds."""
    unroutable: Literal["hold", "dead_letter"] = "hold"
    """When no queue takes a message: hold the destination until one does, or make that scan a dead letter."""
    max_message_bytes: Size = Field(default=MAX_MESSAGE, ge=1024)
    """A larger scan is refused, or becomes what `oversize` says; the broker's own limit is max_message_size."""

    @model_validator(mode="after")
    def _check(self) -> "RabbitMqSinkOptions":
        if (self.queue is None) == (self.exchange is None):
            raise ValueError("needs either queue or exchange")
        if self.queue is not None and self.routing_key:
            raise ValueError("a queue takes no routing_key: it goes with an exchange")
        if self.declare != "none" and (self.declare in {"classic", "quorum"}) != (self.queue is not None):
            raise ValueError("declare: classic or quorum is for a queue; fanout, direct or topic for an exchange")
        if self.exchange == GUIDE_EXCHANGE and self.declare not in {"none", "fanout"}:
            raise ValueError(f"the guide's programs declare {GUIDE_EXCHANGE} as fanout and fail where it is another")
        for name in self.attributes:
            if not 0 < len(name.encode()) <= MAX_SHORT:
                raise ValueError(f"{name!r:.80} is no header's name: 1 to {MAX_SHORT} bytes")
        return self


class RabbitMqSink(Sink):
    """Publishes persistent messages, mandatory, and returns when the broker has confirmed every one of them.

    The broker knows no repeats, so a lost confirm doubles messages: consumers tell them by message_id, made of the scan's
    id and content. https://www.rabbitmq.com/docs/confirms

    Needs the right to write to the exchange (for a queue: to amq.default), and to configure what is declared.
    """

    options_type: ClassVar[type[Options]] = RabbitMqSinkOptions
    effect = Effect(EffectClass.AT_LEAST_ONCE, "the broker takes every repeat as a new message")
    options: RabbitMqSinkOptions

    def __init__(self, options: RabbitMqSinkOptions, context: Context) -> None:
        super().__init__(options, context)
        self.limits = BatchLimits(
            max_records=_RECORDS,
            max_bytes=max(options.max_message_bytes, 8 * 2**20),
            max_record_bytes=None if options.fields or options.event_type else options.max_message_bytes,
        )
        broker = Broker(
            options,
            folder=context.folder,
            name=f"scribe-export {context.pipeline} {context.name}",
            timeout=options.timeout,
            prepare=self._prepare,
        )
        self._publisher = Publisher(broker, timeout=options.timeout)

    async def open(self) -> None:
        await self._publisher.open()

    async def close(self) -> None:
        await self._publisher.close()

    def shape(self) -> Mapping[str, Any]:
        options = self.options
        return {
            "routing_key": options.routing_key,
            "attributes": options.attributes,
            "event_type": options.event_type,
            "fields": None if options.fields is None else options.fields.model_dump(mode="json"),
        }

    def encode(self, batch: Batch) -> Encoded:
        shape = batch.shape or self.shape()
        selection = Selection(FieldsOptions.model_validate(shape["fields"])) if shape["fields"] else None
        templates = {name: TextTemplate.parse(text) for name, text in shape["attributes"].items()}
        key = None if self.options.queue else TextTemplate.parse(shape["routing_key"])
        refused: dict[int, Rejected] = {}
        messages: dict[int, Message] = {}
        for index, record in enumerate(batch.records):
            try:
                body = selection.apply(record.body) if selection else record.body
                if shape["event_type"]:
                    body = _event(shape["event_type"], body, record)
                _check_size(len(body), self.options.max_message_bytes)
                messages[index] = Message(
                    self.options.exchange or "",
                    _routing_key(key, record) if key else str(self.options.queue),
                    body,
                    _properties(record, templates),
                    name=record.seq,
                )
            except Rejected as error:
                refused[index] = error
            except (InvalidScan, UnicodeError) as error:
                refused[index] = Rejected(str(error), kind="invalid")
        return Encoded(batch, messages, refused, sum(len(message.body) for message in messages.values()))

    async def write(self, encoded: Encoded) -> str | None:
        messages: Mapping[int, Message] = encoded.payload
        failed = await self._publisher.publish(list(messages.values()))
        if failed:
            raise concluded(list(messages), failed, self._unroutable)
        return f"{len(messages)} messages"

    def usage(self, encoded: Encoded) -> Usage:
        """A message is one request."""
        return Usage({"requests": len(encoded.payload), "bytes_sent": encoded.size})

    async def preview(self, encoded: Encoded) -> Sequence[Request]:
        return [request_of(self.options.url, message, index) for index, message in encoded.payload.items()]

    async def _prepare(self, channel: Channel) -> None:
        options = self.options
        if options.queue is not None:
            await options.declare_queue(channel, options.queue, options.declare)
        elif options.exchange is not None:
            await channel.exchange_declare(
                options.exchange,
                exchange_type=options.declare,
                passive=options.declare == "none",
                durable=options.exchange != GUIDE_EXCHANGE,
            )

    def _unroutable(self, error: Exception) -> SinkError:
        if self.options.unroutable == "hold":
            return no_queue(error)
        return Rejected(f"no queue takes it: {error}", kind="unroutable")


def _event(kind: str, body: bytes, record: Record) -> bytes:
    return b'{"event_type":"%s","data":%s,"timestamp":%.3f}' % (kind.encode(), body, record.timestamp.timestamp())


def _check_size(size: int, most: int) -> None:
    if size > most:
        raise Rejected(f"a message of {size} bytes, and max_message_bytes is {most}", kind="too_large")


def _routing_key(template: TextTemplate, record: Record) -> str:
    key = template.render(record)
    if len(key.encode()) > MAX_SHORT:
        raise Rejected(f"the routing key is longer than {MAX_SHORT} bytes: {key:.80}…")
    return key


def _properties(record: Record, templates: Mapping[str, TextTemplate]) -> Basic.Properties:
    headers: dict[str, Any] = {name: template.render(record) for name, template in templates.items()}
    if sum(len(name.encode()) + len(value.encode()) for name, value in headers.items()) > MAX_HEADERS:
        raise Rejected(f"its headers are longer than {MAX_HEADERS} bytes together")
    return Basic.Properties(
        content_type="application/json",
        delivery_mode=_PERSISTENT,
        headers=headers,
        message_id=_message_id(record),
    )


def _message_id(record: Record) -> str:
    """The scan's id and content; their digest where the id is too long for a short string."""
    text = f"{record.scan_id}/{record.sha256}"
    return text if len(text.encode()) <= MAX_SHORT else hashlib.sha256(record.ident.encode()).hexdigest()
