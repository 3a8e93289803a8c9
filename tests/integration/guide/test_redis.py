"""The guide's Redis class, and a running exporter that performs what it asks for and answers where it looks."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from support.filed import FILES, all_filed, filed
from support.guide import load
from support.guide_program import started
from support.guide_verdicts import expected_failure, promised
from support.pipeline import Pipeline, until
from support.redis_front import RedisFront
from support.redis_looks import client

from scribe_local.servers import LocalServer, Simulator

TITLE = "Redis Queue Integration"
ASKS, RESULTS, STATUS = "scribe:scan_requests", "scribe:scan_results", "scribe:system_status"
pytestmark = pytest.mark.usefixtures("event_loop")


@pytest.fixture
def server(redis: LocalServer) -> LocalServer:
    """Without requests, results and listeners of others: the guide's names are fixed."""
    with client(redis.port) as looking:
        looking.delete(ASKS, RESULTS)
        looking.client_kill_filter(_type="pubsub")
    return redis


@pytest.fixture
def guide() -> Any:
    return load(TITLE)


@pytest.fixture
def integration(guide: Any, server: LocalServer) -> Iterator[Any]:
    made = guide.ScribeRedisIntegration("127.0.0.1", server.port)
    yield made
    made.redis_client.close()


def answering(folder: Path, server: LocalServer, simulator: Simulator) -> Pipeline:
    """Performs the guide's requests, answers them, and files the scans."""
    asks: dict[str, Any] = {"type": "redis", "url": f"redis://{server.address}", "delivers": "requests"}
    asks |= {"list": ASKS, "reply": {"list": RESULTS}}
    return Pipeline(folder, FILES, sources={"asks": asks}, scanner={"type": "scribe_api", "url": simulator.url})


# Its sleep is not awaited, see below.
@pytest.mark.filterwarnings("ignore:coroutine 'sleep' was never awaited:RuntimeWarning")
def test_what_the_class_asks_for_is_performed_archived_and_found_by_get_scan_result(
    tmp_path: Path, guide: Any, integration: Any, server: LocalServer, simulator: Simulator
) -> None:
    with answering(tmp_path / "it", server, simulator) as pipeline:
        run = pipeline.start()
        for number, frequency in enumerate((220, 440, 880)):
            ask = guide.ScanConfig(frequency=frequency, duration=1.0)
            assert integration.enqueue_scan_request(ask, f"scan-{number}") == f"scan-{number}"
        results = [integration.get_scan_result(f"scan-{number}", timeout=30) for number in range(3)]
        assert [result["config"]["frequency"] for result in results] == [220, 440, 880]
        assert [filed(pipeline.folder, one["scan_id"]) for one in results] == results
        run.terminate()
        assert run.ended() == 0
    assert len(all_filed(pipeline.folder)) == 3
    assert integration.redis_client.llen(RESULTS) == 0


def test_its_main_gets_a_status_and_its_result(tmp_path: Path, server: LocalServer, simulator: Simulator) -> None:
    defaults = {"ScribeRedisIntegration": {"redis_host": "127.0.0.1", "redis_port": server.port}}
    with (
        client(server.port) as looking,
        answering(tmp_path / "it", server, simulator) as pipeline,
        started(TITLE, defaults=defaults) as process,
    ):
        until(lambda: looking.pubsub_numsub(STATUS)[0][1] == 1, what="subscribing to the status")
        looking.publish(STATUS, '{"status": "ready", "load": 0.25}')
        pipeline.start()
        out, error = process.communicate(timeout=60)
    assert process.returncode == 0, error
    assert sorted(out.splitlines()[:2]) == ["Enqueued scan request: scan-001", "Status update: ready, Load: 25.0%"]
    assert out.splitlines()[2].startswith("Scan completed: ")


def test_what_the_class_queues_and_publishes_it_takes_and_finds(guide: Any, integration: Any) -> None:
    integration.enqueue_scan_request(guide.ScanConfig(frequency=220.0), "own-1")
    taken = integration.dequeue_scan_request()
    assert (taken["request_id"], taken["config"]["frequency"]) == ("own-1", 220.0)
    assert integration.dequeue_scan_request() is None
    integration.publish_scan_result("own-1", {"scan_id": 7})
    assert integration.get_scan_result("own-1") == {"scan_id": 7}


def test_a_status_is_published_to_those_who_subscribed(guide: Any, integration: Any, server: LocalServer) -> None:
    heard: list[str] = []
    listening = load(TITLE, print=heard.append)

    class Enough(Exception):
        """Its subscribers listen for ever."""

    def callback(status: Any) -> None:
        listening.status_callback(status)
        raise Enough

    with client(server.port) as looking, ThreadPoolExecutor(1) as pool:
        subscribed = pool.submit(integration.subscribe_to_status, callback)
        until(lambda: looking.pubsub_numsub(STATUS)[0][1] == 1, what="subscribing to the status")
        integration.publish_system_status({"status": "busy", "load": 0.75})
        with pytest.raises(Enough):
            subscribed.result(30)
    assert heard == ["Status update: busy, Load: 75.0%"]


def test_get_scan_result_does_not_sleep_while_it_waits(guide: Any, server: LocalServer) -> None:
    with RedisFront(server.port) as front:
        integration = guide.ScribeRedisIntegration("127.0.0.1", front.port)
        with pytest.warns(RuntimeWarning, match="coroutine 'sleep' was never awaited"):
            assert integration.get_scan_result("nobody", timeout=1) is None
        looks = sum(command[0] == b"LRANGE" for command in front.commands)
        with expected_failure("ScribeRedisIntegration.get_scan_result: the result is not there yet"):
            promised(looks <= 10, instead="it looked again without a pause")
        integration.redis_client.close()


def test_a_request_from_another_thread_fails(guide: Any, integration: Any) -> None:
    with (
        ThreadPoolExecutor(1) as pool,
        expected_failure("ScribeRedisIntegration.enqueue_scan_request: in a thread of its own"),
    ):
        pool.submit(integration.enqueue_scan_request, guide.ScanConfig(), "scan-1").result(30)
