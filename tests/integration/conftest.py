import os
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from support.ministack import Ministack, executable, running


@pytest.fixture(scope="session")
def ministack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ministack]:
    program = executable()
    if program is None:
        if os.environ.get("CI"):
            pytest.fail("ministack is not installed, and CI does without nothing")
        pytest.skip("ministack is not installed: make test installs it")
    with running(program, tmp_path_factory.mktemp("ministack"), AUTH="true") as server:
        yield server


@pytest.fixture
def s3(ministack: Ministack) -> Iterator[Any]:
    client = ministack.client("s3")
    yield client
    client.close()


@pytest.fixture
def bucket(s3: Any) -> str:
    name = f"scans-{uuid.uuid4().hex[:12]}"
    s3.create_bucket(Bucket=name, CreateBucketConfiguration={"LocationConstraint": "eu-west-1"})
    return name


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "archive"
