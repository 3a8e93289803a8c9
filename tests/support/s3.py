"""A genuine S3 client for the local server."""

from __future__ import annotations

import json
import threading
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import boto3
from botocore.config import Config

from scribe_local.servers import ACCESS_KEY, REGION, SECRET_KEY, LocalServer

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client


def s3_client(url: str, *, access_key: str = ACCESS_KEY, secret_key: str = SECRET_KEY) -> S3Client:
    """A client that never retries, so that a test sees every answer."""
    settings: Any = {"connect_timeout": 10, "read_timeout": 10, "s3": {"addressing_style": "path"}}
    client: S3Client = _made(url, "s3", access_key, secret_key, **settings)
    return client


def new_bucket(client: S3Client, *, versioned: bool = False) -> str:
    """Make a bucket with a name of its own."""
    name = f"test-{uuid4()}"
    client.create_bucket(Bucket=name)
    if versioned:
        client.put_bucket_versioning(Bucket=name, VersioningConfiguration={"Status": "Enabled"})
    return name


def aws_client(url: str, service: str) -> Any:
    """A client of another service of the local server."""
    return _made(url, service, ACCESS_KEY, SECRET_KEY)


_SESSION = boto3.Session(region_name=REGION)  # one reads the descriptions of the services once, in 0.3 s
_MAKING = threading.Lock()


def _made(url: str, service: str, access_key: str, secret_key: str, **settings: Any) -> Any:
    with _MAKING:
        return _SESSION.client(
            service,  # type: ignore[call-overload]  # the stubs list every service by name
            endpoint_url=url,
            aws_access_key_id=access_key,
            aws_secret_access_key=secret_key,
            config=Config(retries={"total_max_attempts": 1}, **settings),
        )


def new_user(server: LocalServer, bucket: str, *actions: str, name: str | None = None) -> dict[str, str]:
    """A user who may do these things with one bucket and its objects, and nothing else; the keys."""
    iam = aws_client(server.url, "iam")
    name = name or f"user-{uuid4()}"
    iam.create_user(UserName=name)
    resources = [f"arn:aws:s3:::{bucket}", f"arn:aws:s3:::{bucket}/*"]
    allow = {"Effect": "Allow", "Action": list(actions), "Resource": resources}
    policy = json.dumps({"Version": "2012-10-17", "Statement": [allow]})
    iam.put_user_policy(UserName=name, PolicyName="one", PolicyDocument=policy)
    key = iam.create_access_key(UserName=name)["AccessKey"]
    iam.close()
    return {"access_key_id": key["AccessKeyId"], "secret_access_key": key["SecretAccessKey"]}
