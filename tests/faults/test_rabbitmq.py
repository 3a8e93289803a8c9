"""RabbitMQ goes down and comes back in the middle of it: nothing is lost, nothing is performed twice."""

import json
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from support.memory import folder_in_memory
from support.missing import missing
from support.pipeline import Pipeline, until
from support.rabbit import Contents, new_queue, send, waiting
from support.records import body
from support.scripted_scribe import ScriptedScribe

from scribe_local import servers
from scribe_local.process import ServerMissing
from scribe_local.servers import RabbitMq

SCANS = 600
RETRY = {"base_delay": "50ms", "max_delay": "500ms"}


@pytest.fixture(scope="module")
def broker() -> Iterator[RabbitMq]:
    """One that may die."""
    with folder_in_memory() as folder:
        try:
            server = servers.rabbitmq(folder=folder)
        except ServerMissing as error:
            missing(error)
        with server:
            yield server


def crash(server: RabbitMq) -> None:
    server.kill()


def shut_down(server: RabbitMq) -> None:
    server.stop(20)


@pytest.mark.parametrize("kind", [pytest.param("classic", marks=pytest.mark.slow), "quorum"])
@pytest.mark.parametrize("end", [crash, pytest.param(shut_down, marks=pytest.mark.slow)])
def test_a_broker_that_restarts_in_the_middle_loses_no_scan(
    tmp_path: Path, broker: RabbitMq, end: Callable[[RabbitMq], None], kind: str
) -> None:
    came, went = (new_queue(broker.port, **{"x-queue-type": kind}) for _ in range(2))
    broker.write_down_queues()
    send(broker.port, came, *(body(n) for n in range(SCANS)))
    source = {"type": "rabbitmq", "url": broker.amqp_url, "queue": came, "max_unacked": 50}
    sink = {"type": "rabbitmq", "url": broker.amqp_url, "queue": went, "timeout": "10s", "retry": RETRY}
    sink |= {"batch": {"max_records": 20}, "breaker": {"failure_threshold": 3, "timeout": "500ms"}}
    with Pipeline(tmp_path / "it", {"copy": sink}, sources={"scans": source}) as pipeline:
        run = pipeline.start()
        run.ready()
        until(lambda: pipeline.status()["copy"].delivered >= 40, what="delivering")
        end(broker)
        assert pipeline.status()["copy"].delivered < SCANS
        run.wait_for("source held")
        broker.start()
        until(
            lambda: pipeline.status()["copy"].delivered == SCANS,
            within=90,
            what="delivering the rest",
            seen=lambda: f"{broker.account()}\n{run.log.read_text()[-4000:]}",
        )
        run.terminate()
        assert run.ended() == 0
    counts = Contents(broker.port, went).effects()
    assert sorted(map(int, counts)) == list(range(SCANS))
    assert waiting(broker.port, came) == 0
    assert max(counts.values()) <= 2  # at least once: what was unconfirmed is sent again
    print(f"{SCANS} scans, {sum(counts.values()) - SCANS} of them twice, 0 lost")


def test_a_broker_that_restarts_in_the_middle_has_no_request_performed_twice_and_every_one_answered(
    tmp_path: Path, broker: RabbitMq
) -> None:
    asked, answered = new_queue(broker.port), new_queue(broker.port)
    names = [f"r{n}" for n in range(60)]
    config = {"signal_type": "sine", "frequency": 440.0, "duration": 2.0, "amplitude": 0.5}
    send(broker.port, asked, *(json.dumps({"request_id": one, "config": config}).encode() for one in names))
    source: dict[str, Any] = {"type": "rabbitmq", "url": broker.amqp_url, "queue": asked, "delivers": "requests"}
    source |= {"reply": {"queue": answered}, "max_unacked": 20, "timeout": "10s"}
    files = {"files": {"type": "file", "directory": "archive", "key": "scans/{scan_id}.json"}}
    with ScriptedScribe() as api:
        scanner = {"type": "scribe_api", "url": api.url}
        pipeline = Pipeline(tmp_path / "it", files, sources={"asks": source}, scanner=scanner)
        with pipeline:
            run = pipeline.start()
            run.ready()
            until(lambda: len(api.paths("/scan")) >= 5, what="performing")
            crash(broker)
            run.wait_for("source held", within=60)
            broker.start()
            until(lambda: _answers(pipeline) == len(names), within=90, what="answering all", seen=broker.account)
            run.terminate()
            assert run.ended() == 0
        assert len(api.paths("/scan")) == len(names)
    replies = Counter(json.loads(one)["request_id"] for _, _, one in Contents(broker.port, answered).look())
    assert sorted(replies) == sorted(names)
    assert len(list((pipeline.folder / "archive" / "scans").iterdir())) == len(names)


def _answers(pipeline: Pipeline) -> int:
    return int(pipeline.query("SELECT count(*) FROM request WHERE owed=2")[0][0])
