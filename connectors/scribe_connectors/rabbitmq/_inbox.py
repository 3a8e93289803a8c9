"""The messages of one consumer, and which of them are not acknowledged yet."""

import asyncio
from collections import deque
from collections.abc import Sequence
from contextlib import suppress

from aiormq import Channel
from aiormq.abc import DeliveredMessage
from aiormq.exceptions import AMQPError, ChannelInvalidStateError

from scribe_export.errors import Transient


class Inbox:
    """Usable until its channel closes; what is unacknowledged then, the broker delivers again."""

    def __init__(self, channel: Channel) -> None:
        self._channel = channel
        self._arrived: deque[DeliveredMessage] = deque()
        self._unacked: set[int] = set()
        self._stirred = asyncio.Event()
        self._ended = ""
        channel.on_consumer_cancel_callbacks.add(lambda _: self._end("the broker cancelled the consumer"))
        channel.closing.add_done_callback(lambda closing: self._end(_reason(closing)))

    @property
    def unacked(self) -> int:
        """Messages that came and are not acknowledged."""
        return len(self._unacked)

    async def put(self, message: DeliveredMessage) -> None:
        """A message came."""
        self._unacked.add(tag_of(message))
        self._arrived.append(message)
        self._stirred.set()

    async def take(self, most: int, patience: float | None) -> Sequence[DeliveredMessage]:
        """What came, once something did; nothing after `patience` seconds.

        Raises `Transient` when no more will come and what came will come again.
        """
        while True:
            if self._ended:
                raise Transient(self._ended)
            if self._arrived:
                return [self._arrived.popleft() for _ in range(min(most, len(self._arrived)))]
            self._stirred.clear()
            try:
                async with asyncio.timeout(patience):
                    await self._stirred.wait()
            except TimeoutError:
                return ()

    async def ack(self, tags: Sequence[int]) -> None:
        """They are journalled: one acknowledgement for all, unless one that came before them is not."""
        self._unacked.difference_update(tags)
        multiple = not self._unacked or min(self._unacked) > tags[-1]
        # On a channel that is closed it cannot be said, and they come again.
        with suppress(ChannelInvalidStateError, AMQPError, OSError):
            for tag in tags[-1:] if multiple else tags:
                await self._channel.basic_ack(tag, multiple=multiple, wait=False)
        self._stirred.set()

    async def reject(self, tags: Sequence[int], *, requeue: bool) -> None:
        """They come again, or go where the queue's dead-letter exchange sends them.

        https://www.rabbitmq.com/docs/dlx
        """
        with suppress(ChannelInvalidStateError, AMQPError, OSError):
            for tag in tags:
                await self._channel.basic_reject(tag, requeue=requeue, wait=False)
                # Not before: an acknowledgement of all up to a later one would take this one along.
                self._unacked.discard(tag)
        self._unacked.difference_update(tags)
        self._stirred.set()

    def refuse(self) -> None:
        """Something was not taken: end, and let the closing of the channel give back what is unacknowledged."""
        self._end("scans were not taken and come again")

    def _end(self, why: str) -> None:
        self._ended = self._ended or why
        self._stirred.set()


def tag_of(message: DeliveredMessage) -> int:
    """The number of a delivery on its channel."""
    tag = message.delivery_tag
    assert tag is not None
    return tag


def _reason(closing: "asyncio.Future[object]") -> str:
    error = None if closing.cancelled() else closing.exception()
    return f"the channel was closed: {error or 'no reason given'}"
