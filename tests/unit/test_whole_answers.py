"""An answer that is cut off is no success, and one that does not come in time is given up."""

import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import urllib3
from botocore.exceptions import ConnectionClosedError, HTTPClientError, ReadTimeoutError
from requests.exceptions import ConnectionError as RequestsConnectionError
from support.raw_answers import RawServer
from urllib3.poolmanager import pool_classes_by_scheme

from scribe_connectors.aws._client import AwsAuthOptions, AwsClient, AwsOptions
from scribe_connectors.gcp._client import GcpOptions, Rest, RestClient
from scribe_export.whole_answers import whole_answers

HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 5\r\n\r\n"
TIMEOUT = 0.4
Send = Callable[[socket.socket], bool | None]
pytestmark = pytest.mark.fault("F-08")


@contextmanager
def _client() -> Iterator[urllib3.PoolManager]:
    with urllib3.PoolManager(retries=False, timeout=TIMEOUT) as manager:
        manager.pool_classes_by_scheme = whole_answers(pool_classes_by_scheme)
        yield manager


def _slowly(data: bytes, stopped: threading.Event) -> Send:
    """A byte now and then, each well within the timeout, until `stopped`."""

    def send(connection: socket.socket) -> None:
        for number in range(len(data)):
            connection.sendall(data[number : number + 1])
            if stopped.wait(0.05):
                return

    return send


@pytest.fixture
def stopped() -> Iterator[threading.Event]:
    event = threading.Event()
    yield event
    event.set()


@pytest.mark.parametrize("length", [5, 15, 20, 40, len(HEAD) - 2, len(HEAD) - 1])
def test_an_answer_that_ends_within_its_head_is_an_error(length: int) -> None:
    with (
        RawServer(lambda connection: connection.sendall(HEAD[:length])) as server,
        _client() as client,
        pytest.raises(urllib3.exceptions.ProtocolError),
    ):
        client.request("POST", server.url)


def test_a_whole_answer_passes_and_its_connection_is_used_again_after_the_timeout() -> None:
    def send(connection: socket.socket) -> bool:
        connection.sendall(HEAD + b"hello")
        return True

    with RawServer(send) as server, _client() as client:
        assert client.request("POST", server.url).data == b"hello"
        threading.Event().wait(2 * TIMEOUT)  # the deadline of the first passes meanwhile
        assert client.request("POST", server.url).data == b"hello"
        assert server.requests == 2
        (pool,) = (client.connection_from_url(server.url),)
        assert pool.num_connections == 1


@pytest.mark.parametrize("method", ["GET", "POST"])
def test_a_head_that_comes_a_byte_at_a_time_is_given_up(method: str, stopped: threading.Event) -> None:
    with RawServer(_slowly(HEAD, stopped)) as server, _client() as client:
        begun = time.monotonic()
        with pytest.raises(urllib3.exceptions.ReadTimeoutError):
            client.request(method, server.url)
        assert time.monotonic() - begun < len(HEAD) * 0.05 / 2
        stopped.set()


def test_an_answer_that_never_ends_is_given_up(stopped: threading.Event) -> None:
    def send(connection: socket.socket) -> None:
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n")
        _slowly(b"x" * 900, stopped)(connection)

    with RawServer(send) as server, _client() as client:
        begun = time.monotonic()
        with pytest.raises(urllib3.exceptions.HTTPError):
            client.request("POST", server.url)
        assert time.monotonic() - begun < 900 * 0.05 / 2
        stopped.set()


def test_a_download_takes_as_long_as_something_comes(stopped: threading.Event) -> None:
    def send(connection: socket.socket) -> None:
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 20\r\n\r\n")
        _slowly(b"x" * 20, stopped)(connection)

    with RawServer(send) as server, _client() as client:
        answer = client.request("GET", server.url, preload_content=False)  # as both SDKs ask
        assert answer.read() == b"x" * 20


def _aws(service: str, url: str) -> AwsClient:
    auth = AwsAuthOptions(access_key_id="test", secret_access_key="test")  # type: ignore[arg-type]  # pydantic's to convert
    options = AwsOptions(region="us-east-1", endpoint_url=url, auth=auth)
    return AwsClient(service, options, folder=Path(), timeout=TIMEOUT, connections=2)


def test_no_client_of_aws_takes_an_answer_without_its_headers_for_one_that_names_no_failure() -> None:
    head = b"HTTP/1.1 200 OK\r\nContent-Type: application/x-amz-json-1.0\r\nX-Amz-Func"
    with RawServer(lambda connection: connection.sendall(head)) as server:
        dynamodb, function = _aws("dynamodb", server.url), _aws("lambda", server.url)
        item = {"PutRequest": {"Item": {"id": {"S": "1"}}}}
        with pytest.raises(ConnectionClosedError):
            dynamodb.get().batch_write_item(RequestItems={"scans": [item]})
        with pytest.raises(ConnectionClosedError):
            function.get().invoke(FunctionName="react")
        dynamodb.close()
        function.close()


@pytest.mark.parametrize(
    "said", [b"HTTP/1.1 100 Continue\r\n", b"HTTP/1.1 100 Continu", b"HTTP/1.1 100 Continue\r\nDate: now\r\n", b""]
)
def test_a_connection_that_ends_before_it_says_to_continue_ends_the_call(said: bytes) -> None:
    with RawServer(lambda connection: connection.sendall(said)) as server:
        s3 = _aws("s3", server.url)
        with pytest.raises(HTTPClientError):
            s3.get().put_object(Bucket="scans", Key="1.json", Body=b"{}")
        s3.close()


def test_s3_that_says_to_continue_a_byte_at_a_time_is_given_up(stopped: threading.Event) -> None:
    with RawServer(_slowly(b"HTTP/1.1 100 Continue\r\n\r\n" + HEAD, stopped)) as server:
        s3 = _aws("s3", server.url)
        with pytest.raises((ReadTimeoutError, ConnectionClosedError)):
            s3.get().put_object(Bucket="scans", Key="1.json", Body=b"{}")
        s3.close()
        stopped.set()


def test_no_client_of_google_takes_an_answer_without_its_headers() -> None:
    with RawServer(lambda connection: connection.sendall(HEAD[:40])) as server:
        options = GcpOptions(endpoint_url=server.url, project="lab")
        client: RestClient[Rest] = RestClient(
            server.url, options, lambda rest: rest, folder=Path(), timeout=TIMEOUT, connections=2
        )
        rest = client.get()
        with pytest.raises(RequestsConnectionError):
            rest.session.request("POST", server.url, timeout=rest.timeout)
        client.close()
