"""Scans received as messages from Pub/Sub."""

import base64
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from functools import partial
from typing import Any, ClassVar

from anyio import to_thread
from pydantic import Field

from scribe_connectors.gcp._client import GcpOptions
from scribe_connectors.gcp._pubsub import PullRequest, SubscriptionName, pubsub_client
from scribe_connectors.gcp._pubsub_held import Held
from scribe_connectors.gcp._pubsub_stream import ENDINGS, Stream
from scribe_connectors.gcp._rpc_errors import classify, code_of
from scribe_export.errors import SourceError, Transient
from scribe_export.interface import Checkpoint, Context, Source
from scribe_export.model import Answer, Delivery, Incoming
from scribe_export.options import Duration, Options, QueueSourceOptions, Size

# https://cloud.google.com/pubsub/quotas#resource_limits (seen 2026-11-24): messages of one Pull
MAX_PULL = 1000

_LIVED = 10.0  # a stream that lasted so long was a healthy one


class PubsubSourceOptions(GcpOptions, QueueSourceOptions):
    """A subscription to receive from."""

    subscription: SubscriptionName
    """Its name, such as scans, or whole: projects/PROJECT/subscriptions/NAME."""
    max_unacked: int = Field(default=1000, ge=10, le=100_000)
    """Messages received and not yet journalled, at most."""
    max_unacked_bytes: Size = Field(default=100 * 2**20, ge=2**20)
    """Their bytes, at most; one more message may pass it."""
    max_records: int = Field(default=500, ge=1, le=MAX_PULL)
    """Messages that are journalled together, at most."""
    lease: Duration = Field(default=60.0, ge=10, le=600)
    """How long a message stays hidden from others if this process dies; extended while it lives."""
    idle_timeout: Duration = Field(default=5.0, gt=0)
    """With --until-idle: how long nothing may come until all is taken to be read."""
    timeout: Duration = Field(default=30.0, gt=0)
    """Seconds before one call is given up."""


class PubsubSource(Source):
    """Takes each message's data as a scan and acknowledges the message once that is journalled.

    Until then its lease is extended, so that a full journal makes no redeliveries; a message that comes twice all the
    same is known by its scan. On a subscription with exactly-once delivery the confirmation is awaited. What is on its
    way is bounded by the service's flow control. Asked for what is there, it pulls: a stream does not say that it has no
    more. https://cloud.google.com/pubsub/docs/pull

    Needs pubsub.subscriptions.consume.
    """

    options_type: ClassVar[type[Options]] = PubsubSourceOptions
    options: PubsubSourceOptions

    def __init__(self, options: PubsubSourceOptions, context: Context) -> None:
        super().__init__(options, context)
        self._client = pubsub_client(options, "subscription", options.subscription, folder=context.folder)
        self._lease = round(options.lease)
        self._held = Held(self._client, lease=self._lease, timeout=options.timeout)

    def trigger(self) -> str:
        return f"subscription {self.options.subscription}"

    def takes(self, event: Mapping[str, Any]) -> bool:
        """Of a push, https://cloud.google.com/pubsub/docs/push."""
        whole = event.get("subscription")
        if not isinstance(whole, str) or not isinstance(event.get("message"), Mapping):
            return False
        project, _, short = whole.removeprefix("projects/").partition("/subscriptions/")
        if "/" in self.options.subscription:
            return whole == self.options.subscription
        return short == self.options.subscription and self.options.project in (None, project)

    async def incoming(self, event: Mapping[str, Any]) -> AsyncIterator[Sequence[Incoming]]:
        message = event["message"]
        name = str(message.get("messageId") or message.get("message_id") or "")
        try:
            data = base64.b64decode(message.get("data") or "", validate=True)
        except (ValueError, TypeError):
            raise SourceError(f"the data of message {name} is no base64") from None
        yield [Incoming(data, f"message {name}", id=name)]

    async def open(self) -> None:
        await self._blocking(self._client.get)
        self._held.start()

    async def close(self) -> None:
        await to_thread.run_sync(self._held.stop)
        await to_thread.run_sync(self._client.close)

    async def deliveries(self, checkpoint: Checkpoint) -> AsyncIterator[Delivery]:  # noqa: ARG002 - the service remembers
        if self.context.once:
            async for delivery in self._pulled():
                yield delivery
            return
        while True:
            stream = await self._blocking(self._open_stream)
            begun = time.monotonic()
            try:
                while messages := await self._receive(stream, begun):
                    yield self._delivery(messages)
            finally:
                stream.close()

    async def _pulled(self) -> AsyncIterator[Delivery]:
        clock = self.context.clock
        since = clock.monotonic()
        while clock.monotonic() - since < self.options.idle_timeout:
            while len(self._held) >= self.options.max_unacked:
                await clock.sleep(0.05)
            messages = await self._blocking(self._pull)
            if messages:
                yield self._delivery(messages)
                since = clock.monotonic()
            else:
                await clock.sleep(min(0.5, self.options.idle_timeout / 3))

    def _pull(self) -> list[Any]:
        pubsub = self._client.get()
        request = PullRequest(
            subscription=pubsub.name,
            max_messages=min(self.options.max_records, self.options.max_unacked),
            return_immediately=True,
        )
        answer = pubsub.pull(request, timeout=self.options.timeout, metadata=pubsub.routing)
        messages = list(answer.received_messages)
        if messages:
            self._held.add(messages, leased=False)
        return messages

    def _open_stream(self) -> Stream:
        return Stream(
            self._client.get(),
            lease=self._lease,
            max_messages=self.options.max_unacked,
            max_bytes=self.options.max_unacked_bytes,
            took=self._held.add,
        )

    async def _receive(self, stream: Stream, begun: float) -> list[Any]:
        """Messages; none if the stream has ended as streams do, and another is to be opened."""
        try:
            found: list[Any] = await to_thread.run_sync(
                stream.receive, self.options.max_records, abandon_on_cancel=True
            )
        except Exception as error:
            if code_of(error) not in ENDINGS or not self._was_healthy(stream, begun):
                raise self._known(error) from error
            return []
        if not found and not self._was_healthy(stream, begun):
            raise Transient("the stream ended at once")
        return found

    def _was_healthy(self, stream: Stream, begun: float) -> bool:
        return stream.delivered or time.monotonic() - begun > _LIVED

    def _delivery(self, messages: Sequence[Any]) -> Delivery:
        async def ack() -> None:
            await to_thread.run_sync(self._held.acknowledge, messages)

        async def nack() -> None:
            # Who reads what is there would read these again and again.
            await to_thread.run_sync(partial(self._held.give_back, messages, later=self.context.once))

        async def answer(places: Sequence[int], said: Answer) -> None:
            some = [messages[place] for place in places]
            if said == "ack":
                await to_thread.run_sync(self._held.acknowledge, some)
            else:
                # Each nack counts as a delivery attempt, and so finds the subscription's dead-letter topic.
                later = self.context.once and said == "nack"
                await to_thread.run_sync(partial(self._held.give_back, some, later=later))

        incoming = [
            Incoming(one.message.data, f"message {one.message.message_id}", id=one.message.message_id)
            for one in messages
        ]
        return Delivery(incoming, ack=ack, nack=nack, answer=answer)

    async def _blocking(self, call: Any) -> Any:
        try:
            return await to_thread.run_sync(call, abandon_on_cancel=True)
        except Exception as error:
            raise self._known(error) from error

    def _known(self, error: Exception) -> Exception:
        self._client.failed(error)
        return classify(error) or error
