"""One subscription: what waits for its subscribers, what they hold, and what comes again."""

import threading
import time
from collections import deque
from collections.abc import Callable, Iterable
from typing import Any

from google.pubsub_v1 import types

from scribe_local.pubsub import filters
from scribe_local.pubsub.leases import Held, Key, Lease, Leases, Outstanding

INVALID_ACK_ID = "PERMANENT_FAILURE_INVALID_ACK_ID"

_Received = types.ReceivedMessage.pb()
_Message = types.PubsubMessage.pb()


class Subscription:
    """`definition` is the Subscription message; `bury` publishes a dead letter."""

    def __init__(self, definition: Any, bury: Callable[[str, Any], None]) -> None:
        self.definition = definition
        self.deleted = False
        self._bury = bury
        self._wanted = filters.parse(definition.filter) if definition.filter else None
        self._ordered = definition.enable_message_ordering
        self._attempts = definition.dead_letter_policy.max_delivery_attempts
        self._changed = threading.Condition(threading.Lock())
        self._waiters = 0
        self._ready: deque[Held | Key] = deque()
        self._keys: dict[str, Key] = {}
        self._leases = Leases()
        self._dead: list[Held] = []

    @property
    def exactly_once(self) -> bool:
        """Whether acknowledgement ids end with their deadline, and acknowledgements are answered one by one."""
        return bool(self.definition.enable_exactly_once_delivery)

    def offer(self, messages: Iterable[Any]) -> None:
        """Take what was published."""
        wanted = self._wanted
        with self._changed:
            for message in messages:
                if wanted and not wanted(message.attributes):
                    continue
                if self._ordered and message.ordering_key:
                    self._append(message)
                else:
                    self._ready.append(Held(message, message.ByteSize(), None))
            self._wake()

    def take(self, most: int, most_bytes: int, seconds: float, owner: Outstanding) -> list[Any]:
        """Up to so many messages as ReceivedMessage, at least one if one is ready, whatever its size."""
        with self._changed:
            self._expire()
            found: list[Any] = []
            size, until = 0, time.monotonic() + seconds
            while self._ready and len(found) < most and (not found or size < most_bytes):
                first = self._ready[0]
                held = first.pending.popleft() if isinstance(first, Key) else first
                if isinstance(first, Held) or not first.pending:
                    self._unready()
                lease = self._leases.add(held, owner, until)
                if held.key:
                    held.key.window.append(lease)
                found.append(self._received(lease))
                size += held.size
            if self._ready and isinstance(self._ready[0], Key) and self._ready[0].window:
                self._unready()  # the rest of this key comes when what was handed out is acknowledged
        self._bury_dead()
        return found

    def wait(self, seconds: float, *, full: bool = False) -> None:
        """Return when something may have changed, after `seconds` at the latest; `full`: what is ready does not count."""
        with self._changed:
            expiry = self._leases.next_expiry()
            if expiry is not None:
                seconds = min(seconds, expiry - time.monotonic())
            if seconds <= 0 or (self._ready and not full):
                return
            self._waiters += 1
            self._changed.wait(seconds)
            self._waiters -= 1

    def wake(self) -> None:
        """Let whoever waits look again."""
        with self._changed:
            self._wake()

    def acknowledge(self, ack_ids: Iterable[str]) -> dict[str, str]:
        """What failed, by acknowledgement id; without exactly-once delivery that is nobody's concern."""
        failures = {}
        with self._changed:
            self._expire()
            for ack_id in ack_ids:
                lease = self._leases.pop(ack_id)
                if lease is None:
                    failures[ack_id] = INVALID_ACK_ID
                else:
                    lease.acked = True
                    self._move_on(lease.held.key)
            self._wake()
        self._bury_dead()
        return failures if self.exactly_once else {}

    def modify(self, deadlines: Iterable[tuple[str, int]]) -> dict[str, str]:
        """New deadlines, from now; 0 gives a message back. Answers as `acknowledge` does."""
        failures = {}
        with self._changed:
            self._expire()
            now = time.monotonic()
            for ack_id, seconds in deadlines:
                if seconds and self._leases.extend(ack_id, now + seconds):
                    continue
                lease = None if seconds else self._leases.pop(ack_id)
                if lease is None:
                    failures[ack_id] = INVALID_ACK_ID
                else:
                    self._give_back(lease)
            self._wake()
        self._bury_dead()
        return failures if self.exactly_once else {}

    def _append(self, message: Any) -> None:
        key = self._keys.setdefault(message.ordering_key, Key())
        key.pending.append(Held(message, message.ByteSize(), key))
        self._move_on(key)

    def _unready(self) -> None:
        first = self._ready.popleft()
        if isinstance(first, Key):
            first.queued = False

    def _expire(self) -> None:
        for ack_id in self._leases.expired(time.monotonic()):
            # Another one of the same key, expired before it, may have taken it along.
            lease = self._leases.pop(ack_id)
            if lease:
                self._give_back(lease)

    def _give_back(self, lease: Lease) -> None:
        held = lease.held
        held.failures += 1
        dead = bool(self._attempts) and held.failures >= self._attempts
        if dead:
            self._dead.append(held)
        if held.key is None:
            if not dead:
                self._ready.appendleft(held)
            return
        place = held.key.window.index(lease)
        suffix = held.key.window[place:]
        del held.key.window[place:]
        for follower in suffix:
            self._leases.pop(follower.ack_id)
        held.key.pending.extendleft(one.held for one in reversed(suffix) if not (dead and one is lease))
        self._move_on(held.key)

    def _move_on(self, key: Key | None) -> None:
        """Make what is next of a key ready, if all before it is acknowledged."""
        if key is None:
            return
        while key.window and key.window[0].acked:
            del key.window[0]
        if key.pending and not key.window and not key.queued:
            key.queued = True
            self._ready.append(key)

    def _received(self, lease: Lease) -> Any:
        attempt = lease.held.failures + 1 if self._attempts else 0
        return _Received(ack_id=lease.ack_id, message=lease.held.message, delivery_attempt=attempt)

    def _wake(self) -> None:
        if self._waiters:
            self._changed.notify_all()

    def _bury_dead(self) -> None:
        """Outside of the lock, as the dead letters' topic may come back to this subscription."""
        while self._dead:
            held = self._dead.pop()
            letter = _Message()
            letter.CopyFrom(held.message)
            _, project, _, name = self.definition.name.split("/")
            letter.attributes["CloudPubSubDeadLetterSourceSubscription"] = name
            letter.attributes["CloudPubSubDeadLetterSourceSubscriptionProject"] = project
            letter.attributes["CloudPubSubDeadLetterSourceDeliveryCount"] = str(held.failures)
            published = held.message.publish_time.ToJsonString()
            letter.attributes["CloudPubSubDeadLetterSourceTopicPublishTime"] = published
            self._bury(self.definition.dead_letter_policy.dead_letter_topic, letter)
