"""Redis and those who read it die: nothing that was pushed is lost, and no request is performed twice."""

import json
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

import pytest
import redis as genuine
from support.filed import FILES
from support.guide import load
from support.guide_verdicts import expected_failure, promised
from support.pipeline import Pipeline, Run, environment, until
from support.records import body
from support.redis_front import RESET, Command, RedisFront
from support.redis_looks import client, new_name

from scribe_local import servers
from scribe_local.servers import LocalServer, Simulator

pytestmark = [pytest.mark.timeout(120), pytest.mark.usefixtures("event_loop")]
ASKS, RESULTS = "scribe:scan_requests", "scribe:scan_results"


@pytest.fixture
def own() -> Iterator[LocalServer]:
    """A Redis of this test's own, which keeps what it has over a kill."""
    with servers.redis(keep=True) as server:
        yield server


def archived(folder: Path) -> list[str]:
    return sorted(path.stem for path in (folder / "archive" / "scans").glob("*.json"))


def from_list(folder: Path, url: str, name: str, **more: Any) -> Pipeline:
    source = {"type": "redis", "url": url, "list": name, "lease": "2s", "timeout": "5s", **more}
    return Pipeline(folder, FILES, sources={"scans": source})


def on_request(folder: Path, url: str, scanner: Simulator, **more: Any) -> Pipeline:
    asks = {
        "type": "redis",
        "connection": "mq",
        "delivers": "requests",
        "list": ASKS,
        "reply": {"list": RESULTS},
        "lease": "2s",
        "timeout": "5s",
        **more,
    }
    return Pipeline(
        folder,
        FILES,
        sources={"asks": asks},
        scanner={"type": "scribe_api", "url": scanner.url, "max_in_flight": 2},
        connections={"mq": {"provider": "redis", "url": url}},
    )


def performed(scanner: Simulator) -> int:
    with closing(sqlite3.connect(f"file:{scanner.database}?mode=ro", uri=True)) as database:
        [[table]] = database.execute("SELECT name FROM sqlite_master WHERE name = 'scan_results'").fetchall()
        count: int = database.execute(f"SELECT count(*) FROM {table}").fetchone()[0]
        return count


def guide() -> Any:
    return load("Redis Queue Integration")


class Killing:
    """Kills a run as a command comes, and lets nobody have the answer."""

    def __init__(self, *command: bytes) -> None:
        self.command, self.run, self.killed = command, list[Run](), threading.Event()

    def __call__(self, command: Command) -> bytes | None:
        if self.killed.is_set() or command[: len(self.command)] != self.command:
            return None
        self.killed.set()
        self.run[0].kill()
        return RESET


@pytest.mark.parametrize("moment", ["between taking and the commit", "after the commit"])
@pytest.mark.fault("F-31")
def test_f31_what_a_killed_consumer_took_is_recovered_by_a_second(
    tmp_path: Path, redis: LocalServer, moment: str
) -> None:
    """F-31: a consumer is killed between BLMOVE and its commit, and another with a name of its own takes over."""
    name = new_name("scans")
    command = (b"LLEN", name.encode()) if moment.startswith("between") else (b"LREM",)
    with client(redis.port) as looking, RedisFront(redis.port) as front:
        for number in range(1, 4):  # no more than it takes at once, so that it has nothing to read ahead
            looking.lpush(name, body(number))
        first = from_list(tmp_path / "first", front.url, name, max_records=3)
        second = from_list(tmp_path / "second", f"redis://{redis.address}", name)
        with first, second:
            killing = Killing(*command)
            with front.scripted(killing):
                killing.run.append(first.start())
                assert killing.killed.wait(20)
            [held] = list(looking.scan_iter(f"{name}:processing:*"))
            assert looking.llen(held) == (1 if moment.startswith("between") else 3)
            for number in range(4, 9):
                looking.lpush(name, body(number))
            ended = second.until_idle()
            assert ended.returncode == 0, ended.stderr[-2000:]
            assert "taken back" in ended.stderr
            # The journal of the first has what was committed, and delivers it when it is started again.
            assert archived(second.folder) == [str(number) for number in range(1, 9)]
            assert first.until_idle().returncode == 0
            assert archived(first.folder)[:3] == ([] if moment.startswith("between") else ["1", "2", "3"])
            assert not looking.exists(name, held)


TAKER = """
import signal, sys
from support.filed import FILES
from support.guide import load

taker = load("Redis Queue Integration").ScribeRedisIntegration("127.0.0.1", int(sys.argv[1]))
print(taker.dequeue_scan_request()["request_id"], flush=True)
signal.pause()
"""


@pytest.mark.fault("F-31")
def test_f31_contrast_the_guides_brpop_loses_what_a_dead_consumer_took(redis: LocalServer) -> None:
    """F-31, the contrast: a consumer of the guide is killed before it has done anything with what it took."""
    section = guide()
    second = section.ScribeRedisIntegration("127.0.0.1", redis.port)
    second.redis_client.delete(ASKS)
    for number in range(3):
        second.enqueue_scan_request(section.ScanConfig(), f"r{number}")
    command = [sys.executable, "-c", TAKER, str(redis.port)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment()) as first:
        assert first.stdout
        assert first.stdout.readline() == "r0\n"
        first.kill()
    found = {one["request_id"] for _ in range(3) if (one := second.dequeue_scan_request())}
    second.redis_client.close()
    with expected_failure("ScribeRedisIntegration.dequeue_scan_request: its taker dies"):
        promised(len(found) == 3, instead=f"{3 - len(found)} of 3 requests was lost")


def test_redis_restarted_mid_load_loses_nothing_and_no_request_is_performed_twice(
    tmp_path: Path, own: LocalServer, simulator: Simulator
) -> None:
    before, asked = performed(simulator), [f"scan-{number}" for number in range(30)]
    section = guide()
    integration = section.ScribeRedisIntegration("127.0.0.1", own.port)
    with on_request(tmp_path / "it", f"redis://{own.address}", simulator, max_records=5, max_unacked=5) as pipeline:
        for name in asked:
            integration.enqueue_scan_request(section.ScanConfig(duration=0.5), name)
        pipeline.start()
        for round_of_kills in range(3):
            until(lambda n=round_of_kills: len(replied(own)) > 5 * n, what="replies", within=40)  # type: ignore[misc]
            own.kill()
            time.sleep(0.2)
            own.start()
        until(lambda: set(replied(own)) == set(asked), what="answering all requests", within=60)
        until(lambda: len(archived(pipeline.folder)) == len(asked), what="archiving", within=20)
        assert performed(simulator) == before + len(asked)
        with client(own.port) as looking:
            until(lambda: not any(looking.llen(key) for key in looking.scan_iter(f"{ASKS}*:*processing*")))
            assert looking.llen(ASKS) == 0
    integration.redis_client.close()


def test_a_killed_exporter_performs_no_request_twice_and_answers_all(
    tmp_path: Path, own: LocalServer, simulator: Simulator
) -> None:
    before, asked = performed(simulator), [f"scan-{number}" for number in range(20)]
    section = guide()
    integration = section.ScribeRedisIntegration("127.0.0.1", own.port)
    with on_request(tmp_path / "it", f"redis://{own.address}", simulator, max_records=4) as pipeline:
        for name in asked:
            integration.enqueue_scan_request(section.ScanConfig(duration=0.5), name)
        for count in (2, 8):
            run = pipeline.start()
            until(lambda n=count: len(replied(own)) >= n, what="replies", within=40)  # type: ignore[misc]
            run.kill()
        ended = pipeline.until_idle()
        assert ended.returncode in {0, 1}, ended.stderr[-2000:]  # 1 if a kill caught a scan being performed
        answers = replied(own)
        assert set(answers) == set(asked)
        unknown = [name for name, found in answers.items() if found["result"] is None]
        assert len(unknown) <= 4  # two at once, two kills
        assert len(archived(pipeline.folder)) == len(asked) - len(unknown)
        # What a kill caught may have been performed, and was not performed again.
        assert before + len(asked) - len(unknown) <= performed(simulator) <= before + len(asked)
    integration.redis_client.close()


def replied(server: LocalServer) -> dict[str, Any]:
    """The replies so far, by request; none while the server is down."""
    with suppress(genuine.RedisError), client(server.port) as looking:
        return {one["request_id"]: one for one in map(json.loads, looking.lrange(RESULTS, 0, -1))}
    return {}
