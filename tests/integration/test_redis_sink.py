"""Scans put into Redis."""

import json
import ssl
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import anyio
import pytest
from pydantic import ValidationError
from support.certificates import certificate
from support.eventually import eventually
from support.loop import closed_after, in_loop
from support.records import body, record, sealed, write
from support.redis_front import RESET, Command, RedisFront
from support.redis_looks import client, new_name

from scribe_connectors.redis import RedisSink, RedisSinkOptions
from scribe_export.errors import Conflict, Misconfigured, PartialFailure, SinkError, Throttled, Transient
from scribe_export.interface import Context
from scribe_export.model import EffectClass
from scribe_local import servers
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


def sink(url: str, **more: Any) -> RedisSink:
    options = RedisSinkOptions.model_validate({"url": url, "timeout": 10.0, **more})
    return closed_after(RedisSink(options, Context("redis")))


async def caught(subject: RedisSink, count: int = 1) -> SinkError:
    with pytest.raises(SinkError) as found:
        await write(subject, [record(n) for n in range(1, count + 1)])
    return found.value


@in_loop
async def test_a_reader_at_the_right_end_gets_scans_in_order_and_the_oldest_are_dropped_beyond_max_length(
    redis: LocalServer, looking: Any
) -> None:
    name = new_name("list")
    subject = sink(url(redis), list=name, max_length=3)
    assert await write(subject, [record(n) for n in (1, 2)]) == "list length 2"
    await write(subject, [record(n) for n in (3, 4)])
    assert [json.loads(looking.rpop(name))["scan_id"] for _ in range(3)] == [2, 3, 4]
    assert looking.rpop(name) is None
    right = sink(url(redis), list=name, push="right", max_length=1)
    await write(right, [record(5), record(6)])
    assert [json.loads(one)["scan_id"] for one in looking.lrange(name, 0, -1)] == [6]


@in_loop
async def test_a_stream_is_kept_to_about_its_length(redis: LocalServer, looking: Any) -> None:
    name = new_name("stream")
    subject = sink(url(redis), stream=name, max_length=100, field="scan")
    await write(subject, [record(n) for n in range(1, 500)])
    assert 100 <= looking.xlen(name) < 300
    [(_, newest)] = looking.xrevrange(name, count=1)
    assert newest == {b"scan_id": b"499", b"sha256": record(499).sha256.encode(), b"scan": body(499)}


@in_loop
async def test_the_receipt_of_a_channel_tells_how_many_heard(redis: LocalServer, looking: Any) -> None:
    name = new_name("channel")
    subject = sink(url(redis), channel=name)
    assert await write(subject, [record(1)]) == "1 messages, heard by 0 to 0"
    with looking.pubsub() as listening:
        listening.subscribe(name)
        listening.get_message(timeout=5)
        assert await write(subject, [record(2), record(3)]) == "2 messages, heard by 1 to 1"


@in_loop
async def test_a_key_that_holds_something_else_is_a_conflict_of_that_scan_alone(
    redis: LocalServer, looking: Any
) -> None:
    prefix = new_name("keys")
    looking.set(f"{prefix}:1", json.dumps(json.loads(body(1)), indent=4))
    looking.set(f"{prefix}:2", body(2, notes="another"))
    looking.hset(f"{prefix}:3", "scan", "3")
    subject = sink(url(redis), key=f"{prefix}:{{scan_id}}")
    with pytest.raises(PartialFailure) as found:
        await write(subject, [record(n) for n in (1, 2, 3, 4)])
    assert found.value.acked == {0, 3}
    assert [type(error) for _, error in sorted(found.value.errors.items())] == [Conflict, Conflict]
    assert looking.get(f"{prefix}:2") == body(2, notes="another")
    assert looking.get(f"{prefix}:4") == body(4)
    assert looking.ttl(f"{prefix}:4") == -1

    keeping = sink(url(redis), key=f"{prefix}:{{scan_id}}", on_conflict="keep", ttl="1h")
    assert keeping.effect.kind is EffectClass.WINDOWED
    assert await write(keeping, [record(n) for n in (1, 2, 3, 5)]) == "4 keys, 3 of them there already"
    assert 3500 < looking.ttl(f"{prefix}:5") <= 3600


@pytest.mark.parametrize(
    ("reply", "kind", "applied"),
    [
        ("OOM command not allowed when used memory > 'maxmemory'.", Throttled, "no"),
        ("READONLY You can't write against a read only replica.", Transient, "no"),
        ("LOADING Redis is loading the dataset in memory", Transient, "no"),
        ("MASTERDOWN Link with MASTER is down", Transient, "no"),
        ("BUSY Redis is busy running a script.", Transient, "no"),
        ("ERR something new", Transient, "no"),
        ("NOAUTH Authentication required.", Misconfigured, "no"),
        ("WRONGPASS invalid username-password pair", Misconfigured, "no"),
        ("NOPERM this user has no permissions", Misconfigured, "no"),
        ("WRONGTYPE Operation against a key holding the wrong kind of value", Misconfigured, "no"),
        ("MISCONF Redis is configured to save RDB snapshots", Misconfigured, "no"),
        ("MOVED 3999 127.0.0.1:6381", Misconfigured, "no"),
    ],
)
@in_loop
async def test_error_replies_are_told_apart_by_their_codes(
    front: RedisFront, reply: str, kind: type[SinkError], applied: str
) -> None:
    with front.scripted(lambda command: f"-{reply}\r\n".encode()):
        error = await caught(sink(front.url, list="never"))
    assert type(error) is kind
    assert error.applied == applied
    assert reply.partition(" ")[0] in str(error) or "another node" in str(error)


@pytest.mark.parametrize("reply", ["READONLY You can't write against a read only replica.", "LOADING Redis is loading"])
@in_loop
async def test_after_a_failover_the_connection_is_made_anew(front: RedisFront, redis: LocalServer, reply: str) -> None:
    subject = sink(front.url, list=new_name("list"))
    await subject.open()
    first = front.connections
    with front.scripted(lambda command: f"-{reply}\r\n".encode()), pytest.raises(Transient):
        await write(subject, [record(1)])
    await write(subject, [record(1)])
    # The front learns of a closed connection from its own thread.
    await eventually(lambda: first.isdisjoint(front.connections))
    assert front.connections


@in_loop
async def test_a_connection_that_breaks_amid_the_replies_acks_those_that_came(front: RedisFront, looking: Any) -> None:
    name, came = new_name("stream"), [0]

    def third(command: Command) -> bytes | None:
        came[0] += command[0] == b"XADD"
        return RESET if came[0] == 3 else None

    subject = sink(front.url, stream=name)
    with front.scripted(third), pytest.raises(PartialFailure) as found:
        await write(subject, [record(n) for n in range(1, 6)])
    assert found.value.acked == {0, 1}
    assert {error.applied for error in found.value.errors.values()} == {"unknown"}
    assert looking.xlen(name) == 2


@in_loop
async def test_a_wrong_name_or_user_holds_the_destination(redis: LocalServer, looking: Any) -> None:
    name = new_name("list")
    looking.set(name, "no list")
    error = await caught(sink(url(redis), list=name))
    assert isinstance(error, Misconfigured)
    looking.acl_setuser("writer", enabled=True, passwords=["+s3cret"], keys=[name], commands=["+rpush"])
    for password in ("s3cret", "wrong"):
        subject = sink(url(redis), list=name, username="writer", password=password)
        if password == "s3cret":
            await subject.open()  # who may not ping may write all the same
        else:
            with pytest.raises(Misconfigured) as refused:
                await subject.open()
            assert password not in str(refused.value)
        assert isinstance(await caught(subject), Misconfigured)
    looking.delete(name)
    subject = sink(url(redis), list=name, username="writer", password="s3cret", push="right")
    await write(subject, [record(1)])
    assert looking.llen(name) == 1
    looking.acl_deluser("writer")


@in_loop
async def test_a_full_server_and_replicas_that_lag() -> None:
    with servers.redis() as server:
        lagging = sink(url(server), list="a", wait_replicas=1, timeout=1.0)
        error = await caught(lagging)
        assert isinstance(error, Transient)
        assert (error.applied, "0 replicas" in str(error)) == ("unknown", True)
        with servers.redis(replica_of=server.port) as replica:
            following = sink(url(server), list="a", wait_replicas=1)
            with anyio.fail_after(20):
                while True:
                    try:
                        await write(following, [record(1)])
                        break
                    except Transient:
                        await anyio.sleep(0.1)
            with client(replica.port) as looking:
                assert looking.llen("a") >= 1
            readonly = await caught(sink(url(replica), list="a"))
            assert (type(readonly), readonly.applied) == (Transient, "no")
        with client(server.port) as looking:
            looking.config_set("maxmemory", "1")
        full = await caught(sink(url(server), list="a"))
        assert (type(full), full.applied) == (Throttled, "no")


@in_loop
async def test_a_server_that_hangs_is_given_up_in_time_and_unknown(front: RedisFront) -> None:
    subject, over = sink(front.url, list=new_name("list"), timeout=0.5), threading.Event()

    def hang(command: Command) -> bytes | None:
        if command[0] == b"LPUSH":
            over.wait(5)
            return RESET
        return None

    await subject.open()
    with front.scripted(hang), anyio.fail_after(4):
        error = await caught(subject)
    over.set()
    assert (type(error), error.applied) == (Transient, "unknown")


@in_loop
async def test_a_server_that_is_not_there_surely_took_nothing() -> None:
    with servers.redis() as server:
        gone = url(server)
    error = await caught(sink(gone, list="a"))
    assert (type(error), error.applied) == (Transient, "no")


@in_loop
async def test_a_certificate_is_trusted_if_its_authority_is(redis: LocalServer, tmp_path: Path) -> None:
    made = certificate(tmp_path)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(made.chain, made.key)
    with RedisFront(redis.port, tls=context) as front:
        error = await caught(sink(front.url, list="a"))
        assert isinstance(error, Misconfigured)
        assert "tls.ca_file" in str(error)
        with pytest.raises(Misconfigured, match="not there"):
            await sink(front.url, list="a", tls={"ca_file": str(tmp_path / "missing.pem")}).open()
        trusting = sink(front.url, list=new_name("list"), tls={"ca_file": str(made.chain)})
        await trusting.open()
        assert await write(trusting, [record(1)]) == "list length 1"


@pytest.mark.parametrize(
    ("where", "method"),
    [
        ({"list": "a", "max_length": 5, "wait_replicas": 0}, "LPUSH"),
        ({"stream": "b"}, "XADD"),
        ({"channel": "c"}, "PUBLISH"),
        ({"key": "test:preview:{scan_id}:{sha256}", "ttl": "1s"}, "SET"),
    ],
    ids=str,
)
@in_loop
async def test_a_preview_is_what_goes_over_the_wire(front: RedisFront, where: dict[str, Any], method: str) -> None:
    where = {name: new_name("preview") if name in {"list", "stream", "channel"} else v for name, v in where.items()}
    subject = sink(front.url, **where)
    records = [record(n) for n in (1, 2, 3)]
    [previewed] = await subject.preview(subject.encode(sealed(subject, records)))
    assert not front.wire
    await write(subject, records)
    assert previewed.body == b"".join(front.wire)
    assert (previewed.method, previewed.target) == (method, f"{front.url}/0")
    assert previewed.records == (0, 1, 2)


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({}, "exactly one of"),
        ({"list": "a", "stream": "b"}, "exactly one of"),
        ({"key": "a:{batch_id}"}, "needs {scan_id}"),
        ({"list": "a", "ttl": "1h"}, "ttl is for keys"),
        ({"channel": "a", "max_length": 3}, "max_length is for"),
        ({"channel": "a", "wait_replicas": 1}, "keeps nothing"),
        ({"key": "a:{scan_id}", "on_conflict": "overwrite"}, "use version"),
        ({"list": "a", "url": "redis://me:secret@host"}, "use the options username"),
        ({"list": "a", "url": "http://host"}, "redis:// or rediss://"),
        ({"list": "a", "url": "redis://host/?db=2"}, "database's number"),
        ({"list": "a", "url": "redis://169.254.169.254"}, "metadata service"),
        ({"list": "a", "tls": {"ca_file": "ca.pem"}}, "rediss://"),
        ({"list": "a", "username": "me"}, "needs a password"),
    ],
)
def test_wrong_options_are_refused_with_what_to_do(given: dict[str, Any], says: str) -> None:
    with pytest.raises(ValidationError) as found:
        RedisSinkOptions.model_validate({"url": "redis://localhost", **given})
    assert says in str(found.value)
    assert "secret" not in str([error["msg"] for error in found.value.errors()])
