"""Several processes with `buffer: none` share one queue, and one of them is killed: nothing is lost."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest
from support.pipeline import Pipeline, until
from support.queues import new_queue
from support.rabbit import new_queue as new_rabbit_queue
from support.rabbit import send
from support.records import body
from support.redis_looks import client, new_name
from support.s3 import aws_client

from scribe_local import servers
from scribe_local.servers import LocalServer

if TYPE_CHECKING:
    from mypy_boto3_sqs import SQSClient

pytestmark = pytest.mark.timeout(240)
SCANS = 1500


class Shared(NamedTuple):
    """A queue: the source that reads it, how scans get into it, and how many are left in it, the unacknowledged too."""

    source: Mapping[str, Any]
    fill: Callable[[list[bytes]], None]
    left: Callable[[], int]


@pytest.fixture
def sqs_queue(ministack: LocalServer) -> Iterator[Shared]:
    client: SQSClient = aws_client(ministack.url, "sqs")
    url = new_queue(client)

    def fill(bodies: list[bytes]) -> None:
        for start in range(0, len(bodies), 10):
            some = bodies[start : start + 10]
            entries: Any = [{"Id": str(n), "MessageBody": one.decode()} for n, one in enumerate(some)]
            client.send_message_batch(QueueUrl=url, Entries=entries)

    def left() -> int:
        names: list[Any] = ["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"]
        return sum(map(int, client.get_queue_attributes(QueueUrl=url, AttributeNames=names)["Attributes"].values()))

    key = {"access_key_id": servers.ACCESS_KEY, "secret_access_key": servers.SECRET_KEY}
    source = {"type": "aws_sqs", "queue_url": url, "endpoint_url": ministack.url, "region": servers.REGION}
    yield Shared(source | {"auth": key, "visibility_timeout": "5s", "wait_time": 1, "max_unacked": 200}, fill, left)
    client.close()


@pytest.fixture
def redis_stream(redis: LocalServer) -> Shared:
    name = new_name("stream")

    def fill(bodies: list[bytes]) -> None:
        with client(redis.port) as connection:
            for one in bodies:
                connection.xadd(name, {"document": one})

    def left() -> int:
        with client(redis.port) as connection:
            [group] = connection.xinfo_groups(name)
            unread = connection.xrange(name, min=f"({group['last-delivered-id'].decode()}")
            return len(unread) + int(group["pending"])

    source = {"type": "redis", "url": f"redis://{redis.address}", "stream": name, "group": "exporters"}
    return Shared(source | {"lease": "3s", "max_unacked": 200}, fill, left)


@pytest.fixture
def rabbit_queue(rabbitmq: servers.RabbitMq) -> Shared:
    name = new_rabbit_queue(rabbitmq.port, **{"x-queue-type": "quorum"})

    def left() -> int:
        rows = rabbitmq.control("list_queues", "--no-table-headers", "name", "messages").splitlines()
        return next(int(row.split()[1]) for row in rows if row.split()[0] == name)

    source = {"type": "rabbitmq", "url": rabbitmq.amqp_url, "queue": name, "max_unacked": 200}
    return Shared(source, lambda bodies: send(rabbitmq.port, name, *bodies), left)


@pytest.fixture
def shared(request: pytest.FixtureRequest) -> Shared:
    queue: Shared = request.getfixturevalue(request.param)
    return queue


QUEUES = pytest.mark.parametrize("shared", ["sqs_queue", "redis_stream", "rabbit_queue"], indirect=True)


def pipeline_of(shared: Shared, folder: Path) -> Pipeline:
    archive = {"type": "file", "directory": "archive", "key": "scans/{scan_id}.json"}
    letters = {"type": "file", "directory": "letters", "key": "dead/{scan_id}.json"}
    destinations = {"archive": archive, "letters": letters}
    return Pipeline(folder, destinations, sources={"queue": shared.source}, buffer="none", dead_letter="letters")


def _all_kept(pipeline: Pipeline, count: int) -> bool:
    return len(kept(pipeline)) == count


def kept(pipeline: Pipeline) -> list[Path]:
    return list((pipeline.folder / "archive" / "scans").glob("*.json"))


@QUEUES
@pytest.mark.parametrize("processes", [2, pytest.param(4, marks=pytest.mark.slow)])
@pytest.mark.fault("F-01")
def test_of_several_processes_on_one_queue_one_is_killed(shared: Shared, tmp_path: Path, processes: int) -> None:
    bodies = {str(n): body(n) for n in range(SCANS)}
    with pipeline_of(shared, tmp_path / "it") as pipeline, ThreadPoolExecutor(1) as producer:
        first, *others = [pipeline.start() for _ in range(processes)]
        for run in (first, *others):
            run.ready()
        filled = producer.submit(shared.fill, list(bodies.values()))
        until(lambda: len(kept(pipeline)) > SCANS / 10, what="delivering")
        first.kill()
        assert len(kept(pipeline)) < SCANS
        filled.result(60)
        until(lambda: len(kept(pipeline)) == SCANS, within=60, what="delivering the rest")
        until(lambda: shared.left() == 0, within=30, what="acknowledging the rest")
        for run in others:
            run.terminate()
            assert run.ended() == 0
        assert {path.stem: path.read_bytes() for path in kept(pipeline)} == bodies
        assert not list((pipeline.folder / "letters").rglob("*.json"))
        assert not pipeline.state.exists()


@QUEUES
@pytest.mark.slow
def test_the_rate_grows_with_the_processes(shared: Shared, tmp_path: Path) -> None:
    rates: dict[int, float] = {}
    for processes in (1, 2, 4):
        shared.fill([body(processes * 100_000 + n) for n in range(4 * SCANS)])
        with pipeline_of(shared, tmp_path / str(processes)) as pipeline:
            runs = [pipeline.start() for _ in range(processes)]
            for run in runs:
                run.ready()
            begun, before = time.monotonic(), len(kept(pipeline))
            until(partial(_all_kept, pipeline, 4 * SCANS), within=90, what="delivering")
            rates[processes] = (4 * SCANS - before) / (time.monotonic() - begun)
            for run in runs:
                run.terminate()
                assert run.ended() == 0
    print(", ".join(f"{count} processes {rate:.0f} scans/s" for count, rate in rates.items()))
