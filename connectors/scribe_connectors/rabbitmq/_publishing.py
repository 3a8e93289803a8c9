"""Messages published and confirmed by the broker."""

import asyncio
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass

from aiormq import Channel
from pamqp.commands import Basic

from scribe_connectors.rabbitmq._connection import Broker
from scribe_connectors.rabbitmq._errors import NO_ROUTE, PRECONDITION_FAILED, classify, code_of
from scribe_export.errors import Applied, Misconfigured, PartialFailure, Rejected, SinkError, Throttled, Transient
from scribe_export.parts import one_for_all

# https://www.rabbitmq.com/amqp-0-9-1-reference#basic.publish: a short string
MAX_SHORT = 255
LOST = 900.0
"""Seconds after which a confirm that has not come is no more awaited."""


@dataclass(frozen=True, slots=True)
class Message:
    """What is published where; an empty exchange is the default one, whose routing key is a queue's name.

    `name` is the same when the same message comes again, and no other's.
    """

    exchange: str
    routing_key: str
    body: bytes
    properties: Basic.Properties
    name: Hashable


class Publisher:
    """Publishes batches, each on a channel of its own, so that what closes a channel fails nothing else.

    All messages of a batch are sent before the first confirm is awaited. A broker whose disk is slow confirms late: a
    message that comes again while its confirm can still come is not sent again, which would give that broker ever more to
    do, but awaited further. https://www.rabbitmq.com/docs/confirms
    """

    def __init__(self, broker: Broker, *, timeout: float) -> None:
        self._broker, self._timeout = broker, timeout
        self._idle: list[Channel] = []
        self._sent: dict[Hashable, _Sent] = {}

    async def open(self) -> None:
        """Have a channel ready. Raises `Transient` or `Misconfigured`."""
        self._give_back(await self._take())

    async def close(self) -> None:
        """Safe twice."""
        self._idle.clear()
        await self._broker.close()
        tasks = [sent.task for sent in self._sent.values()]
        self._sent.clear()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def publish(self, messages: Sequence[Message]) -> dict[int, Exception]:
        """What is not confirmed, by its place in `messages`, as the client's error or one of the framework's.

        Raises `Transient`, `Throttled` or `Misconfigured` if nothing was sent now.
        """
        await self._give_up()
        new = [message for message in messages if not self._is_awaited(message.name)]
        applied: Applied = "no" if len(new) == len(messages) else "unknown"
        if await self._broker.is_blocked(self._timeout):
            raise Throttled("the broker takes no messages: its memory or its disk is used up", applied=applied)
        if new:
            try:
                channel = await self._take()
            except Transient as error:
                raise Transient(str(error), retry_after=error.retry_after, applied=applied) from error
            self._send(channel, new)
        sent = [self._sent[message.name] for message in messages]
        await asyncio.wait([one.task for one in sent], timeout=self._timeout)
        for message, one in zip(messages, sent, strict=True):
            if one.task.done():
                self._sent.pop(message.name, None)
        return {place: failure for place, one in enumerate(sent) if (failure := _failure(one)) is not None}

    def _send(self, channel: Channel, messages: Sequence[Message]) -> None:
        left, now, closing = len(messages), asyncio.get_running_loop().time(), channel.closing
        tasks: list[asyncio.Future[None]] = []

        def done(task: "asyncio.Future[None]") -> None:
            nonlocal left
            left -= 1
            if not left:
                closing.cancel()
                self._give_back(channel)
            if not task.cancelled():
                task.exception()  # whoever asks for it again sends it anew

        for message in messages:
            if before := self._sent.pop(message.name, None):
                before.task.cancel()
            task = asyncio.ensure_future(_publish(channel, message))
            task.add_done_callback(done)
            tasks.append(task)
            self._sent[message.name] = _Sent(task, channel, now)
        # The client forgets those that wait for their turn to be written when the connection breaks.
        closing.add_done_callback(lambda _: [task.cancel() for task in tasks])

    def _is_awaited(self, name: Hashable) -> bool:
        """Whether the broker has that message, as far as is known, and may confirm it yet, or did after nobody waited."""
        sent = self._sent.get(name)
        if sent is None:
            return False
        if sent.task.done():
            return not sent.task.cancelled() and sent.task.exception() is None
        return not sent.channel.is_closed

    async def _give_up(self) -> None:
        """Forget what was sent long ago; the broker may have forgotten it too."""
        old = asyncio.get_running_loop().time() - max(LOST, 2 * self._timeout)
        lost = False
        for name, sent in list(self._sent.items()):
            if sent.at > old:
                break
            del self._sent[name]
            lost = lost or not sent.task.done()
            sent.task.cancel()
        if lost:
            await self._broker.close()

    async def _take(self) -> Channel:
        while self._idle:
            channel = self._idle.pop()
            if not channel.is_closed:
                return channel
        return await self._broker.channel(confirms=True)

    def _give_back(self, channel: Channel) -> None:
        if not channel.is_closed:
            self._idle.append(channel)


@dataclass(frozen=True, slots=True)
class _Sent:
    """A message on its way: `task` ends with its confirm."""

    task: "asyncio.Future[None]"
    channel: Channel
    at: float


async def _publish(channel: Channel, message: Message) -> None:
    await channel.basic_publish(
        message.body,
        exchange=message.exchange,
        routing_key=message.routing_key,
        properties=message.properties,
        mandatory=True,
        wait=False,
    )


def _failure(sent: _Sent) -> Exception | None:
    if not sent.task.done() and not sent.channel.is_closed:
        return Transient("the broker did not confirm it in time")
    if not sent.task.done() or sent.task.cancelled():
        return Transient("the connection was closed before the broker confirmed it")
    error = sent.task.exception()
    if error is None:
        return None
    if isinstance(error, Exception) and (classify(error) is not None or not sent.channel.is_closed):
        return error
    return Transient("the connection was closed before the broker confirmed it")


def no_queue(error: Exception) -> SinkError:
    """An unroutable message, where the operator has to act."""
    return Misconfigured(f"no queue takes it: {error}")


def concluded(
    members: Sequence[int], failed: Mapping[int, Exception], unroutable: Callable[[Exception], SinkError] = no_queue
) -> Exception:
    """The error to raise for a batch of which some failed; `members` are the indexes of its records."""
    acked = {index for place, index in enumerate(members) if place not in failed}
    errors: dict[int, SinkError] = {}
    bugs: list[Exception] = []
    for place, error in failed.items():
        known = _of_message(error, alone=len(failed) == 1, unroutable=unroutable)
        if known is None:
            bugs.append(error)
        else:
            errors[members[place]] = known
    if not acked:
        if not errors:
            return bugs[0]
        if len(failed) > 1 and all(code_of(error) == PRECONDITION_FAILED for error in failed.values()):
            # One of them is too large for the broker, and nobody knows which: the lane then divides.
            return Rejected(f"one of {len(failed)} messages: {_too_large(next(iter(failed.values())))}")
        one = one_for_all(errors.values())
        if one and not bugs:
            return one
    return PartialFailure(acked, errors)


def _of_message(error: Exception, *, alone: bool, unroutable: Callable[[Exception], SinkError]) -> SinkError | None:
    if isinstance(error, SinkError):
        return error
    if code_of(error) == NO_ROUTE:
        return unroutable(error)
    if code_of(error) == PRECONDITION_FAILED:
        text = _too_large(error)
        return Rejected(text, kind="too_large") if alone else Transient(f"one of several: {text}")
    return classify(error)


def _too_large(error: Exception) -> str:
    return f"the broker's max_message_size is smaller: {classify(error)}"
