"""Scans, or requests for scans, received as messages from RabbitMQ."""

import asyncio
import uuid
from collections.abc import AsyncIterator, Sequence
from contextlib import suppress
from typing import ClassVar, Literal

import anyio
import msgspec
from aiormq import Channel
from aiormq.abc import DeliveredMessage
from pamqp.commands import Basic
from pydantic import Field, model_validator

from scribe_connectors.rabbitmq._connection import Broker
from scribe_connectors.rabbitmq._errors import translated
from scribe_connectors.rabbitmq._inbox import Inbox, tag_of
from scribe_connectors.rabbitmq._options import Declare, QueueDeclaration, RabbitMqOptions
from scribe_connectors.rabbitmq._publishing import MAX_SHORT, Message, Publisher, concluded
from scribe_export.errors import Rejected
from scribe_export.interface import Checkpoint, Context, Source
from scribe_export.model import Answer, Delivery, Incoming, Reply
from scribe_export.options import Duration, Options, QueueSourceOptions

_object = msgspec.json.Decoder(dict[str, msgspec.Raw])
_IDLE = 0.2
_CLOSING = 5.0
_PERSISTENT = 2


class ReplyOptions(QueueDeclaration):
    """Where replies go."""

    queue: str | None = Field(default=None, min_length=1, max_length=MAX_SHORT)
    """The queue for all replies."""
    to: Literal["sender"] | None = None
    """In place of a queue: the queue that each message names as reply_to, with its correlation_id."""
    declare: Declare = "none"
    """The type of queue that is made if it is missing; with none it has to be there."""

    @model_validator(mode="after")
    def _check(self) -> "ReplyOptions":
        if (self.queue is None) == (self.to is None):
            raise ValueError("needs either queue or to: sender")
        if self.queue is None and self.declare != "none":
            raise ValueError("declare makes a queue of replies; that of a sender is the sender's own")
        return self


class RabbitMqSourceOptions(RabbitMqOptions, QueueDeclaration, QueueSourceOptions):
    """A queue to receive from."""

    queue: str = Field(min_length=1, max_length=MAX_SHORT)
    """Its name."""
    declare: Declare = "none"
    """The type of queue that is made, durable, if it is missing; with none it has to be there."""
    scan_field: str | None = Field(default=None, min_length=1)
    """The part of each message that is the scan, such as result in the guide's results; the whole message if left out."""
    reply: ReplyOptions | None = None
    """With `delivers: requests`: how requesters are answered; not at all if left out."""
    max_unacked: int = Field(default=200, ge=1, le=65_535)
    """Messages received and not yet journalled, at most: the consumer's prefetch."""
    max_records: int = Field(default=100, ge=1, le=10_000)
    """Messages that are journalled together, at most."""
    timeout: Duration = Field(default=30.0, gt=0)
    """Seconds before one call is given up."""

    @model_validator(mode="after")
    def _check(self) -> "RabbitMqSourceOptions":
        if self.reply is not None and self.delivers != "requests":
            raise ValueError("reply answers requests: it needs delivers: requests")
        if self.scan_field is not None and self.delivers == "requests":
            raise ValueError("scan_field names the scan in a message, and these bring requests")
        return self


class RabbitMqSource(Source):
    """Takes each message's body and acknowledges the message once that is journalled, as many at once as came in order.

    What is not journalled when the channel closes, the broker delivers again. Heartbeats are sent by a task of their own,
    however long a journal that is full keeps messages unacknowledged.

    Needs the right to read the queue, to configure what is declared, and to write to amq.default for replies.
    https://www.rabbitmq.com/docs/consumers
    """

    options_type: ClassVar[type[Options]] = RabbitMqSourceOptions
    options: RabbitMqSourceOptions

    def __init__(self, options: RabbitMqSourceOptions, context: Context) -> None:
        super().__init__(options, context)
        self._broker = Broker(
            options,
            folder=context.folder,
            name=f"scribe-export {context.pipeline} {context.name}",
            timeout=options.timeout,
            prepare=self._prepare,
        )
        self._publisher = Publisher(self._broker, timeout=options.timeout)

    async def open(self) -> None:
        await self._broker.open()

    async def close(self) -> None:
        await self._publisher.close()

    async def deliveries(self, checkpoint: Checkpoint) -> AsyncIterator[Delivery]:  # noqa: ARG002 - the queue remembers
        channel = await self._broker.channel(confirms=False)
        inbox = Inbox(channel)
        try:
            with translated():
                async with asyncio.timeout(self.options.timeout):
                    await channel.basic_qos(prefetch_count=self.options.max_unacked)
                    await channel.basic_consume(self.options.queue, inbox.put)
            while True:
                messages = await inbox.take(self.options.max_records, _IDLE if self.context.once else None)
                if messages:
                    yield self._delivery(inbox, messages)
                elif not inbox.unacked and await self._is_empty(channel, inbox):
                    return
        finally:
            with anyio.CancelScope(shield=True), suppress(Exception):
                async with asyncio.timeout(_CLOSING):
                    await channel.close()

    @property
    def replies(self) -> bool:
        return self.options.reply is not None

    async def reply(self, replies: Sequence[Reply]) -> None:
        options = self.options.reply
        assert options is not None
        if options.queue is not None:
            failed = await self._publisher.publish([_reply(options.queue, one) for one in replies])
            if failed:
                raise concluded(range(len(replies)), failed)
            return
        # A sender that is gone must not hold the others' replies.
        failed = await self._publisher.publish([_reply_to_sender(one) for one in replies])
        if failed:
            raise concluded(range(len(replies)), failed, lambda error: Rejected(f"the sender is gone: {error}"))

    def _delivery(self, inbox: Inbox, messages: Sequence[DeliveredMessage]) -> Delivery:
        tags = sorted(map(tag_of, messages))

        async def ack() -> None:
            await inbox.ack(tags)

        async def nack() -> None:
            inbox.refuse()

        async def answer(places: Sequence[int], said: Answer) -> None:
            some = sorted(tag_of(messages[place]) for place in places)
            if said == "ack":
                await inbox.ack(some)
            else:
                await inbox.reject(some, requeue=said == "nack")

        return Delivery([self._incoming(message) for message in messages], ack=ack, nack=nack, answer=answer)

    def _incoming(self, message: DeliveredMessage) -> Incoming:
        """The broker has no id of a message, so it is what its sender gave it, or new.

        Two equal messages are two, and a digest would make them one.
        """
        properties = message.header.properties
        name = properties.message_id or properties.correlation_id or uuid.uuid4().hex
        reply = self.options.reply
        return Incoming(
            _part(message.body, self.options.scan_field),
            f"message {name}",
            id=name,
            reply_to=_sender(properties) if reply is not None and reply.to else "",
        )

    async def _is_empty(self, channel: Channel, inbox: Inbox) -> bool:
        """Ask twice: what the queue gave before the first answer has come at the second."""
        for _ in range(2):
            with translated():
                found = await channel.basic_get(self.options.queue, timeout=self.options.timeout)
            if isinstance(found.delivery, Basic.GetOk):
                await inbox.put(found)
                return False
        return not inbox.unacked

    async def _prepare(self, channel: Channel) -> None:
        options = self.options
        await options.declare_queue(channel, options.queue, options.declare)
        if options.reply is not None and options.reply.queue is not None:
            await options.reply.declare_queue(channel, options.reply.queue, options.reply.declare)


def _part(body: bytes, name: str | None) -> bytes:
    """What is there under that name, byte for byte; the whole where there is no such part, which then is no scan."""
    if name is not None:
        with suppress(msgspec.DecodeError, UnicodeDecodeError, RecursionError, KeyError):
            return bytes(_object.decode(body)[name])
    return body


def _sender(properties: Basic.Properties) -> str:
    """Where a message's sender wants the reply, and under which name."""
    return msgspec.json.encode([properties.reply_to or "", properties.correlation_id]).decode()


def _reply_to_sender(body: Reply) -> Message:
    queue, correlation_id = msgspec.json.decode(body.to) if body.to else ("", None)
    if not queue:
        raise Rejected("the request names no reply_to")
    return _reply(queue, body, correlation_id)


def _reply(queue: str, body: bytes, correlation_id: str | None = None) -> Message:
    request_id = str(msgspec.json.decode(body)["request_id"])
    fits = len(request_id.encode()) <= MAX_SHORT
    properties = Basic.Properties(
        content_type="application/json",
        delivery_mode=_PERSISTENT,
        correlation_id=correlation_id or (request_id if fits else None),
    )
    return Message("", queue, bytes(body), properties, name=(queue, correlation_id, bytes(body)))
