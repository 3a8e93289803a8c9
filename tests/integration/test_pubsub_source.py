"""What is particular to receiving: leases, acknowledgements, streams that break, and consumers that die."""

import threading
from collections.abc import Callable, Iterator
from contextlib import aclosing
from pathlib import Path
from typing import Any, cast

import anyio
import grpc
import pytest
from pydantic import ValidationError
from structlog.testing import capture_logs
from support.eventually import eventually
from support.grpc_front import Call, GrpcFront, Status
from support.loop import in_loop
from support.oracle import Oracle, held_in
from support.pipeline import Pipeline, until
from support.records import Journalled, body
from support.source_run import Notebook, run_source
from support.topics import Clients, clients

from scribe_connectors.gcp._pubsub import pubsub_client
from scribe_connectors.gcp._pubsub_held import Held
from scribe_connectors.gcp.pubsub import PubsubSource, PubsubSourceOptions
from scribe_export.errors import Misconfigured, Transient
from scribe_export.interface import Context
from scribe_export.model import Delivery
from scribe_local.servers import LocalServer

CONSUMING = {"StreamingPull", "Pull", "Acknowledge", "ModifyAckDeadline"}  # what pubsub.subscriptions.consume allows


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
def name(cloud: Clients, topic: str) -> str:
    return cloud.subscription(topic)


def source(url: str, name: str, *, once: bool = False, **options: Any) -> PubsubSource:
    given = {"subscription": name, "endpoint_url": url, "idle_timeout": 0.5, **options}
    return PubsubSource(PubsubSourceOptions.model_validate(given), Context("asks", once=once))


async def read(subject: PubsubSource, count: int | None = None) -> Notebook:
    notebook = Notebook()
    await subject.open()
    try:
        with anyio.fail_after(60):
            await run_source(subject, notebook, until=count)
    finally:
        await subject.close()
    return notebook


def send(cloud: Clients, topic: str, first: int, last: int) -> None:
    cloud.send(topic, *[body(n) for n in range(first, last + 1)])


class TestReceiving:
    @pytest.mark.parametrize("exactly_once", [False, True])
    @pytest.mark.parametrize("once", [False, True])
    def test_everything_comes_in_few_deliveries_and_is_gone_after_its_ack(
        self, cloud: Clients, front: GrpcFront, topic: str, once: bool, exactly_once: bool
    ) -> None:
        name = cloud.subscription(topic, enable_exactly_once_delivery=exactly_once)
        send(cloud, topic, 1, 1000)

        @in_loop
        async def check() -> None:
            notebook = await read(source(front.url, name, once=once), None if once else 1000)
            assert sorted(map(int, notebook.ids)) == list(range(1, 1001))
            assert len(notebook.sizes) <= 20
            assert max(notebook.sizes) <= 500

        check()
        assert not cloud.pull(name, wait=False)
        methods = {call.method.rpartition("/")[2] for call in front.received}
        assert methods <= CONSUMING
        acknowledged = front.bodies("Acknowledge")
        assert 2 <= len(acknowledged) <= 20

    def test_a_stream_takes_a_large_message(self, cloud: Clients, front: GrpcFront, topic: str, name: str) -> None:
        large = body(1, notes="n" * 9_000_000)
        cloud.send(topic, large)

        @in_loop
        async def check() -> None:
            notebook = await read(source(front.url, name), 1)
            assert notebook.bodies["1"] == large

        check()

    def test_flow_control_leaves_the_rest_to_others(
        self, cloud: Clients, front: GrpcFront, topic: str, name: str
    ) -> None:
        send(cloud, topic, 1, 50)

        @in_loop
        async def check() -> None:
            subject = source(front.url, name, max_unacked=10)
            await subject.open()
            held: list[Delivery] = []
            async with aclosing(cast("Any", subject.deliveries(Journalled()))) as deliveries:
                while sum(len(one.incoming) for one in held) < 10:
                    held.append(await anext(deliveries))
                others = await anyio.to_thread.run_sync(cloud.drained, name)
                assert len(others) == 40
                for one in held:
                    await one.ack()
                await anyio.to_thread.run_sync(send, cloud, topic, 51, 51)
                assert len((await anext(deliveries)).incoming) == 1
            await subject.close()

        check()

    def test_nothing_runs_on_after_close(self, cloud: Clients, front: GrpcFront, topic: str, name: str) -> None:
        send(cloud, topic, 1, 5)
        for once in (False, True):

            @in_loop
            async def check(once: bool = once) -> None:
                subject = source(front.url, name, once=once)
                await subject.open()
                deliveries = cast("Any", subject.deliveries(Journalled()))
                async with aclosing(deliveries):
                    await anext(deliveries)
                await subject.close()

            check()
            until(lambda: not _threads(), what="the end of its threads")
            # What it had in its hands is there for the next at once.
            left = cloud.pull(name)
            assert len(left) == 5
            cloud.modify(name, 0, *left)

    @pytest.mark.parametrize(
        "options",
        [
            {"subscription": "x"},
            {"subscription": "projects/p/topics/scans"},
            {"subscription": "scans", "lease": 5},
            {"subscription": "scans", "lease": 601},
            {"subscription": "scans", "max_records": 1001},
        ],
    )
    def test_options_that_cannot_work_are_refused_at_load(self, options: dict[str, Any]) -> None:
        with pytest.raises(ValidationError):
            PubsubSourceOptions.model_validate(options)


class TestLeases:
    def test_a_message_stays_ours_for_as_long_as_the_journal_has_it(
        self, cloud: Clients, pubsub: LocalServer, topic: str, name: str
    ) -> None:
        send(cloud, topic, 1, 3)
        client = pubsub_client(
            PubsubSourceOptions(subscription=name, endpoint_url=pubsub.url), "subscription", name, folder=Path()
        )
        held = Held(client, lease=6, timeout=20)
        held.start()
        messages = cloud.pull(name)
        held.add(messages, leased=False)
        others = threading.Event()

        def steal() -> None:
            if cloud.pull(name):
                others.set()

        thief = threading.Thread(target=steal)
        thief.start()
        assert not others.wait(9), "a message came to somebody else while it was held"
        assert len(held) == 3
        held.acknowledge(messages[:1])
        held.stop()
        # What was not acknowledged is given back when it ends.
        assert others.wait(30)
        thief.join()
        client.close()

    def test_a_refused_delivery_comes_again(self, cloud: Clients, front: GrpcFront, topic: str, name: str) -> None:
        send(cloud, topic, 1, 3)
        refused = [1]

        def take(_: Delivery) -> bool:
            refused[0] -= 1
            return refused[0] < 0

        @in_loop
        async def check() -> None:
            notebook = Notebook()
            subject = source(front.url, name)
            await subject.open()
            with anyio.fail_after(60):
                await run_source(subject, notebook, take=take, until=3)
            await subject.close()
            assert sorted(notebook.ids) == ["1", "2", "3"]

        check()

    def test_an_ack_that_did_not_get_through_is_made_again(
        self, cloud: Clients, front: GrpcFront, topic: str, name: str
    ) -> None:
        send(cloud, topic, 1, 20)
        failing = [3]

        def script(call: Call) -> Status | None:
            if call.method.endswith("/Acknowledge") and failing[0]:
                failing[0] -= 1
                return Status(grpc.StatusCode.UNAVAILABLE)
            return None

        @in_loop
        async def check() -> None:
            with front.scripted(script):
                notebook = await read(source(front.url, name, once=True, max_records=5))
                assert sorted(map(int, notebook.ids)) == list(range(1, 21))

        check()
        assert failing == [0]
        assert _acknowledged(front) == 20
        assert not cloud.pull(name, wait=False)

    def test_an_ack_id_that_has_ended_makes_a_redelivery(self, cloud: Clients, front: GrpcFront, topic: str) -> None:
        name = cloud.subscription(topic, enable_exactly_once_delivery=True)
        send(cloud, topic, 1, 2)

        @in_loop
        async def check() -> None:
            subject = source(front.url, name)
            await subject.open()
            async with aclosing(cast("Any", subject.deliveries(Journalled()))) as deliveries:
                first = await anext(deliveries)
                assert len(first.incoming) == 2
                # Its time is up before it is journalled, and the service hands one of the two out again.
                stolen = next(iter(subject._held._until))
                await anyio.to_thread.run_sync(_expire, cloud, name, stolen)
                with capture_logs() as logs:
                    await first.ack()
                assert [(one["again"], one["expired"]) for one in logs] == [(0, 1)]
                second = await anext(deliveries)
                assert len(second.incoming) == 1
                await second.ack()
            await subject.close()

        check()
        assert not cloud.pull(name, wait=False)


class TestStreams:
    def test_a_stream_that_breaks_is_opened_again(
        self, cloud: Clients, front: GrpcFront, topic: str, name: str
    ) -> None:
        send(cloud, topic, 1, 5)

        @in_loop
        async def check() -> None:
            notebook, subject = Notebook(), source(front.url, name)
            await subject.open()
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(lambda: run_source(subject, notebook, until=10))
                await eventually(lambda: len(notebook.ids) == 5, within=60)
                await anyio.to_thread.run_sync(front.break_streams)
                await anyio.to_thread.run_sync(send, cloud, topic, 6, 10)
            await subject.close()
            assert sorted(map(int, notebook.ids)) == list(range(1, 11))

        check()
        assert len(front.bodies("StreamingPull")) == 2

    @pytest.mark.parametrize("once", [False, True])
    @pytest.mark.parametrize(
        ("code", "kind"),
        [
            (grpc.StatusCode.UNAVAILABLE, Transient),
            (grpc.StatusCode.PERMISSION_DENIED, Misconfigured),
            (grpc.StatusCode.UNAUTHENTICATED, Misconfigured),
            (grpc.StatusCode.NOT_FOUND, Misconfigured),
        ],
    )
    def test_a_failure_is_said_by_its_code(
        self, front: GrpcFront, name: str, code: grpc.StatusCode, kind: type[Exception], once: bool
    ) -> None:
        @in_loop
        async def check() -> None:
            with front.answering(Status(code)), pytest.raises(kind):
                await read(source(front.url, name, once=once))

        check()


class TestPipelines:
    """The program itself, killed and run again."""

    def test_what_a_killed_consumer_held_comes_again_and_none_is_lost(
        self, tmp_path: Path, cloud: Clients, front: GrpcFront, topic: str
    ) -> None:
        name = cloud.subscription(topic)
        oracle = Oracle()
        cloud.send(topic, *[oracle.give(n) for n in range(1, 401)])
        acks = threading.Event()

        def script(call: Call) -> Status | None:
            # The first acknowledgements never arrive, so that the kill finds messages in its hands.
            if call.method.endswith("/Acknowledge"):
                acks.set()
                return Status(grpc.StatusCode.UNAVAILABLE)
            return None

        with _pipeline(tmp_path, front.url, name) as pipeline:
            with front.scripted(script):
                run = pipeline.start()
                until(acks.is_set, what="the first acknowledgement", within=60)
                run.kill()
            cloud.send(topic, *[oracle.give(n) for n in range(401, 501)])
            run = pipeline.start()
            until(lambda: not oracle.compare(held_in(tmp_path / "it" / "copy")), within=60, what="the archive")
            # The leases of the killed one end, and what comes again is known.
            until(lambda: _acknowledged(front) >= 500, within=60, what="the acknowledgement of all")
            run.terminate()
            assert run.ended() == 0
            assert str(oracle.compare(held_in(tmp_path / "it" / "copy"))) == "no difference"
            assert pipeline.query("SELECT count(*) FROM scan") == [(500,)]
        assert not cloud.pull(name, wait=False)

    def test_a_scan_that_is_published_twice_is_delivered_once(
        self, tmp_path: Path, cloud: Clients, pubsub: LocalServer, topic: str
    ) -> None:
        name = cloud.subscription(topic)
        oracle = Oracle()
        bodies = [oracle.give(n) for n in range(1, 101)]
        cloud.send(topic, *bodies)
        cloud.send(topic, *reversed(bodies))
        with _pipeline(tmp_path, pubsub.url, name) as pipeline:
            finished = pipeline.until_idle()
            assert finished.returncode == 0, finished.stderr[-2000:]
            assert str(oracle.compare(held_in(tmp_path / "it" / "copy"))) == "no difference"
        assert not cloud.pull(name, wait=False)


def _pipeline(folder: Path, url: str, name: str) -> Pipeline:
    asks = {"type": "gcp_pubsub", "subscription": name, "endpoint_url": url, "lease": "10s", "idle_timeout": "1s"}
    copy = {"type": "file", "directory": "copy", "key": "scans/{scan_id}.json"}
    return Pipeline(folder / "it", {"copy": copy}, sources={"asks": asks})


def _acknowledged(front: GrpcFront) -> int:
    from google.pubsub_v1 import types

    parse: Callable[[bytes], Any] = types.AcknowledgeRequest.pb().FromString
    passed = front.passed("Acknowledge")
    return sum(len(parse(one).ack_ids) for one in passed)


def _threads() -> list[str]:
    return [one.name for one in threading.enumerate() if one.name.startswith("pubsub-")]


def _expire(cloud: Clients, name: str, ack_id: str) -> None:
    cloud.streaming.modify_ack_deadline(
        subscription=name, ack_ids=[ack_id], ack_deadline_seconds=0, retry=None, timeout=20
    )
