from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from support.s3 import s3_client
from support.scripted_scribe import ScriptedScribe
from support.stepped_clock import SteppedClock

from scribe_local.servers import LocalServer


@pytest.fixture(scope="session")
def ministack(ministack_auth: LocalServer) -> LocalServer:
    """One server for all of these tests, so it is the one that knows users and policies."""
    return ministack_auth


@pytest.fixture(scope="session")
def s3(ministack: LocalServer) -> Iterator[Any]:
    client = s3_client(ministack.url)
    yield client
    client.close()


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture
def api() -> Iterator[ScriptedScribe]:
    with ScriptedScribe() as server:
        yield server


@pytest.fixture
def clock() -> SteppedClock:
    return SteppedClock()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "archive"
