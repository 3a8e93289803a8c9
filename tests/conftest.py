"""The servers that tests talk to, each started once a session."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Iterator
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar

import pytest
from support.memory import folder_in_memory
from support.missing import missing
from support.s3 import new_bucket, s3_client

from scribe_export import logs
from scribe_local import servers
from scribe_local.process import ServerMissing

if TYPE_CHECKING:
    from google.cloud.bigquery import Client
    from mypy_boto3_s3 import S3Client

pytest_plugins = ["support.fault_report"]
Started = TypeVar("Started", bound=servers.LocalServer)


@pytest.fixture(autouse=True)
def _logging_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    """A command that a test runs in this process must not decide what the loggers say in the tests after it."""
    monkeypatch.setattr(logs, "configure", lambda level="info": level)


@pytest.fixture(scope="session")
def simulator() -> Iterator[servers.Simulator]:
    """The SCRIBE simulator, seed 1, twenty scans performed. Scans that tests add stay."""
    with servers.simulator(seed=1, scans=20) as server:
        yield server


@pytest.fixture(scope="session")
def ministack(pytestconfig: pytest.Config) -> Iterator[servers.LocalServer]:
    """AWS that takes any key."""
    yield from _ministack(pytestconfig, auth=False)


@pytest.fixture(scope="session")
def ministack_auth(pytestconfig: pytest.Config) -> Iterator[servers.LocalServer]:
    """AWS that checks signatures and policies of created users; the key ``test`` is its root."""
    yield from _ministack(pytestconfig, auth=True)


@pytest.fixture(scope="session")
def s3(ministack: servers.LocalServer) -> Iterator[S3Client]:
    """A genuine client."""
    client = s3_client(ministack.url)
    yield client
    client.close()


@pytest.fixture
def bucket(request: pytest.FixtureRequest, s3: S3Client) -> str:
    """A new bucket's name; versioned with ``@pytest.mark.parametrize("bucket", ["versioned"], indirect=True)``."""
    return new_bucket(s3, versioned=getattr(request, "param", None) == "versioned")


@pytest.fixture(scope="session")
def moto(pytestconfig: pytest.Config) -> Iterator[servers.LocalServer]:
    """AWS by another hand, for what must not hold on one server alone."""
    yield from _cloud(pytestconfig, servers.moto)


@pytest.fixture(scope="session")
def fake_gcs() -> Iterator[servers.LocalServer]:
    """Cloud Storage."""
    yield from _started(servers.fake_gcs)


@pytest.fixture(scope="session")
def pubsub() -> Iterator[servers.LocalServer]:
    """Pub/Sub."""
    yield from _started(servers.pubsub)


@pytest.fixture(scope="session")
def redis() -> Iterator[servers.LocalServer]:
    """Redis, for all tests: each uses keys of its own."""
    yield from _started(servers.redis)


@pytest.fixture(scope="session")
def rabbitmq() -> Iterator[servers.RabbitMq]:
    """RabbitMQ. Tests make queues of their own."""
    with folder_in_memory() as folder:
        yield from _started(partial(servers.rabbitmq, folder=folder))


@pytest.fixture(scope="session")
def gcs(fake_gcs: servers.LocalServer) -> Iterator[Any]:
    """A genuine client."""
    # Google's libraries take long to import, and most tests do without.
    from support.gcs import gcs_client

    client = gcs_client(fake_gcs.url)
    yield client
    client.close()


@pytest.fixture(scope="session")
def bigquery() -> Iterator[servers.BigQuery]:
    """BigQuery, in memory. A test that changes its settings brings the defaults back."""
    yield from _started(servers.bigquery)


@pytest.fixture(scope="session")
def bigquery_client(bigquery: servers.BigQuery) -> Iterator[Client]:
    """A genuine client."""
    from support.bigquery import client

    opened = client(bigquery.url)
    yield opened
    opened.close()


@pytest.fixture
def dataset(bigquery_client: Client) -> str:
    """A new one's id."""
    from support.bigquery import new_dataset

    return new_dataset(bigquery_client)


@pytest.fixture
def event_loop() -> Iterator[None]:
    """A loop of this thread, whose time the guide's messages tell."""
    loop = asyncio.new_event_loop()
    asyncio.set_event_loop(loop)
    yield
    asyncio.set_event_loop(None)
    loop.close()


@pytest.fixture(params=["ministack", pytest.param("moto", marks=pytest.mark.again)])
def aws(request: pytest.FixtureRequest) -> servers.LocalServer:
    """Each of the servers that stand in for AWS, one after the other."""
    server: servers.LocalServer = request.getfixturevalue(request.param)
    return server


def _ministack(pytestconfig: pytest.Config, *, auth: bool) -> Iterator[servers.LocalServer]:
    yield from _cloud(pytestconfig, partial(servers.ministack, auth=auth))


def _cloud(pytestconfig: pytest.Config, make: Callable[[], servers.LocalServer]) -> Iterator[servers.LocalServer]:
    # An installed wheel does not lie beside the repository's environments, the tests do.
    os.environ.setdefault(servers.CLOUD_ENVIRONMENT, str(pytestconfig.rootpath / ".venv-cloud"))
    yield from _started(make)


def _started(make: Callable[[], Started]) -> Iterator[Started]:
    try:
        server = make()
    except ServerMissing as error:
        missing(error)
    with server:
        yield server
