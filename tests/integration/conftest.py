from pathlib import Path

import pytest

from scribe_local.servers import LocalServer


@pytest.fixture(scope="session")
def ministack(ministack_auth: LocalServer) -> LocalServer:
    """One server for all of these tests, so it is the one that knows users and policies."""
    return ministack_auth


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "archive"
