"""What Pub/Sub does for a push subscription: it posts each message, and acknowledges those that were answered with 2xx.

https://cloud.google.com/pubsub/docs/push#receive_push. The local server has no push, so its messages are pulled.
"""

import base64
import threading
from concurrent.futures import ThreadPoolExecutor
from types import TracebackType
from typing import Any, Self

import httpx
from support.topics import Clients


class Pusher:
    """From a subscription to an URL until left; a context manager."""

    def __init__(self, cloud: Clients, subscription: str, url: str, *, at_once: int = 8) -> None:
        self._cloud, self._subscription, self._url, self._at_once = cloud, subscription, url, at_once
        self.statuses: list[int] = []
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, name="pusher")

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stopped.set()
        self._thread.join()

    def _run(self) -> None:
        with ThreadPoolExecutor(self._at_once) as pool, httpx.Client(timeout=30) as client:
            while not self._stopped.is_set():
                received = self._cloud.pull(self._subscription, self._at_once, wait=False)
                statuses = list(pool.map(lambda one: self._push(client, one), received))
                self.statuses += statuses
                fates = [(one, status // 100 == 2) for one, status in zip(received, statuses, strict=True)]
                if good := [one for one, fine in fates if fine]:
                    self._cloud.ack(self._subscription, *good)
                if bad := [one for one, fine in fates if not fine]:
                    self._cloud.modify(self._subscription, 0, *bad)
                if not good:
                    # Pub/Sub waits longer and longer for an endpoint that is away.
                    self._stopped.wait(1.0 if 0 in statuses else 0.05)

    def _push(self, client: httpx.Client, one: Any) -> int:
        """The answer's status, 0 if there is none."""
        body = push(one.message.data, self._subscription, one.message.message_id)
        try:
            return client.post(self._url, json=body).status_code
        except httpx.HTTPError:
            return 0


def push(data: bytes, subscription: str, message_id: str = "1") -> dict[str, Any]:
    """The body of one request."""
    message = {
        "attributes": {},
        "data": base64.b64encode(data).decode(),
        "messageId": message_id,
        "message_id": message_id,
        "publishTime": "2026-03-01T12:00:00Z",
        "publish_time": "2026-03-01T12:00:00Z",
    }
    return {"message": message, "subscription": subscription}
