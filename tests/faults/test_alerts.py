"""Alerts of a running exporter, in its log and at a webhook, while destinations, sources and the webhook itself fail."""

import base64
import json
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from support.missing import missing
from support.oracle import small_scan
from support.pipeline import Pipeline, Run, until
from support.receiver import Receiver
from support.scripted_scribe import ScriptedScribe

from scribe_export.control import ask
from scribe_local import servers
from scribe_local.process import ServerMissing
from scribe_local.servers import LocalServer

pytestmark = pytest.mark.timeout(120)
TOKEN = "T0K3N-4b5c6d"
FILES = {"type": "file", "directory": "archive", "key": "scans/{scan_id}.json"}
QUICK = {"every": "100ms", "held_for": "300ms", "quiet": "1h"}


@pytest.fixture
def own() -> Iterator[LocalServer]:
    """A Redis of this test's own."""
    try:
        server = servers.redis()
    except ServerMissing as error:
        missing(error)
    with server:
        yield server


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with Receiver() as receiver:
        yield receiver


def alerting(receiver: Receiver, **more: Any) -> dict[str, Any]:
    webhook = {"url": f"{receiver.url}/{TOKEN}", "headers": {"Authorization": f"Bearer {TOKEN}"}, "timeout": "1s"}
    return {**QUICK, "webhook": webhook, **more}


def to_redis(server: LocalServer) -> dict[str, dict[str, Any]]:
    """A destination that is given up soon and tried again soon."""
    retry, breaker = {"base_delay": "10ms", "max_delay": "50ms"}, {"failure_threshold": 2, "timeout": "50ms"}
    there = {"type": "redis", "url": f"redis://{server.address}", "list": "scans", "timeout": "2s"}
    return {"there": {**there, "retry": retry, "breaker": breaker}, "files": FILES}


def send(pipeline: Pipeline, *bodies: bytes) -> None:
    """As `scribe-export send`, once the exporter's socket is there."""
    encoded = [base64.b64encode(body).decode() for body in bodies]

    def sent() -> bool:
        with suppress(ConnectionError):
            ask(pipeline.state, "send", {"bodies": encoded})
            return True
        return False

    until(sent, what="sending")


def delivered(pipeline: Pipeline, name: str) -> int:
    return pipeline.status()[name].delivered


def stopped(run: Run) -> float:
    """End it as its operator does; how many seconds that took."""
    began = time.monotonic()
    run.terminate()
    assert run.ended() == 0
    assert TOKEN not in run.log.read_text()
    return time.monotonic() - began


def looks_pass(run: Run, trials: int) -> None:
    """Until so many more trial calls have failed: one takes 50 ms and more, of one that was never opened a second."""
    held = len(run.said("destination held", destination="there"))
    until(lambda: len(run.said("destination held", destination="there")) >= held + trials, what="more trial calls")


def test_a_destination_that_dies_is_told_once_and_once_when_it_is_back(
    tmp_path: Path, own: LocalServer, receiver: Receiver
) -> None:
    with Pipeline(tmp_path / "it", to_redis(own), alerts=alerting(receiver), pipeline="lab") as pipeline:
        run = pipeline.start()
        run.ready()
        send(pipeline, small_scan(1))
        until(lambda: delivered(pipeline, "there") == 1)
        own.kill()
        send(pipeline, small_scan(2), small_scan(3))
        until(lambda: bool(receiver.alerts), what="the alert")
        looks_pass(run, 20)
        assert receiver.told("destination_held") == [("there", "raised")]
        own.start()
        until(lambda: len(receiver.alerts) == 2, what="the end of the alert")
        assert delivered(pipeline, "there") == 3
        stopped(run)

    assert [(told["alert"], told["name"], told["state"]) for told in receiver.alerts] == [
        ("destination_held", "there", "raised"),
        ("destination_held", "there", "cleared"),
    ]
    raised, cleared = receiver.alerts
    assert set(raised) == {"alert", "state", "pipeline", "name", "reason", "since", "at", "text"}
    assert raised["pipeline"] == "lab"
    assert "the trial call failed" in raised["reason"]
    assert raised["since"] == cleared["since"] <= raised["at"] <= cleared["at"]
    assert receiver.received[0].headers["authorization"] == f"Bearer {TOKEN}"
    assert len(run.said("alert raised", name="there")) == len(run.said("alert cleared", name="there")) == 1


def test_alerts_go_to_the_log_also_without_a_webhook_and_over_a_restart_are_told_once(
    tmp_path: Path, own: LocalServer, receiver: Receiver
) -> None:
    with Pipeline(tmp_path / "it", to_redis(own), alerts=QUICK) as pipeline:
        own.kill()
        first = pipeline.start()
        first.ready()
        send(pipeline, small_scan(1))
        first.wait_for("alert raised", alert="destination_held", name="there")
        first.kill()

        pipeline.write(to_redis(own), alerts=alerting(receiver))
        second = pipeline.start()
        until(lambda: receiver.told("destination_held") == [("there", "raised")], what="the webhook's first alert")
        looks_pass(second, 3)
        assert second.said("alert raised", name="there") == [], "the log had it"
        stopped(second)

        own.start()
        third = pipeline.start()
        third.wait_for("alert cleared", alert="destination_held", name="there")
        until(lambda: len(receiver.alerts) == 2)
        assert third.said("alert raised") == []
        stopped(third)
        assert receiver.told("destination_held") == [("there", "raised"), ("there", "cleared")]


def test_growing_dead_letters_are_told_once_and_cleared_when_they_are_discarded(
    tmp_path: Path, receiver: Receiver
) -> None:
    source = {"type": "file", "path": "in/*.jsonl", "poll_interval": "100ms"}
    sources = {"incoming": source}
    with Pipeline(tmp_path / "it", {"files": FILES}, sources=sources, alerts=alerting(receiver)) as pipeline:
        folder = tmp_path / "it" / "in"
        folder.mkdir()
        run = pipeline.start()
        run.ready()
        send(pipeline, *(small_scan(number) for number in range(1, 31)))
        for number in range(1, 31):
            send(pipeline, json.dumps({"scan_id": number, "other": "content"}).encode())
        (folder / "bad.jsonl").write_text('{"no": "id"}\n{"no": "id either"}\n')
        until(lambda: pipeline.status()["files"].dead == 30, what="the dead letters")
        until(lambda: len(receiver.alerts) == 2, what="both alerts")
        assert sorted(receiver.told("dead_letters")) == [("", "raised"), ("files", "raised")]

        assert pipeline.call("dlq discard", "--yes").returncode == 0
        until(lambda: len(receiver.alerts) == 4, what="the end of both alerts")
        assert sorted(receiver.told("dead_letters")[2:]) == [("", "cleared"), ("files", "cleared")]
        stopped(run)


def test_a_webhook_that_is_down_is_told_late_and_disturbs_nobody(
    tmp_path: Path, own: LocalServer, receiver: Receiver
) -> None:
    with Pipeline(tmp_path / "it", to_redis(own), alerts=alerting(receiver)) as pipeline:
        own.kill()
        run = pipeline.start()
        run.ready()
        with receiver.unavailable():
            send(pipeline, small_scan(1))
            run.wait_for("alert raised", name="there")
            until(lambda: len(receiver.received) >= 3, what="attempts at the webhook")
            send(pipeline, *(small_scan(number) for number in range(2, 101)))
            until(lambda: delivered(pipeline, "files") == 100, what="what the webhook has no part in")
            assert receiver.alerts == []
        until(lambda: bool(receiver.alerts), what="the late alert")
        assert receiver.told("destination_held") == [("there", "raised")]
        run.wait_for("webhook goes on")
        assert [entry["host"] for entry in run.said("webhook held")] == ["127.0.0.1"]
        stopped(run)


def test_a_webhook_that_hangs_delays_neither_lanes_nor_status_nor_the_end_and_is_told_by_the_next_run(
    tmp_path: Path, own: LocalServer, receiver: Receiver
) -> None:
    hanging = alerting(receiver)
    hanging["webhook"]["timeout"] = "1h"
    with Pipeline(tmp_path / "it", to_redis(own), alerts=hanging, drain_timeout="30s") as pipeline:
        own.kill()
        run = pipeline.start()
        run.ready()
        with receiver.hanging():
            send(pipeline, small_scan(1))
            until(lambda: bool(receiver.received), what="the attempt")
            send(pipeline, *(small_scan(number) for number in range(2, 101)))
            until(lambda: delivered(pipeline, "files") == 100, what="what the webhook has no part in")
            began = time.monotonic()
            assert pipeline.call("status", "--json").returncode == 0
            assert time.monotonic() - began < 10
            assert stopped(run) < 10
            assert len(receiver.received) == 1
        again = pipeline.start()
        until(lambda: bool(receiver.alerts), what="the alert of the run before")
        looks_pass(again, 3)
        assert receiver.told("destination_held") == [("there", "raised")]
        assert again.said("alert raised") == []
        stopped(again)


def test_a_gap_and_a_source_that_is_down_are_told(tmp_path: Path, receiver: Receiver) -> None:
    with ScriptedScribe() as api:
        source = {"type": "scribe_api", "url": api.url, "poll_interval": "50ms", "max_limit": 20}
        with Pipeline(
            tmp_path / "it", {"files": FILES}, sources={"scanner": source}, alerts=alerting(receiver)
        ) as pipeline:
            api.put(*range(1, 11))
            run = pipeline.start()
            run.ready()
            until(lambda: delivered(pipeline, "files") == 10)
            stopped(run)
            assert receiver.alerts == []
            api.put(*range(11, 101))
            run = pipeline.start()
            until(lambda: bool(receiver.alerts), what="the alert")
            assert receiver.told("gap") == [("scanner", "raised")]
            assert "raise max_limit" in receiver.alerts[0]["reason"]
            stopped(run)
        port = api.port
    receiver.confirmed.clear()
    with Pipeline(
        tmp_path / "other", {"files": FILES}, sources={"scanner": source}, alerts=alerting(receiver)
    ) as other:
        run = other.start()
        until(lambda: receiver.told("source_held") == [("scanner", "raised")], what="the alert")
        with ScriptedScribe(port) as api:
            api.put(1)
            until(lambda: len(receiver.alerts) == 2, within=90, what="the end of the alert")
            assert receiver.told("source_held") == [("scanner", "raised"), ("scanner", "cleared")]
        stopped(run)
