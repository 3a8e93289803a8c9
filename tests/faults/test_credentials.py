"""Credentials that are revoked and restored while the program runs."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING
from uuid import uuid4

import boto3
import pytest
from support.oracle import Oracle
from support.pipeline import Pipeline, until
from support.s3 import new_bucket, s3_client
from support.stored import bodies

from scribe_local.servers import ACCESS_KEY, REGION, SECRET_KEY, LocalServer

if TYPE_CHECKING:
    from mypy_boto3_iam import IAMClient


@dataclass(frozen=True, slots=True)
class User:
    """A created user with one key, who may use S3."""

    iam: IAMClient
    name: str
    key: str
    secret: str

    def allow(self) -> None:
        statement = {"Effect": "Allow", "Action": "s3:*", "Resource": "*"}
        policy = json.dumps({"Version": "2012-10-17", "Statement": [statement]})
        self.iam.put_user_policy(UserName=self.name, PolicyName="store", PolicyDocument=policy)

    def deny(self) -> None:
        self.iam.delete_user_policy(UserName=self.name, PolicyName="store")

    def deactivate(self) -> None:
        self.iam.update_access_key(UserName=self.name, AccessKeyId=self.key, Status="Inactive")

    def activate(self) -> None:
        self.iam.update_access_key(UserName=self.name, AccessKeyId=self.key, Status="Active")


@pytest.fixture
def user(ministack_auth: LocalServer) -> Iterator[User]:
    iam = boto3.client(
        "iam",
        endpoint_url=ministack_auth.url,
        region_name=REGION,
        aws_access_key_id=ACCESS_KEY,
        aws_secret_access_key=SECRET_KEY,
    )
    name = f"exporter-{uuid4()}"
    iam.create_user(UserName=name)
    key = iam.create_access_key(UserName=name)["AccessKey"]
    found = User(iam, name, key["AccessKeyId"], key["SecretAccessKey"])
    found.allow()
    yield found
    iam.close()


@pytest.mark.timeout(120)
@pytest.mark.parametrize(
    ("revoke", "restore"),
    [
        pytest.param(User.deny, User.allow, id="policy"),
        pytest.param(User.deactivate, User.activate, id="key"),
    ],
)
@pytest.mark.fault("F-26")
def test_revoked_credentials_hold_the_lane_which_goes_on_by_itself_once_they_are_restored(
    tmp_path: Path,
    ministack_auth: LocalServer,
    user: User,
    revoke: Callable[[User], None],
    restore: Callable[[User], None],
) -> None:
    oracle = Oracle()
    store = s3_client(ministack_auth.url)
    bucket = new_bucket(store)
    archive = {
        "type": "aws_s3",
        "bucket": bucket,
        "key": "each/{scan_id}.json",
        "endpoint_url": ministack_auth.url,
        "region": REGION,
        "auth": {"access_key_id": user.key, "secret_access_key": user.secret},
        "breaker": {"timeout": "1s"},
        "retry": {"max_attempts": 2, "base_delay": "50ms", "max_delay": "200ms"},
    }
    folder = tmp_path / "it"
    sources = {"scans": {"type": "file", "path": "scans/*.jsonl", "poll_interval": "50ms"}}

    def give(first: int, last: int) -> None:
        data = b"".join(oracle.give(number) + b"\n" for number in range(first, last + 1))
        (folder / "scans" / f"{first:04d}.jsonl").write_bytes(data)

    with Pipeline(folder, {"archive": archive}, sources=sources) as pipeline:
        (folder / "scans").mkdir()
        give(1, 50)
        run = pipeline.start()
        run.ready()
        until(lambda: pipeline.status()["archive"].delivered == 50, what="delivering with good credentials")

        revoke(user)
        give(51, 150)
        held = run.wait_for("destination held", destination="archive")
        assert held["reason"]
        until(lambda: pipeline.status()["archive"].breaker == "open", what="the breaker's opening")
        until(lambda: len(run.said("destination held")) >= 3, what="being held at each probe")
        row = pipeline.status()["archive"]
        assert (row.delivered, row.dead, row.pending) == (50, 0, 100)
        assert row.last_error
        assert pipeline.query("SELECT max(attempts) FROM batch") == [(0,)]
        assert user.secret not in run.log.read_text()

        restore(user)
        run.wait_for("destination recovered", destination="archive")
        until(lambda: pipeline.status()["archive"].delivered == 150, what="going on by itself")
        run.terminate()
        assert run.ended() == 0
        assert pipeline.status()["archive"].dead == 0
    assert str(oracle.compare(bodies(store, bucket, "each/"))) == "no difference"
    store.close()
