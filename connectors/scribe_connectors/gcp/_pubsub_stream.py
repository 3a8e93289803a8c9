"""One StreamingPull: a thread reads it, and whoever asks gets all that has come since."""

import threading
from collections.abc import Callable, Iterator
from typing import Any

import grpc

from scribe_connectors.gcp._pubsub import Pubsub, StreamingPullRequest

_HEARTBEAT = 30.0
_LONGEST = 3600.0
# https://cloud.google.com/pubsub/docs/pull#streamingpull_has_a_100_error_rate_expected: how healthy streams end
ENDINGS = frozenset({grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED, grpc.StatusCode.ABORTED})


class Stream:
    """`took` hears of messages as soon as they come, in the stream's own thread."""

    def __init__(
        self, pubsub: Pubsub, *, lease: int, max_messages: int, max_bytes: int, took: Callable[[Any], None]
    ) -> None:
        self.delivered = False
        """Whether it ever brought a message."""
        self._first = StreamingPullRequest(
            subscription=pubsub.name,
            stream_ack_deadline_seconds=lease,
            max_outstanding_messages=max_messages,
            max_outstanding_bytes=max_bytes,
        )
        self._took = took
        self._closed = threading.Event()
        self._changed = threading.Condition()
        self._messages: list[Any] = []
        self._error: Exception | None = None
        self._ended = False
        self._call = pubsub.streaming_pull(self._requests(), timeout=_LONGEST, metadata=pubsub.routing)
        self._thread = threading.Thread(target=self._read, name="pubsub-stream", daemon=True)
        self._thread.start()

    def receive(self, most: int) -> list[Any]:
        """Up to so many messages, at least one; waits for it. Raises what ended the stream, and then whatever came
        before was received. Empty if it was closed."""
        with self._changed:
            while not self._messages and not self._ended:
                self._changed.wait()
            if self._messages:
                found, self._messages = self._messages[:most], self._messages[most:]
                return found
            if self._error and not self._closed.is_set():
                raise self._error
            return []

    def close(self) -> None:
        """Safe twice; ends a `receive` that waits."""
        self._closed.set()
        self._call.cancel()

    def join(self) -> None:
        """Wait until its thread has ended."""
        self._thread.join(5)

    def _requests(self) -> Iterator[Any]:
        yield self._first
        while not self._closed.wait(_HEARTBEAT):
            # Lets neither end nor what is between them take the stream for idle.
            yield StreamingPullRequest()

    def _read(self) -> None:
        try:
            for response in self._call:
                messages = list(response.received_messages)
                if not messages:
                    continue
                self._took(messages)
                with self._changed:
                    self.delivered = True
                    self._messages += messages
                    self._changed.notify_all()
        except Exception as error:  # noqa: BLE001 - whoever receives judges it
            self._error = error
        finally:
            with self._changed:
                self._ended = True
                self._changed.notify_all()
            self._closed.set()
