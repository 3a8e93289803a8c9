"""The failing proxy between a genuine client and a real server."""

import threading
import time
from collections.abc import Iterator
from typing import TYPE_CHECKING

import httpx
import pytest
from botocore.exceptions import ConnectionClosedError, EndpointConnectionError
from support.s3 import s3_client

from scribe_local import servers
from scribe_local.proxy import Mode, Proxy

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client


@pytest.fixture
def proxy(simulator: servers.Simulator) -> Iterator[Proxy]:
    with Proxy(simulator.port) as proxy:
        yield proxy


@pytest.fixture
def client(proxy: Proxy) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=proxy.url, timeout=20) as client:
        yield client


def _newest(simulator: servers.Simulator) -> int:
    return int(httpx.get(f"{simulator.url}/scans?limit=1").json()["scans"][0]["scan_id"])


def test_what_passes_is_unchanged(client: httpx.Client, simulator: servers.Simulator, proxy: Proxy) -> None:
    assert client.get("/scans?limit=20").content == httpx.get(f"{simulator.url}/scans?limit=20").content
    assert client.get("/health").status_code == 200
    assert proxy.connections == 1


def test_refused_connections_are_refused_and_open_ones_are_cut_until_it_passes_again(
    client: httpx.Client, proxy: Proxy
) -> None:
    assert client.get("/health").status_code == 200
    proxy.set(Mode.REFUSE)
    for _ in range(2):
        with pytest.raises(httpx.TransportError):
            client.get("/health")
    with pytest.raises(httpx.ConnectError):
        httpx.get(f"{proxy.url}/health")
    proxy.set(Mode.PASS)
    assert client.get("/health").status_code == 200


def test_a_hung_connection_goes_on_when_the_mode_changes(client: httpx.Client, proxy: Proxy) -> None:
    assert client.get("/health").status_code == 200
    proxy.set(Mode.HANG)
    with pytest.raises(httpx.ReadTimeout):
        httpx.get(f"{proxy.url}/health", timeout=0.3)
    answers: list[int] = []
    waiting = threading.Thread(target=lambda: answers.append(client.get("/health").status_code))
    waiting.start()
    waiting.join(0.3)
    assert answers == []
    proxy.set(Mode.PASS)
    waiting.join()
    assert answers == [200]


def test_a_hung_request_that_is_refused_never_reaches_the_server(
    client: httpx.Client, proxy: Proxy, simulator: servers.Simulator
) -> None:
    before = _newest(simulator)
    proxy.set(Mode.HANG)
    failed: list[httpx.TransportError] = []

    def ask() -> None:
        try:
            client.post("/scan", json={})
        except httpx.TransportError as error:
            failed.append(error)

    waiting = threading.Thread(target=ask)
    waiting.start()
    while proxy.connections == 0:
        time.sleep(0.01)
    waiting.join(0.2)
    proxy.set(Mode.REFUSE)
    waiting.join()
    assert len(failed) == 1
    proxy.set(Mode.PASS)
    assert client.get("/health").status_code == 200
    assert _newest(simulator) == before


def test_a_lost_answer_is_a_reset_after_the_request_took_effect(
    client: httpx.Client, proxy: Proxy, simulator: servers.Simulator
) -> None:
    before = _newest(simulator)
    proxy.set(Mode.LOSE, times=1)
    with pytest.raises(httpx.ReadError):
        client.post("/scan", json={})
    assert _newest(simulator) == before + 1
    assert proxy.lost == 1
    assert client.post("/scan", json={}).json()["scan_id"] == before + 2


def test_a_delayed_answer_comes_late(client: httpx.Client, proxy: Proxy) -> None:
    proxy.set(Mode.DELAY, delay=0.3)
    begun = time.monotonic()
    assert client.get("/health").status_code == 200
    assert time.monotonic() - begun >= 0.3


def test_an_s3_write_whose_answer_is_lost_is_there_although_the_client_asked_to_continue(
    ministack: servers.LocalServer, s3: "S3Client", bucket: str
) -> None:
    with Proxy(ministack.port) as proxy:
        client = s3_client(proxy.url)
        proxy.set(Mode.LOSE)
        with pytest.raises(ConnectionClosedError):
            client.put_object(Bucket=bucket, Key="k", Body=b"body", IfNoneMatch="*")
        assert s3.get_object(Bucket=bucket, Key="k")["Body"].read() == b"body"
        proxy.set(Mode.REFUSE)
        with pytest.raises(EndpointConnectionError):
            client.get_object(Bucket=bucket, Key="k")
        client.close()


def test_an_answer_comes_byte_by_byte(client: httpx.Client, proxy: Proxy) -> None:
    proxy.set(Mode.TRICKLE, delay=0.05)
    begun = time.monotonic()
    with pytest.raises(httpx.ReadTimeout):
        httpx.get(f"{proxy.url}/health", timeout=httpx.Timeout(5, read=0.02))
    proxy.set(Mode.TRICKLE, delay=0.001)
    assert client.get("/health").status_code == 200
    assert time.monotonic() - begun > 0.1


def test_a_narrow_line_takes_its_time_and_changes_nothing(
    client: httpx.Client, proxy: Proxy, simulator: servers.Simulator
) -> None:
    whole = httpx.get(f"{simulator.url}/scans?limit=20").content
    rate = 2 * len(whole)
    proxy.set(Mode.LIMIT, rate=rate)
    begun = time.monotonic()
    assert client.get("/scans?limit=20").content == whole
    assert time.monotonic() - begun > 0.4


def test_an_answer_is_cut_off(client: httpx.Client, proxy: Proxy) -> None:
    proxy.set(Mode.CUT, after=30)
    with pytest.raises(httpx.RemoteProtocolError):
        client.get("/health")
