"""Requesters that name the queue of their reply get it there; one that is gone holds nobody else's."""

import json
from pathlib import Path
from typing import Any

from support.pipeline import Pipeline, until
from support.rabbit import Contents, channel, new_queue, send, waiting
from support.scripted_scribe import ScriptedScribe

from scribe_local.servers import RabbitMq

CONFIG = {"signal_type": "sine", "frequency": 440.0, "duration": 2.0, "amplitude": 0.5}
FILES = {"files": {"type": "file", "directory": "archive", "key": "scans/{scan_id}.json"}}


def test_each_sender_gets_its_reply_once_where_and_as_it_asked(tmp_path: Path, rabbitmq: RabbitMq) -> None:
    asked, mine, yours = (new_queue(rabbitmq.port) for _ in range(3))
    config = json.dumps(CONFIG).encode()
    send(rabbitmq.port, asked, config, reply_to=mine, correlation_id="one")
    send(rabbitmq.port, asked, config, reply_to=yours, message_id="two")
    send(rabbitmq.port, asked, config, reply_to="nobody-is-there", correlation_id="three")
    send(rabbitmq.port, asked, config, message_id="four")  # names nobody
    source: dict[str, Any] = {"type": "rabbitmq", "url": rabbitmq.amqp_url, "queue": asked, "delivers": "requests"}
    source["reply"] = {"to": "sender"}
    with ScriptedScribe() as api:
        scanner = {"type": "scribe_api", "url": api.url}
        with Pipeline(tmp_path / "it", FILES, sources={"asks": source}, scanner=scanner) as pipeline:
            ended = pipeline.until_idle()
            assert ended.returncode == 0, ended.stderr[-2000:]
        assert len(api.paths("/scan")) == 4
    replies = {queue: Contents(rabbitmq.port, queue).look() for queue in (mine, yours)}
    [(_, properties, reply)] = replies[mine]
    assert (properties.correlation_id, json.loads(reply)["request_id"]) == ("one", "one")
    [(_, properties, reply)] = replies[yours]
    assert (properties.correlation_id, json.loads(reply)["request_id"]) == ("two", "two")
    assert json.loads(reply)["result"]["scan_id"]
    refused = [line for line in ended.stderr.splitlines() if "reply refused" in line]
    assert len(refused) == 2


def test_replies_wait_for_a_queue_that_is_missing(tmp_path: Path, rabbitmq: RabbitMq) -> None:
    asked = new_queue(rabbitmq.port)
    answered = f"{asked}-answered"
    with channel(rabbitmq.port) as open_channel:
        open_channel.queue_declare(answered, durable=True)
    source: dict[str, Any] = {"type": "rabbitmq", "url": rabbitmq.amqp_url, "queue": asked, "delivers": "requests"}
    source["reply"] = {"queue": answered}
    with ScriptedScribe() as api:
        scanner = {"type": "scribe_api", "url": api.url}
        with Pipeline(tmp_path / "it", FILES, sources={"asks": source}, scanner=scanner) as pipeline:
            run = pipeline.start()
            run.ready()
            send(rabbitmq.port, asked, json.dumps({"request_id": "r1", "config": CONFIG}).encode())
            until(lambda: waiting(rabbitmq.port, answered) == 1, what="answering")
            with channel(rabbitmq.port) as open_channel:
                open_channel.queue_delete(answered)
            send(rabbitmq.port, asked, json.dumps({"request_id": "r2", "config": CONFIG}).encode())
            run.wait_for("replies held")
            with channel(rabbitmq.port) as open_channel:
                open_channel.queue_declare(answered, durable=True)
            until(lambda: waiting(rabbitmq.port, answered) == 1, within=60, what="answering the other")
    [(_, _, reply)] = Contents(rabbitmq.port, answered).look()
    assert json.loads(reply)["request_id"] == "r2"
