"""Redis keeps the contracts of sinks and sources."""

from collections.abc import Callable, Iterator, Mapping
from functools import partial
from itertools import count
from typing import Any, ClassVar

import pytest
from support.redis_front import RedisFront
from support.redis_looks import Elements, Entries, Heard, Keys, client, new_name

from scribe_connectors.redis import RedisSink, RedisSinkOptions, RedisSource, RedisSourceOptions
from scribe_export.interface import Context
from scribe_export.testing.records import scan_body
from scribe_export.testing.sink_contract import Destination, Faults, MakeSink, SinkContract
from scribe_export.testing.source_contract import MakeSource, Put, SourceContract
from scribe_local import servers


@pytest.fixture
def front(redis: servers.LocalServer) -> Iterator[RedisFront]:
    with RedisFront(redis.port) as front:
        yield front


@pytest.fixture
def looking(redis: servers.LocalServer) -> Iterator[Any]:
    opened = client(redis.port)
    yield opened
    opened.close()


class RedisSinkFixtures(SinkContract):
    kind: ClassVar[str]
    more: ClassVar[Mapping[str, Any]] = {}
    changed: ClassVar[Mapping[str, Any]]

    @pytest.fixture
    def name(self) -> str:
        return new_name(self.kind)

    @pytest.fixture
    def where(self, front: RedisFront, name: str) -> Mapping[str, Any]:
        return {"url": front.url, self.kind: name, "max_value_bytes": 100_000, "timeout": 10.0, **self.more}

    @pytest.fixture
    def sink(self, where: Mapping[str, Any]) -> MakeSink:
        return lambda: RedisSink(RedisSinkOptions.model_validate(where), Context("redis"))

    @pytest.fixture
    def reshaped(self, where: Mapping[str, Any]) -> MakeSink:
        options = RedisSinkOptions.model_validate({**where, **self.changed})
        return lambda: RedisSink(options, Context("redis"))

    @pytest.fixture
    def faults(self, front: RedisFront) -> Faults:
        return Faults(
            down=front.down,
            deny=front.denying,
            lose_answers=front.losing_answers,
            refuse=lambda record: front.refusing(record.body),
            requests=lambda: front.requests,
        )


class TestList(RedisSinkFixtures):
    kind = "list"
    changed: ClassVar[Mapping[str, Any]] = {"push": "right"}
    cannot_partially_fail = "one LPUSH takes all of a batch or nothing"

    @pytest.fixture
    def destination(self, looking: Any, name: str) -> Destination:
        return Elements(looking, name)


class TestStream(RedisSinkFixtures):
    kind = "stream"
    more: ClassVar[Mapping[str, Any]] = {"max_length": 100_000}
    changed: ClassVar[Mapping[str, Any]] = {"field": "other"}

    @pytest.fixture
    def destination(self, looking: Any, name: str) -> Destination:
        return Entries(looking, name)


class TestChannel(RedisSinkFixtures):
    kind = "channel"
    changed: ClassVar[Mapping[str, Any]] = {"fields": {"exclude": ["nothing"]}}

    @pytest.fixture
    def destination(self, looking: Any, name: str) -> Iterator[Destination]:
        heard = Heard(looking, name)
        yield heard
        heard.close()


class TestKeys(RedisSinkFixtures):
    kind = "key"
    changed: ClassVar[Mapping[str, Any]] = {"ttl": "1h"}

    @pytest.fixture
    def where(self, front: RedisFront, name: str) -> Mapping[str, Any]:
        return {"url": front.url, "key": f"{name}:{{scan_id}}", "max_value_bytes": 100_000, "timeout": 10.0}

    @pytest.fixture
    def destination(self, looking: Any, name: str) -> Destination:
        return Keys(looking, name)


class RedisSourceFixtures(SourceContract):
    @pytest.fixture
    def name(self) -> str:
        return new_name("source")

    @pytest.fixture
    def where(self, name: str) -> Mapping[str, Any]:
        raise NotImplementedError

    @pytest.fixture
    def add(self, looking: Any, name: str) -> Callable[[bytes], None]:
        raise NotImplementedError

    @pytest.fixture
    def source(self, front: RedisFront, where: Mapping[str, Any]) -> MakeSource:
        given = {"url": front.url, "max_records": 2, "timeout": 5.0, "lease": 1.0, **where}
        options = RedisSourceOptions.model_validate(given)
        return lambda *, once: RedisSource(options, Context("redis", once=once))

    @pytest.fixture
    def put(self, add: Callable[[bytes], None]) -> Put:
        return partial(_put, add, count(1))

    @pytest.fixture
    def faults(self, front: RedisFront) -> Faults:
        return Faults(down=front.down)


class TestElementsTaken(RedisSourceFixtures):
    @pytest.fixture
    def where(self, name: str) -> Mapping[str, Any]:
        return {"list": name}

    @pytest.fixture
    def add(self, looking: Any, name: str) -> Callable[[bytes], None]:
        return partial(looking.lpush, name)


class TestEntriesRead(RedisSourceFixtures):
    @pytest.fixture
    def where(self, name: str) -> Mapping[str, Any]:
        return {"stream": name, "group": "exporters"}

    @pytest.fixture
    def add(self, looking: Any, name: str) -> Callable[[bytes], None]:
        return lambda body: looking.xadd(name, {"document": body})


def _put(add: Callable[[bytes], None], numbers: Iterator[int], amount: int) -> Mapping[str, bytes]:
    added = {str(n): scan_body(n) for n, _ in zip(numbers, range(amount), strict=False)}
    for body in added.values():
        add(body)
    return added
