"""The servers that tests talk to, each started once a session."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest
from support.missing import missing
from support.s3 import new_bucket, s3_client

from scribe_local import servers
from scribe_local.process import ServerMissing

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client


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


def _ministack(pytestconfig: pytest.Config, *, auth: bool) -> Iterator[servers.LocalServer]:
    # An installed wheel does not lie beside the repository's environments, the tests do.
    os.environ.setdefault(servers.CLOUD_ENVIRONMENT, str(pytestconfig.rootpath / ".venv-cloud"))
    try:
        server = servers.ministack(auth=auth)
    except ServerMissing as error:
        missing(error)
    with server:
        yield server
