"""Scans and requests taken from Redis."""

import json
from collections.abc import Iterator, Sequence
from contextlib import suppress
from typing import Any

import anyio
import pytest
from pydantic import ValidationError
from support.loop import closed_after, in_loop
from support.records import body
from support.redis_front import LOST, Command, RedisFront
from support.redis_looks import client, new_name
from support.source_run import Notebook, run_source

from scribe_connectors.redis import RedisSource, RedisSourceOptions
from scribe_export.errors import Misconfigured, Transient
from scribe_export.interface import Context
from scribe_export.model import Delivery
from scribe_export.testing.source_driver import Notes
from scribe_local.servers import LocalServer


@pytest.fixture
def looking(redis: LocalServer) -> Iterator[Any]:
    opened = client(redis.port)
    yield opened
    opened.close()


@pytest.fixture
def front(redis: LocalServer) -> Iterator[RedisFront]:
    with RedisFront(redis.port) as front:
        yield front


def url(server: LocalServer) -> str:
    return f"redis://{server.address}"


def source(url: str, *, once: bool = True, **more: Any) -> RedisSource:
    given = {"url": url, "timeout": 5.0, "lease": 1.0, **more}
    return closed_after(RedisSource(RedisSourceOptions.model_validate(given), Context("redis", once=once)))


def fill(looking: Any, where: dict[str, Any], numbers: Sequence[int]) -> None:
    for number in numbers:
        if "list" in where:
            looking.lpush(where["list"], body(number))
        else:
            looking.xadd(where["stream"], {"document": body(number)})


@pytest.fixture(params=["list", "stream"])
def where(request: pytest.FixtureRequest) -> dict[str, Any]:
    name = new_name(request.param)
    return {"list": name} if request.param == "list" else {"stream": name, "group": "exporters"}


async def taken(subject: RedisSource) -> list[str]:
    notebook = Notebook()
    await subject.open()
    try:
        await run_source(subject, notebook)
    finally:
        await subject.close()
    return notebook.ids


async def first(subject: RedisSource) -> Delivery:
    await subject.open()
    async for delivery in subject.deliveries(Notes()):
        return delivery
    raise AssertionError("nothing came")


def die(subject: RedisSource) -> Any:
    """As if the process were gone: no more signs of life, nothing given back."""
    return subject._reader._beat.stop()


@in_loop
async def test_nothing_is_left_behind_but_the_stream_itself(
    redis: LocalServer, looking: Any, where: dict[str, Any]
) -> None:
    fill(looking, where, range(1, 8))
    assert await taken(source(url(redis), max_records=3, **where)) == [str(n) for n in range(1, 8)]
    name = where.get("list") or where["stream"]
    left = sorted(key.decode() for key in looking.scan_iter(f"{name}*"))
    if "list" in where:
        assert left == [f"{name}:consumers"]
    else:
        assert left == [name]
        assert looking.xpending(name, "exporters")["pending"] == 0
        assert looking.xinfo_consumers(name, "exporters") == []
        assert looking.xlen(name) == 7


@in_loop
async def test_journalled_entries_are_deleted_if_asked(redis: LocalServer, looking: Any) -> None:
    where: dict[str, Any] = {"stream": new_name("stream"), "group": "exporters"}
    fill(looking, where, range(1, 4))
    assert await taken(source(url(redis), delete=True, **where)) == ["1", "2", "3"]
    assert looking.xlen(where["stream"]) == 0


@in_loop
async def test_what_a_dead_process_took_is_taken_over_after_its_lease(
    redis: LocalServer, looking: Any, where: dict[str, Any]
) -> None:
    fill(looking, where, range(1, 6))
    dead = source(url(redis), once=False, max_records=2, **where)
    delivery = await first(dead)
    assert len(delivery.incoming) == 2
    await die(dead)
    assert await taken(source(url(redis), **where)) in (["3", "4", "5", "1", "2"], ["1", "2", "3", "4", "5"])
    with suppress(Transient):
        await delivery.ack()  # it was only thought dead
    await dead.close()
    assert await taken(source(url(redis), **where)) == []


@in_loop
async def test_entries_that_are_deleted_before_they_were_read_are_missed(
    redis: LocalServer, front: RedisFront, looking: Any
) -> None:
    where: dict[str, Any] = {"stream": new_name("stream"), "group": "exporters"}
    fill(looking, where, range(1, 4))
    lost: list[Command] = []

    def lose_one(command: Command) -> bytes | None:
        if command[0] == b"XREADGROUP" and command[-1] == b">" and not lost:
            lost.append(command)
            return LOST
        return None

    subject, notebook = source(front.url, **where), Notebook()
    await subject.open()
    with front.scripted(lose_one), pytest.raises(Transient):
        await run_source(subject, notebook)
    assert (subject.gaps, subject.last_gap) == (0, None)
    ids = [entry for entry, _ in looking.xrange(where["stream"])]
    looking.xdel(where["stream"], *ids[:2])
    await run_source(subject, notebook)
    await subject.close()
    assert notebook.ids == ["3"]
    assert (subject.gaps, subject.last_gap and subject.last_gap.what) == (
        1,
        "entries of the stream deleted or trimmed before they were read: 2",
    )


@in_loop
async def test_entries_that_are_deleted_before_they_were_taken_over_are_missed(front: RedisFront, looking: Any) -> None:
    where: dict[str, Any] = {"stream": new_name("stream"), "group": "exporters"}
    redis_7 = b"*3\r\n$3\r\n0-0\r\n*0\r\n*3\r\n" + b"$3\r\n1-1\r\n" * 3
    answers = [redis_7]

    def answer_once(command: Command) -> bytes | None:
        return answers.pop() if command[0] == b"XAUTOCLAIM" and answers else None

    subject = source(front.url, **where)
    with front.scripted(answer_once):
        assert await taken(subject) == []
    assert subject.last_gap is not None
    assert subject.last_gap.what == "entries of the stream deleted or trimmed before they were read: 3"


@in_loop
async def test_what_a_living_process_holds_is_left_to_it(
    redis: LocalServer, looking: Any, where: dict[str, Any]
) -> None:
    fill(looking, where, range(1, 6))
    living = source(url(redis), once=False, max_records=2, lease=1.5, **where)
    delivery = await first(living)
    others = await taken(source(url(redis), lease=1.5, **where))
    assert others == ["3", "4", "5"]
    await delivery.ack()
    await living.close()
    assert await taken(source(url(redis), **where)) == []


@in_loop
async def test_what_the_server_gave_and_never_arrived_is_taken_up_again(
    front: RedisFront, looking: Any, where: dict[str, Any]
) -> None:
    fill(looking, where, range(1, 4))
    lost = [0]

    def lose_one(command: Command) -> bytes | None:
        taking = command[0] == b"BLMOVE" or (command[0] == b"XREADGROUP" and command[-1] == b">")
        lost[0] += taking
        return LOST if taking and lost[0] == 1 else None

    subject, notebook = source(front.url, once=False, lease=60.0, **where), Notebook()
    with front.scripted(lose_one):
        await subject.open()
        with pytest.raises(Transient):
            await run_source(subject, notebook)
        assert notebook.ids == []
        with anyio.fail_after(10):
            await run_source(subject, notebook, until=3)
    assert notebook.ids == ["1", "2", "3"]


@in_loop
async def test_a_clean_end_gives_back_at_once_what_was_not_journalled(
    redis: LocalServer, looking: Any, where: dict[str, Any]
) -> None:
    fill(looking, where, range(1, 6))
    ending = source(url(redis), once=False, max_records=2, lease=60.0, **where)
    await first(ending)
    await ending.close()
    if "list" in where:
        assert [json.loads(one)["scan_id"] for one in looking.lrange(where["list"], 0, -1)] == [5, 4, 3, 2, 1]
    with anyio.fail_after(20):
        assert sorted(await taken(source(url(redis), lease=60.0, **where))) == ["1", "2", "3", "4", "5"]


@in_loop
async def test_an_acknowledgement_that_fails_is_repeated_with_the_next(
    front: RedisFront, looking: Any, where: dict[str, Any]
) -> None:
    fill(looking, where, range(1, 5))
    failed = [0]

    def fail_first(command: Command) -> bytes | None:
        acking = command[0] in {b"LREM", b"XACK"}
        failed[0] += acking
        return b"-LOADING Redis is loading\r\n" if acking and failed[0] == 1 else None

    with front.scripted(fail_first):
        assert await taken(source(front.url, max_records=2, **where)) == ["1", "2", "3", "4"]
    assert await taken(source(front.url, **where)) == []


@in_loop
async def test_messages_without_an_id_have_one_that_stays(redis: LocalServer, looking: Any) -> None:
    listed, streamed = new_name("list"), new_name("stream")
    looking.lpush(listed, body(1))
    entry = looking.xadd(streamed, {"document": body(1)}).decode()
    by_list, by_stream = source(url(redis), list=listed), source(url(redis), stream=streamed, group="g")
    from_list, from_stream = await first(by_list), await first(by_stream)
    await by_list.close()
    again = await first(by_list)
    assert from_list.incoming[0].id == again.incoming[0].id
    assert len(from_list.incoming[0].id) == 64
    assert from_stream.incoming[0].id == entry


@in_loop
async def test_an_entry_without_the_field_keeps_what_it_has_and_is_no_scan(redis: LocalServer, looking: Any) -> None:
    name = new_name("stream")
    looking.xadd(name, {"scan_id": "7", "other": "x"})
    subject = source(url(redis), stream=name, group="g")
    delivery = await first(subject)
    assert json.loads(delivery.incoming[0].body) == [["scan_id", "7"], ["other", "x"]]


@in_loop
async def test_a_group_can_begin_with_what_comes(redis: LocalServer, looking: Any) -> None:
    where: dict[str, Any] = {"stream": new_name("stream"), "group": "late"}
    fill(looking, where, [1])
    assert await taken(source(url(redis), start="latest", **where)) == []
    fill(looking, where, [2])
    assert await taken(source(url(redis), start="latest", **where)) == ["2"]


@in_loop
async def test_what_is_unacknowledged_is_bounded(redis: LocalServer, looking: Any, where: dict[str, Any]) -> None:
    fill(looking, where, range(1, 10))
    subject = source(url(redis), once=False, max_unacked=4, max_records=2, **where)
    await subject.open()
    held: list[Delivery] = []
    with anyio.move_on_after(1.5):
        async for delivery in subject.deliveries(Notes()):
            held.append(delivery)  # noqa: PERF401 - it ends by a timeout
    assert sum(len(delivery.incoming) for delivery in held) == 4


@in_loop
async def test_a_list_of_another_kind_holds_the_source(redis: LocalServer, looking: Any) -> None:
    name = new_name("list")
    looking.set(name, "x")
    with pytest.raises(Misconfigured, match="WRONGTYPE"):
        await taken(source(url(redis), list=name, once=False))


@in_loop
async def test_replies_go_where_they_are_looked_for_and_do_not_pile_up(redis: LocalServer, looking: Any) -> None:
    listed, streamed = new_name("replies"), new_name("replies")
    replies = [json.dumps({"request_id": f"r{n}", "result": {"scan_id": n}}).encode() for n in range(1, 6)]
    for reply in ({"list": listed, "max_length": 3, "ttl": "1h"}, {"stream": streamed}):
        subject = source(url(redis), list=new_name("asks"), delivers="requests", reply=reply)
        assert subject.replies
        await subject.open()
        await subject.reply(replies[:2])
        await subject.reply(replies[2:])
    assert looking.lrange(listed, 0, -1) == replies[:1:-1]
    assert 3500 < looking.ttl(listed) <= 3600
    assert [fields for _, fields in looking.xrange(streamed)] == [
        {b"request_id": f"r{n}".encode(), b"document": replies[n - 1]} for n in range(1, 6)
    ]
    looking.set("test:wrong", "x")
    wrong = source(url(redis), list="test:asks", delivers="requests", reply={"list": "test:wrong"})
    with pytest.raises(Misconfigured):
        await wrong.reply(replies)


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({}, "give either list, or stream"),
        ({"list": "a", "stream": "b", "group": "g"}, "give either list, or stream"),
        ({"stream": "a"}, "belong together"),
        ({"list": "a", "group": "g"}, "belong together"),
        ({"list": "a", "delete": True}, "delete is for streams"),
        ({"list": "a", "reply": {"list": "b"}}, "delivers: requests"),
        ({"list": "a", "delivers": "requests", "reply": {}}, "give either list or stream"),
    ],
)
def test_wrong_options_are_refused_with_what_to_do(given: dict[str, Any], says: str) -> None:
    with pytest.raises(ValidationError) as found:
        RedisSourceOptions.model_validate({"url": "redis://localhost", **given})
    assert says in str(found.value)
