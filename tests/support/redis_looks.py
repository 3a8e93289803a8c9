"""What Redis holds, looked at by the genuine synchronous client."""

from collections.abc import Sequence
from typing import Any
from uuid import uuid4

import redis

from scribe_export.scan import read_fields
from scribe_export.testing.destination import Destination


def client(port: int) -> Any:
    """The synchronous client."""
    return redis.Redis(host="127.0.0.1", port=port, protocol=2)


def new_name(kind: str) -> str:
    """A key that nobody else uses."""
    return f"test:{kind}:{uuid4().hex}"


class Elements(Destination):
    """A list."""

    def __init__(self, looking: Any, name: str) -> None:
        self._redis, self._name = looking, name

    def held(self) -> Sequence[tuple[str, bytes]]:
        return [(read_fields(body).scan_id, body) for body in self._redis.lrange(self._name, 0, -1)]


class Entries(Destination):
    """A stream."""

    def __init__(self, looking: Any, name: str, field: bytes = b"document") -> None:
        self._redis, self._name, self._field = looking, name, field

    def held(self) -> Sequence[tuple[str, bytes]]:
        found = []
        for _, fields in self._redis.xrange(self._name):
            body = fields.get(self._field) or fields[b"other"]
            assert read_fields(body).scan_id == fields[b"scan_id"].decode()
            found.append((read_fields(body).scan_id, body))
        return found


class Keys(Destination):
    """Keys that begin with a prefix; every other one of the test's is a stray."""

    def __init__(self, looking: Any, prefix: str) -> None:
        self._redis, self._prefix = looking, prefix

    def held(self) -> Sequence[tuple[str, bytes]]:
        bodies = [self._redis.get(key) for key in self._redis.scan_iter(f"{self._prefix}*", count=1000)]
        return [(read_fields(body).scan_id, body) for body in bodies]


class Heard(Destination):
    """What a subscriber heard so far."""

    def __init__(self, looking: Any, name: str) -> None:
        self._redis, self._name = looking, name
        self._listening = looking.pubsub()
        self._listening.subscribe(name)
        assert self._listening.get_message(timeout=10)["type"] == "subscribe"
        self._found: list[bytes] = []

    def held(self) -> Sequence[tuple[str, bytes]]:
        mark = uuid4().hex.encode()
        # What was published before is heard before.
        self._redis.publish(self._name, mark)
        while (message := self._listening.get_message(timeout=10)) and message["data"] != mark:
            self._found.append(message["data"])
        return [(read_fields(body).scan_id, body) for body in self._found]

    def close(self) -> None:
        """End the subscription."""
        self._listening.close()
