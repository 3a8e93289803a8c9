"""`make live` works: the suites for real accounts, here on local servers that the variables name."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from scribe_local import servers

if TYPE_CHECKING:
    from google.cloud.bigquery import Client

TESTS = Path(__file__).parents[1]


def live(*arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
    """Run some of them in a process of their own."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("SCRIBE_LIVE_", "PYTEST_"))}
    given = {f"SCRIBE_LIVE_{name}": value for name, value in variables.items()}
    keys = {"AWS_ACCESS_KEY_ID": servers.ACCESS_KEY, "AWS_SECRET_ACCESS_KEY": servers.SECRET_KEY}
    return subprocess.run(
        [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "-q", *arguments],
        cwd=TESTS.parent,
        env=kept | keys | given,
        capture_output=True,
        text=True,
        timeout=110,
    )


def test_without_an_account_every_check_skips_and_says_what_it_needs() -> None:
    finished = live("tests/live")
    assert finished.returncode == 0, finished.stdout[-3000:]
    last = finished.stdout.splitlines()[-1]
    assert "skipped" in last
    assert "passed" not in last
    assert "set SCRIBE_LIVE_AWS_BUCKET and SCRIBE_LIVE_LAMBDA_FUNCTION to run this on your account" in finished.stdout


def test_nothing_but_make_live_collects_them(request: pytest.FixtureRequest) -> None:
    assert "live" in request.config.getini("norecursedirs")
    assert not [item for item in request.session.items if item.path.is_relative_to(TESTS / "live")]


def _expect_passed(finished: subprocess.CompletedProcess[str], least: int) -> None:
    text = finished.stdout[-3000:] + finished.stderr[-1000:]
    assert finished.returncode == 0, text
    passed = int(finished.stdout.splitlines()[-1].split(" passed")[0].split()[-1])
    assert passed >= least, text
    assert "no fault can be brought about in a real account" in finished.stdout


def test_s3_checks_pass_and_leave_nothing(ministack: servers.LocalServer, bucket: str, s3: Any) -> None:
    variables = _aws(ministack) | {"AWS_BUCKET": bucket}
    _expect_passed(live("tests/live/test_aws_s3.py::TestOneParquetObjectABatch", **variables), 15)
    assert "Contents" not in s3.list_objects_v2(Bucket=bucket)


def test_bigquery_checks_pass_and_leave_nothing(
    bigquery: servers.BigQuery, bigquery_client: Client, dataset: str
) -> None:
    variables = {
        "GCP_PROJECT": bigquery_client.project,
        "BIGQUERY_DATASET": dataset,
        "BIGQUERY_ENDPOINT": bigquery.url,
        "BIGQUERY_STORAGE_ENDPOINT": f"http://{bigquery.target}",
        "BIGQUERY_TABLE_AGE": "0",
    }
    _expect_passed(live("tests/live/test_gcp_bigquery.py::TestStreams", **variables), 15)
    assert not list(bigquery_client.list_tables(dataset))


def _aws(server: servers.LocalServer) -> dict[str, str]:
    return {"AWS_REGION": servers.REGION, "AWS_ENDPOINT": server.url}
