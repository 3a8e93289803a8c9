"""Scans received as messages from SQS."""

import threading
import time
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from contextlib import suppress
from typing import Any, ClassVar

import anyio
import structlog
from anyio import to_thread
from pydantic import Field

from scribe_connectors.aws._errors import classify
from scribe_connectors.aws._queue import MAX_ENTRIES, Queue, QueueOptions
from scribe_export.errors import Misconfigured, SourceError, Transient
from scribe_export.interface import Checkpoint, Context, Source
from scribe_export.model import Answer, Delivery, Incoming
from scribe_export.options import Duration, Options, QueueSourceOptions

_log = structlog.get_logger("scribe_export.sqs")
_IDLE_POLLS = 2  # a queue may answer "nothing" once while it still holds something
_ONCE_WAIT = 2


class SqsSourceOptions(QueueOptions, QueueSourceOptions):
    """A queue to receive from."""

    wait_time: int = Field(default=20, ge=0, le=20)
    """Seconds that one request waits for messages."""
    visibility_timeout: Duration = Field(default=60.0, ge=3, le=43_200)
    """How long a message stays hidden from others if this process dies; extended while it lives."""
    concurrency: int = Field(default=4, ge=1, le=64)
    """Requests of up to ten messages at once while the queue is full."""
    max_unacked: int = Field(default=1000, ge=10, le=100_000)
    """Messages received and not yet journalled, at most."""
    timeout: Duration = Field(default=30.0, gt=0)
    """Seconds before one call is given up, beside its waiting."""


class SqsSource(Source):
    """Takes each message's body as a scan and deletes the message once that is journalled.

    Until then its visibility is extended, so that a full journal makes no redeliveries; a message that comes twice all
    the same is known by its scan. A queue's redrive policy stays in force: nothing is deleted that was not journalled.

    Needs sqs:ReceiveMessage, sqs:DeleteMessage and sqs:ChangeMessageVisibility; with `dead_letter_queue`
    sqs:GetQueueAttributes, to see that there is one.
    https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/sqs-visibility-timeout.html
    """

    options_type: ClassVar[type[Options]] = SqsSourceOptions
    options: SqsSourceOptions

    def __init__(self, options: SqsSourceOptions, context: Context) -> None:
        super().__init__(options, context)
        self._queue = Queue(
            options,
            folder=context.folder,
            timeout=options.timeout + options.wait_time,
            connections=options.concurrency + 3,
        )
        self._held = _Held(self._queue, options.visibility_timeout)

    def trigger(self) -> str:
        return self.options.queue_url

    def takes(self, event: Mapping[str, Any]) -> bool:
        arn = event.get("eventSourceARN")
        return event.get("eventSource") == "aws:sqs" and isinstance(arn, str) and self.options.is_of(arn)

    async def incoming(self, event: Mapping[str, Any]) -> AsyncIterator[Sequence[Incoming]]:
        name, body = event.get("messageId"), event.get("body")
        if not isinstance(name, str) or not isinstance(body, str):
            raise SourceError("a message of SQS has a messageId and a body, which this record has not")
        # Half of a surrogate pair, which SQS never lets through, must not stop the others.
        yield [Incoming(body.encode("utf-8", "surrogatepass"), f"message {name}", id=name)]

    async def open(self) -> None:
        await self._blocking(self._queue.client.get)
        if self.options.dead_letter_queue:
            await self._blocking(self._check_redrive)
        self._held.start()

    async def close(self) -> None:
        await to_thread.run_sync(self._held.stop)
        await to_thread.run_sync(self._held.delete, ())
        await to_thread.run_sync(self._queue.client.close)

    async def deliveries(self, checkpoint: Checkpoint) -> AsyncIterator[Delivery]:  # noqa: ARG002 - the queue remembers
        idle = 0
        while True:
            while len(self._held) >= self.options.max_unacked:
                await self.context.clock.sleep(0.05)
            messages = await self._receive()
            if messages:
                idle = 0
                yield self._delivery(messages)
            elif self.context.once:
                idle += 1
                if idle >= _IDLE_POLLS:
                    return

    def _check_redrive(self) -> None:
        names: Any = ["RedrivePolicy"]
        answer = self._queue.sqs.get_queue_attributes(QueueUrl=self._queue.url, AttributeNames=names)
        if "RedrivePolicy" not in answer.get("Attributes", {}):
            raise Misconfigured("dead_letter_queue is true, and the queue has no RedrivePolicy; give it one")

    async def _receive(self) -> list[Any]:
        """What one request found; if that was all it could carry, what several more find."""
        wait = min(self.options.wait_time, _ONCE_WAIT) if self.context.once else self.options.wait_time
        first = await self._receive_some(wait)
        more = self.options.concurrency if len(first) == MAX_ENTRIES else 0
        if not more:
            return first
        found = first

        async def receive() -> None:
            # What the others received is in our hands already; an error that lasts is met by the next request.
            with suppress(Transient, Misconfigured):
                found.extend(await self._receive_some(0))

        try:
            async with anyio.create_task_group() as group:
                for _ in range(more):
                    group.start_soon(receive)
        except BaseException:
            # They are in nobody's delivery yet.
            with anyio.CancelScope(shield=True):
                await to_thread.run_sync(self._held.give_back, found)
            raise
        return found

    async def _receive_some(self, wait: int) -> list[Any]:
        messages: list[Any] = await self._blocking(self._receive_once, wait)
        self._held.add(messages)
        return messages

    def _receive_once(self, wait: int) -> list[Any]:
        answer = self._queue.sqs.receive_message(
            QueueUrl=self._queue.url,
            MaxNumberOfMessages=MAX_ENTRIES,
            WaitTimeSeconds=wait,
            VisibilityTimeout=round(self.options.visibility_timeout),
        )
        return list(answer.get("Messages", ()))

    def _delivery(self, messages: Sequence[Any]) -> Delivery:
        async def ack() -> None:
            await to_thread.run_sync(self._held.delete, messages)

        async def nack() -> None:
            await to_thread.run_sync(self._held.give_back, messages)

        async def answer(places: Sequence[int], said: Answer) -> None:
            # A message given back counts against the queue's maxReceiveCount, and so finds its dead-letter queue.
            some = [messages[place] for place in places]
            await to_thread.run_sync(self._held.delete if said == "ack" else self._held.give_back, some)

        incoming = [
            Incoming(one["Body"].encode(), f"message {one['MessageId']}", id=one["MessageId"]) for one in messages
        ]
        return Delivery(incoming, ack=ack, nack=nack, answer=answer)

    async def _blocking(self, call: Any, *arguments: Any) -> Any:
        try:
            # What a request receives after it was given up becomes visible again by itself.
            return await to_thread.run_sync(call, *arguments, abandon_on_cancel=True)
        except Exception as error:
            self._queue.client.failed(error)
            known = classify(error)
            if known is None:
                raise
            raise known from error


class _Held:
    """The messages in this process's hands: kept hidden from others by a thread, deleted or given back at the end."""

    def __init__(self, queue: Queue, visibility: float) -> None:
        self._queue, self._visibility = queue, visibility
        self._lock = threading.Lock()
        self._until: dict[str, float] = {}
        self._undeleted: list[str] = []
        self._stopped = threading.Event()
        self._thread: threading.Thread | None = None

    def __len__(self) -> int:
        return len(self._until)

    def start(self) -> None:
        """Begin to extend."""
        if self._thread is None:
            self._stopped.clear()
            self._thread = threading.Thread(target=self._extend, name="sqs-visibility", daemon=True)
            self._thread.start()

    def stop(self) -> None:
        """Extend no longer; safe twice."""
        self._stopped.set()
        thread, self._thread = self._thread, None
        if thread is not None:
            thread.join(timeout=5)

    def add(self, messages: Iterable[Any]) -> None:
        """They are hidden from now on."""
        until = time.monotonic() + self._visibility
        with self._lock:
            self._until.update((one["ReceiptHandle"], until) for one in messages)

    def delete(self, messages: Sequence[Any]) -> None:
        """They are journalled. What cannot be deleted now is tried again with the next."""
        handles = self._take(messages)
        with self._lock:
            handles, self._undeleted = self._undeleted + handles, []
        failed = [handle for part in _tens(handles) for handle in self._delete(part)]
        with self._lock:
            self._undeleted += failed

    def give_back(self, messages: Sequence[Any]) -> None:
        """They were not taken; others may have them at once."""
        for part in _tens(self._take(messages)):
            self._change(part, 0)

    def _take(self, messages: Sequence[Any]) -> list[str]:
        handles = [one["ReceiptHandle"] for one in messages]
        with self._lock:
            for handle in handles:
                self._until.pop(handle, None)
        return handles

    def _delete(self, handles: Sequence[str]) -> list[str]:
        entries: Any = [{"Id": str(n), "ReceiptHandle": handle} for n, handle in enumerate(handles)]
        try:
            answer = self._queue.sqs.delete_message_batch(QueueUrl=self._queue.url, Entries=entries)
        except Exception as error:  # noqa: BLE001 - the scans are journalled, and come again at worst
            self._queue.client.failed(error)
            _log.warning("messages not deleted", count=len(handles), reason=str(error))
            return list(handles)
        return [handles[int(one["Id"])] for one in answer.get("Failed", ()) if not one["SenderFault"]]

    def _change(self, handles: Sequence[str], seconds: int) -> bool:
        entries: Any = [
            {"Id": str(n), "ReceiptHandle": handle, "VisibilityTimeout": seconds} for n, handle in enumerate(handles)
        ]
        try:
            self._queue.sqs.change_message_visibility_batch(QueueUrl=self._queue.url, Entries=entries)
        except Exception as error:  # noqa: BLE001 - at worst they come again
            self._queue.client.failed(error)
            _log.warning("visibility not changed", count=len(handles), reason=str(error))
            return False
        return True

    def _extend(self) -> None:
        while not self._stopped.wait(min(self._visibility / 6, 10.0)):
            soon = time.monotonic() + self._visibility / 2
            with self._lock:
                due = [handle for handle, until in self._until.items() if until < soon]
            for part in _tens(due):
                until = time.monotonic() + self._visibility
                if self._change(part, round(self._visibility)):
                    with self._lock:
                        self._until.update((handle, until) for handle in part if handle in self._until)


def _tens(handles: Sequence[str]) -> Iterable[Sequence[str]]:
    return [handles[start : start + MAX_ENTRIES] for start in range(0, len(handles), MAX_ENTRIES)]
