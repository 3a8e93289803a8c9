"""The exporter behind a push subscription, as a container in Cloud Run runs it: a WSGI server in a process of its own."""

from __future__ import annotations

import json
import socket
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import httpx
import pytest
from support.front import Answer, Front
from support.pusher import Pusher, push
from support.records import body
from support.s3 import new_bucket
from support.stored import bodies, versions
from support.topics import PROJECT, Clients, SubscriptionContents, clients

from scribe_local.process import Server, ServerFailed, free_port
from scribe_local.servers import ACCESS_KEY, REGION, SECRET_KEY, LocalServer

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

SUBSCRIPTION = f"projects/{PROJECT}/subscriptions/scans"
MAIN = Path(__file__).parents[1] / "support" / "wsgi_main.py"


@pytest.fixture(scope="module")
def cloud(pubsub: LocalServer) -> Iterator[Clients]:
    with clients(pubsub.address) as found:
        yield found


@pytest.fixture
def front(ministack: LocalServer) -> Iterator[Front]:
    with Front(ministack.port, unavailable=Answer(503), denied=Answer(403)) as front:
        yield front


class Container:
    def __init__(self, folder: Path, front: Front, s3: S3Client) -> None:
        self._folder, self._front, self._s3 = folder, front, s3
        self.bucket = new_bucket(s3, versioned=True)

    @contextmanager
    def running(self, subscription: str = "scans", **environment: str) -> Iterator[Server]:
        destination = {
            "type": "aws_s3",
            "bucket": self.bucket,
            "endpoint_url": self._front.url,
            "region": REGION,
            "auth": {"access_key_id": ACCESS_KEY, "secret_access_key": SECRET_KEY},
            "key": "scans/{scan_id}.json",
            "retry": {"base_delay": "50ms", "max_delay": "200ms"},
            "breaker": {"timeout": "200ms"},
        }
        source = {"type": "gcp_pubsub", "project": PROJECT, "subscription": subscription, "dead_letter_queue": True}
        path = self._folder / "export.yaml"
        path.write_text(json.dumps({"sources": {"in": source}, "destinations": {"archive": destination}}))
        port = free_port()
        given = {
            "K_SERVICE": "export",
            "PORT": str(port),
            "SCRIBE_EXPORT_CONFIG": str(path),
            "SCRIBE_EXPORT_PUSH_DEADLINE": "2s",
            **environment,
        }
        command = [sys.executable, str(MAIN)]
        log = self._folder / "container.log"
        with Server("container", command, port=port, ready=None, log=log, environment=given) as server:
            yield server

    def log(self) -> str:
        return (self._folder / "container.log").read_text()

    def stored(self) -> dict[str, bytes]:
        assert set(versions(self._s3, self.bucket, "scans/").values()) <= {1}, "a scan was written twice"
        return {str(json.loads(one)["scan_id"]): one for one in bodies(self._s3, self.bucket, "scans/")}


@pytest.fixture
def container(tmp_path: Path, front: Front, s3: S3Client) -> Container:
    return Container(tmp_path, front, s3)


def until(condition: Callable[[], object], within: float = 30) -> None:
    """Return once it holds."""
    deadline = time.monotonic() + within
    while not condition():
        assert time.monotonic() < deadline, f"not within {within} s"
        time.sleep(0.05)


@pytest.mark.parametrize("path", ["/", "/function"])
def test_a_message_is_acknowledged_when_its_scan_is_in_the_bucket(
    container: Container, front: Front, path: str
) -> None:
    with container.running() as server:
        with front.unavailable():
            refused = httpx.post(server.url + path, json=push(body(1), SUBSCRIPTION), timeout=20)
            assert (refused.status_code, container.stored()) == (503, {})
            assert "not every destination has confirmed it yet" in container.log()
        assert httpx.post(server.url + path, json=push(body(1), SUBSCRIPTION), timeout=20).status_code == 204
        poison = httpx.post(server.url + path, json=push(b"no scan", SUBSCRIPTION), timeout=20)
    assert (poison.status_code, container.stored()) == (503, {"1": body(1)})


def test_what_a_subscription_holds_arrives_over_a_crash_and_its_poison_is_laid_aside(
    container: Container, front: Front, cloud: Clients
) -> None:
    topic, dead = cloud.topic(), cloud.topic()
    letters = cloud.subscription(dead)
    subscription = cloud.subscription(
        topic, dead_letter_policy={"dead_letter_topic": dead, "max_delivery_attempts": 10}, ack_deadline_seconds=10
    )
    scans = {str(number): body(number) for number in range(1, 61)}
    cloud.send(topic, *scans.values(), b"no scan")
    with container.running(subscription) as server, Pusher(cloud, subscription, server.url) as pusher:
        until(lambda: len(container.stored()) > 10)
        server.kill()
        server.start()
        until(lambda: len(container.stored()) == len(scans))
        laid_aside = SubscriptionContents(cloud, letters)
        until(laid_aside.look)
    assert [one.data for one in laid_aside.look()] == [b"no scan"]
    assert container.stored() == scans
    assert cloud.drained(subscription) == []
    assert set(pusher.statuses) <= {0, 204, 503}


def test_what_is_no_push_is_refused(container: Container) -> None:
    with container.running() as server, httpx.Client(base_url=server.url, timeout=20) as client:
        assert client.get("/").status_code == 405
        assert client.post("/", content=b"{").status_code == 400
        assert client.post("/", json={"scan_id": 1}).status_code == 400
        unknown = client.post("/", json=push(body(1), "projects/acoustics/subscriptions/other"))
        assert (unknown.status_code, "scans" in unknown.text) == (404, False)
        assert "subscriptions/other; its sources are in (subscription scans)" in container.log()
        wrong = push(body(1), SUBSCRIPTION)
        wrong["message"]["data"] = "!"
        assert client.post("/", json=wrong).status_code == 503
        assert "the data of message 1 is no base64" in container.log()
        assert status_of(server, "Content-Length: 17000000") == b"413"
        assert status_of(server, "Transfer-Encoding: chunked") == b"411"


def status_of(server: Server, header: str) -> bytes:
    """Of a request of which no more is sent than its head."""
    with socket.create_connection(("127.0.0.1", server.port)) as raw:
        raw.sendall(f"POST / HTTP/1.1\r\nHost: here\r\n{header}\r\n\r\n".encode())
        return raw.recv(100).split()[1]


def test_a_token_is_asked_for_where_the_environment_says_so(container: Container) -> None:
    with container.running(SCRIBE_EXPORT_PUSH_AUDIENCE="https://export.example.org") as server:
        answer = httpx.post(server.url, json=push(body(1), SUBSCRIPTION))
    assert answer.status_code == 401
    assert "no bearer token" in answer.text


def test_a_service_with_a_wrong_config_does_not_start(container: Container) -> None:
    with (
        pytest.raises(ServerFailed, match="environment variable SCRIBE_EXPORT_LOG_LEVEL:1:1: must be debug"),
        container.running(SCRIBE_EXPORT_LOG_LEVEL="loud"),
    ):
        pass
