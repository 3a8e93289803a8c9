"""The messages in this process's hands: their leases extended by a thread, acknowledged or given back at the end."""

import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

import grpc
import structlog
from google.api_core.exceptions import from_grpc_error

from scribe_connectors.gcp._pubsub import AcknowledgeRequest, ModifyAckDeadlineRequest, Pubsub
from scribe_connectors.gcp._rpc import RpcClient

_log = structlog.get_logger("scribe_export.pubsub")
# https://cloud.google.com/pubsub/quotas#resource_limits: 512 KiB a request, and an id has less than 500 bytes
_IDS = 1000
_TRANSIENT = "TRANSIENT_"


class Held:
    """For all threads. `timeout` is for every call, `lease` in seconds."""

    def __init__(self, client: RpcClient[Pubsub], *, lease: int, timeout: float) -> None:
        self._client, self._lease, self._timeout = client, lease, timeout
        self._lock = threading.Lock()
        self._until: dict[str, float] = {}
        self._again: list[str] = []
        """Journalled, and their acknowledgement did not get through."""
        self._refused: list[str] = []
        self._stopped = threading.Event()
        self._thread: threading.Thread | None = None

    def __len__(self) -> int:
        return len(self._until)

    def start(self) -> None:
        """Begin to extend."""
        if self._thread is None:
            self._stopped.clear()
            self._thread = threading.Thread(target=self._keep, name="pubsub-leases", daemon=True)
            self._thread.start()

    def stop(self) -> None:
        """Extend no longer, and give back what was not journalled, so that others need not wait. Safe twice."""
        self._stopped.set()
        thread, self._thread = self._thread, None
        if thread is None:
            return
        thread.join(5)
        self.acknowledge(())
        with self._lock:
            rest, self._refused = self._refused + list(self._until), []
            self._until.clear()
            self._again.clear()
        self._modify(rest, 0)

    def add(self, messages: Sequence[Any], *, leased: bool = True) -> None:
        """They are ours for now; `leased` says that the service gave them for as long as `lease`."""
        ids = [one.ack_id for one in messages]
        until = time.monotonic() + self._lease
        with self._lock:
            self._until.update(dict.fromkeys(ids, until))
        if not leased:
            self._modify(ids, self._lease)

    def acknowledge(self, messages: Sequence[Any]) -> None:
        """They are journalled. Returns when the service has confirmed it.

        What it cannot take now is tried again; what it takes no more will come again, and is known by its scan.
        """
        with self._lock:
            mine = [one.ack_id for one in messages if self._until.pop(one.ack_id, None)]
            ids, self._again = self._again + mine, []
        for some in _portions(ids):
            again, expired = self._call(self._acknowledge, some)
            if again or expired:
                _log.warning("messages not acknowledged", again=len(again), expired=len(expired))
            with self._lock:
                self._again += again

    def give_back(self, messages: Sequence[Any], *, later: bool) -> None:
        """They were not taken; others may have them at once, or `later`: when this ends, or when the lease does."""
        ids = [one.ack_id for one in messages]
        self._forget(ids)
        if later:
            self._refused += ids
        else:
            self._modify(ids, 0)

    def _keep(self) -> None:
        while not self._stopped.wait(min(self._lease / 6, 10.0)):
            soon = time.monotonic() + self._lease / 2
            with self._lock:
                due = [one for one, until in self._until.items() if until < soon]
            self._modify(due, self._lease)
            self.acknowledge(())

    def _modify(self, ids: Sequence[str], seconds: int) -> None:
        until = time.monotonic() + seconds

        def call(pubsub: Pubsub, some: Sequence[str]) -> None:
            request = ModifyAckDeadlineRequest(subscription=pubsub.name, ack_ids=some, ack_deadline_seconds=seconds)
            pubsub.modify(request, timeout=self._timeout, metadata=pubsub.routing)

        for some in _portions(ids):
            again, expired = self._call(call, some)
            with self._lock:
                done = [one for one in some if one in self._until and one not in again]
                self._until.update(dict.fromkeys(done, until))
            self._forget(expired)

    def _acknowledge(self, pubsub: Pubsub, some: Sequence[str]) -> None:
        request = AcknowledgeRequest(subscription=pubsub.name, ack_ids=some)
        pubsub.acknowledge(request, timeout=self._timeout, metadata=pubsub.routing)

    def _call(self, call: Callable[[Pubsub, Sequence[str]], None], some: Sequence[str]) -> tuple[set[str], set[str]]:
        """Ids to try again, and ids that are over: https://cloud.google.com/pubsub/docs/exactly-once-delivery"""
        try:
            call(self._client.get(), some)
        except grpc.RpcError as error:
            self._client.failed(error)
            said: Any = from_grpc_error(error)
            failures = {one: why for one, why in (said.metadata or {}).items() if one in set(some)}
            if failures:
                again = {one for one, why in failures.items() if why.startswith(_TRANSIENT)}
                return again, failures.keys() - again
            _log.warning("pubsub did not answer", reason=str(said))
        except Exception as error:  # noqa: BLE001 - the messages come again at worst
            self._client.failed(error)
            _log.warning("pubsub cannot be called", reason=str(error))
        else:
            return set(), set()
        return set(some), set()

    def _forget(self, ids: Iterable[str]) -> None:
        with self._lock:
            for one in ids:
                self._until.pop(one, None)


def _portions(ids: Sequence[str]) -> Iterator[Sequence[str]]:
    return (ids[start : start + _IDS] for start in range(0, len(ids), _IDS))
