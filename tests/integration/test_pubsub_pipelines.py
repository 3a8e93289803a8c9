"""Publishing by the program itself, over real sockets, while calls fail."""

import threading
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import grpc
import pytest
from support.grpc_front import Call, GrpcFront, Status
from support.pipeline import Pipeline, until
from support.published import Request, firsts, of_material, published, refusing, scan_ids
from support.records import body
from support.topics import Clients, SubscriptionContents, clients

from scribe_local.servers import LocalServer


@pytest.fixture
def front(pubsub: LocalServer) -> Iterator[GrpcFront]:
    with GrpcFront(pubsub.address) as front:
        yield front


@pytest.fixture
def cloud(pubsub: LocalServer) -> Iterator[Clients]:
    with clients(pubsub.address) as found:
        yield found


@pytest.fixture
def topic(cloud: Clients) -> str:
    return cloud.topic()


@pytest.fixture
def contents(cloud: Clients, topic: str) -> SubscriptionContents:
    return SubscriptionContents(cloud, cloud.subscription(topic, enable_message_ordering=True))


@pytest.mark.fault("F-15")
def test_a_failing_key_waits_and_its_rest_follows_in_order_while_others_flow(
    tmp_path: Path, front: GrpcFront, topic: str, contents: SubscriptionContents
) -> None:
    # F-15: the third request of a key fails until all others have arrived.
    materials = ["oak", "pine", "steel"]
    given = {number: materials[number % 3] for number in range(1, 301)}
    of = {name: [str(n) for n, material in given.items() if material == name] for name in materials}
    third, others_are_there = [0], threading.Event()

    def script(call: Call) -> Status | None:
        if not call.method.endswith("/Publish"):
            return None
        request = Request.FromString(call.body)
        if request.messages[0].ordering_key != "oak":
            return None
        third[0] += 1
        stuck = third[0] >= 3 and not others_are_there.is_set()
        return Status(grpc.StatusCode.UNAVAILABLE) if stuck else None

    options = {"ordering_key": "{material}", "batch": {"max_records": 30}}
    with _pipeline(tmp_path, front, topic, options, lambda n: of_material(n, given[n]), 300) as pipeline:
        with front.scripted(script):
            run = pipeline.start("--until-idle")
            others = set(of["pine"] + of["steel"])
            until(lambda: others <= set(scan_ids(contents.look())), what="other keys' delivery")
            assert not set(of["oak"][20:]) & set(scan_ids(contents.messages))
            others_are_there.set()
            assert run.ended() == 0, run.log.read_text()[-2000:]
        row = pipeline.status()["announce"]
    assert (row.delivered, row.dead, row.pending) == (300, 0, 0)
    found = contents.look()
    for name in materials:
        ids = scan_ids([one for one in found if one.ordering_key == name])
        assert firsts(ids) == of[name]
    assert {one.ordering_key for one in found} == set(materials)
    assert all(len({one.ordering_key for one in request.messages}) == 1 for request in published(front))


@pytest.mark.fault("F-09")
def test_lost_answers_lose_nothing_and_keep_the_order(
    tmp_path: Path, front: GrpcFront, topic: str, contents: SubscriptionContents
) -> None:
    calls = [0]

    def script(_: Call) -> None:
        calls[0] += 1
        front._losing = calls[0] % 3 == 0

    options = {"ordering_key": "all", "batch": {"max_records": 20}}
    with _pipeline(tmp_path, front, topic, options, body, 200) as pipeline, front.scripted(script):
        finished = pipeline.until_idle("--max-wait", "60s")
        row = pipeline.status()["announce"]
    front._losing = False
    assert finished.returncode == 0, finished.stderr[-2000:]
    assert (row.delivered, row.dead) == (200, 0)
    ids = scan_ids(contents.look())
    assert len(ids) > 200, "no answer was lost"
    assert firsts(ids) == [str(n) for n in range(1, 201)]


def test_expired_credentials_hold_everything_and_give_up_nothing(
    tmp_path: Path, front: GrpcFront, topic: str, contents: SubscriptionContents
) -> None:
    with _pipeline(tmp_path, front, topic, {}, body, 50) as pipeline:
        with front.answering(Status(grpc.StatusCode.UNAUTHENTICATED)):
            assert pipeline.until_idle("--max-wait", "3s").returncode == 1
        row = pipeline.status()["announce"]
        assert (row.delivered, row.dead, row.pending) == (0, 0, 50)
        assert pipeline.until_idle("--max-wait", "60s").returncode == 0
    assert firsts(scan_ids(contents.look())) == [str(n) for n in range(1, 51)]


def test_throttling_only_delays(tmp_path: Path, front: GrpcFront, topic: str, contents: SubscriptionContents) -> None:
    calls = [0]

    def script(_: Call) -> Status | None:
        calls[0] += 1
        return Status(grpc.StatusCode.RESOURCE_EXHAUSTED) if calls[0] <= 12 else None

    options = {"batch": {"max_records": 10}}
    with _pipeline(tmp_path, front, topic, options, body, 100) as pipeline, front.scripted(script):
        assert pipeline.until_idle("--max-wait", "60s").returncode == 0
        row = pipeline.status()["announce"]
    assert (row.delivered, row.dead) == (100, 0)
    # The service said that it took nothing, so nothing is there twice.
    assert sorted(map(int, scan_ids(contents.look()))) == list(range(1, 101))


def test_one_message_that_the_topic_refuses_is_dead_and_the_others_arrive(
    tmp_path: Path, front: GrpcFront, topic: str, contents: SubscriptionContents
) -> None:
    options = {"batch": {"max_records": 100}}
    script = refusing("77", grpc.StatusCode.INVALID_ARGUMENT)
    with _pipeline(tmp_path, front, topic, options, body, 200) as pipeline, front.scripted(script):
        finished = pipeline.until_idle("--max-wait", "60s")
        dead = pipeline.query("SELECT scan_id, class FROM delivery JOIN scan USING(seq)")
        row = pipeline.status()["announce"]
    assert finished.returncode == 1
    assert dead == [("77", "rejected")]
    assert (row.delivered, row.dead, row.pending) == (199, 1, 0)
    assert sorted(map(int, scan_ids(contents.look()))) == [n for n in range(1, 201) if n != 77]


def test_poison_and_oversize_are_dead_letters_and_the_others_arrive(
    tmp_path: Path, front: GrpcFront, topic: str, contents: SubscriptionContents
) -> None:
    poison = {
        7: of_material(7, "é" * 513),
        11: body(11, notes="n" * 9_600_000),
        13: of_material(13, "x" * 1025),
    }
    options = {"attributes": {"material": "{material}"}}
    with _pipeline(tmp_path, front, topic, options, lambda n: poison.get(n, body(n)), 50) as pipeline:
        finished = pipeline.until_idle("--max-wait", "60s")
        dead = pipeline.query("SELECT class FROM delivery ORDER BY seq")
    assert finished.returncode == 1
    assert [kind for (kind,) in dead] == ["rejected", "too_large", "rejected"]
    assert sorted(map(int, scan_ids(contents.look()))) == [n for n in range(1, 51) if n not in poison]


def _pipeline(
    folder: Path, front: GrpcFront, topic: str, options: Mapping[str, Any], make: Callable[[int], bytes], count: int
) -> Pipeline:
    announce = {
        "type": "gcp_pubsub",
        "topic": topic,
        "endpoint_url": front.url,
        "retry": {"base_delay": "20ms", "max_delay": "100ms", "max_attempts": 100},
        "breaker": {"timeout": "100ms"},
        **options,
    }
    scans = {"scans": {"type": "file", "path": "scans.jsonl"}}
    pipeline = Pipeline(folder / "it", {"announce": announce}, sources=scans)
    (folder / "it" / "scans.jsonl").write_bytes(b"".join(make(n) + b"\n" for n in range(1, count + 1)))
    return pipeline
