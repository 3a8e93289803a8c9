"""Messages published and confirmed by the broker."""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from aiormq import Channel
from pamqp.commands import Basic

from scribe_connectors.rabbitmq._connection import Broker
from scribe_connectors.rabbitmq._errors import NO_ROUTE, PRECONDITION_FAILED, classify, code_of
from scribe_export.errors import Misconfigured, PartialFailure, Rejected, SinkError, Throttled, Transient
from scribe_export.parts import one_for_all

# https://www.rabbitmq.com/amqp-0-9-1-reference#basic.publish: a short string
MAX_SHORT = 255


@dataclass(frozen=True, slots=True)
class Message:
    """What is published where; an empty exchange is the default one, whose routing key is a queue's name."""

    exchange: str
    routing_key: str
    body: bytes
    properties: Basic.Properties


class Publisher:
    """Publishes batches, each on a channel of its own, so that what closes a channel fails nothing else.

    All messages of a batch are sent before the first confirm is awaited. https://www.rabbitmq.com/docs/confirms
    """

    def __init__(self, broker: Broker, *, timeout: float) -> None:
        self._broker, self._timeout = broker, timeout
        self._idle: list[Channel] = []

    async def open(self) -> None:
        """Have a channel ready. Raises `Transient` or `Misconfigured`."""
        self._give_back(await self._take())

    async def close(self) -> None:
        """Safe twice."""
        self._idle.clear()
        await self._broker.close()

    async def publish(self, messages: Sequence[Message]) -> dict[int, Exception]:
        """What was not confirmed, by its place in `messages`, as the client's error or one of the framework's.

        Raises `Transient` or `Misconfigured` if nothing was sent.
        """
        if await self._broker.is_blocked(self._timeout):
            raise Throttled("the broker takes no messages: its memory or its disk is used up", applied="no")
        channel = await self._take()
        tasks = [asyncio.ensure_future(_publish(channel, message)) for message in messages]
        try:
            _, late = await asyncio.wait(tasks, timeout=self._timeout)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
        errors = {place: error for place, task in enumerate(tasks) if (error := _failure(task, channel)) is not None}
        if not late:
            self._give_back(channel)
        elif not await self._broker.is_blocked():
            # What a blocked broker has read it may still take, and on a new connection it would read it again.
            await self._broker.close()
        return errors

    async def _take(self) -> Channel:
        while self._idle:
            channel = self._idle.pop()
            if not channel.is_closed:
                return channel
        return await self._broker.channel(confirms=True)

    def _give_back(self, channel: Channel) -> None:
        if not channel.is_closed:
            self._idle.append(channel)


async def _publish(channel: Channel, message: Message) -> None:
    await channel.basic_publish(
        message.body,
        exchange=message.exchange,
        routing_key=message.routing_key,
        properties=message.properties,
        mandatory=True,
        wait=False,
    )


def _failure(task: "asyncio.Future[None]", channel: Channel) -> Exception | None:
    if task.cancelled():
        return Transient("the broker did not confirm it in time")
    error = task.exception()
    if error is None:
        return None
    if isinstance(error, Exception) and (classify(error) is not None or not channel.is_closed):
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
