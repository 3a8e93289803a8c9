"""Functions in the local Lambda that leave a trace of every invocation in a bucket."""

from __future__ import annotations

import io
import json
import textwrap
import time
import zipfile
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from support.front import Answer, Front, Received
from support.pipeline import until
from support.s3 import aws_client
from support.stored import bodies

from scribe_export.testing.destination import Destination

if TYPE_CHECKING:
    from mypy_boto3_lambda import LambdaClient
    from mypy_boto3_s3 import S3Client

KEEPS = """
    import json, os, time, urllib.request, uuid

    def put(document):
        url = f"{os.environ['AWS_ENDPOINT_URL']}/{os.environ['BUCKET']}/effects/{uuid.uuid4()}.json"
        request = urllib.request.Request(url, json.dumps(document).encode(), method="PUT")
        urllib.request.urlopen(request, timeout=20).close()

    def handler(event, context):
        for scan in event if isinstance(event, list) else [event]:
            if "raise" in scan:
                raise ValueError(scan["raise"])
            time.sleep(scan.get("sleep", 0))
            put(scan)
        return {"done": True}
"""
"""Keeps each scan it gets; raises for a scan with the field ``raise``, sleeps for one with ``sleep``."""

SCANS = """
    import json, os, urllib.request, uuid

    def handler(event, context):
        if event["signal_type"] == "broken":
            raise RuntimeError("the microphone is unplugged")
        if event["signal_type"] == "silent":
            return {"nothing": "heard"}
        if event["frequency"] <= 0:
            raise ValueError("frequency must be above 0")
        scan = {"scan_id": uuid.uuid4().hex, "timestamp": "2026-05-06T12:00:00Z", "config": event}
        url = f"{os.environ['AWS_ENDPOINT_URL']}/{os.environ['BUCKET']}/effects/{scan['scan_id']}.json"
        request = urllib.request.Request(url, json.dumps(scan).encode(), method="PUT")
        urllib.request.urlopen(request, timeout=20).close()
        return scan
"""
"""Stands for the guide's ``scribe-scan-function``."""


def new_function(
    client: LambdaClient, code: str, bucket: str, *, name: str | None = None, timeout: int = 30, **more: Any
) -> str:
    """Make a function that may write to `bucket`; once it can be invoked, its name: one of its own, unless given."""
    if bucket:
        _let_all_write(client.meta.endpoint_url, bucket)
    name = name or f"test-{uuid4()}"
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w") as zipped:
        zipped.writestr("main.py", textwrap.dedent(code))
    client.create_function(
        FunctionName=name,
        Runtime="python3.11",
        Role=_role(client.meta.endpoint_url),
        Handler="main.handler",
        Code={"ZipFile": archive.getvalue()},
        Timeout=timeout,
        Environment={"Variables": {"BUCKET": bucket}},
        **more,
    )
    until(lambda: client.get_function(FunctionName=name)["Configuration"]["State"] == "Active", what="the function")
    return name


def _let_all_write(url: str, bucket: str) -> None:
    """The functions sign nothing: that would cost them an SDK's start."""
    client: S3Client = aws_client(url, "s3")
    client.delete_public_access_block(Bucket=bucket)
    allow = {"Effect": "Allow", "Principal": "*", "Action": "s3:PutObject", "Resource": f"arn:aws:s3:::{bucket}/*"}
    policy = json.dumps({"Version": "2012-10-17", "Statement": [allow]})
    client.put_bucket_policy(Bucket=bucket, Policy=policy)
    client.close()


def _role(url: str) -> str:
    """The ARN of what the functions run as; made if it is not there."""
    iam = aws_client(url, "iam")
    with suppress(iam.exceptions.EntityAlreadyExistsException):
        iam.create_role(RoleName="runs", AssumeRolePolicyDocument="{}")
    arn: str = iam.get_role(RoleName="runs")["Role"]["Arn"]
    iam.close()
    return arn


class Effects(Destination):
    """What the invocations left in the bucket: an object for each scan of each invocation.

    Of those that were only queued, `front` has seen how many there will be.
    """

    def __init__(self, s3: S3Client, bucket: str, front: Front) -> None:
        self._s3, self._bucket, self._front = s3, bucket, front

    def held(self) -> Sequence[tuple[str, bytes]]:
        expected = sum(len(scans_of(came)) for came in self._front.forwarded if kind_of(came) == "Event")
        deadline = time.monotonic() + 90
        while len(found := bodies(self._s3, self._bucket, "effects/")) < expected and time.monotonic() < deadline:
            time.sleep(0.05)
        return [(str(json.loads(body)["scan_id"]), body) for body in found]


class Events(Destination):
    """What reached a server that runs no code: the invocations' events."""

    def __init__(self, front: Front) -> None:
        self._front = front

    def held(self) -> Sequence[tuple[str, bytes]]:
        found = [scan for came in self._front.forwarded for scan in scans_of(came)]
        return [(str(scan["scan_id"]), json.dumps(scan).encode()) for scan in found]


def kind_of(came: Received) -> str:
    """A request's invocation type; empty if it invokes nothing."""
    return came.headers.get("x-amz-invocation-type", "").replace("DryRun", "")


def scans_of(came: Received) -> list[Any]:
    """The scans that a request brings to its function."""
    if not kind_of(came):
        return []
    event = json.loads(came.body)
    return list(event) if isinstance(event, list) else [event]


class DurableNames:
    """What Lambda does with the names of durable executions, as it is documented, before a server that ignores them.

    The same name with the same payload is answered with the existing execution, closed ones too; with another, refused.
    https://docs.aws.amazon.com/lambda/latest/dg/durable-execution-idempotency.html
    """

    def __init__(self, target: Front) -> None:
        self._target = target
        self.executions: dict[str, tuple[bytes, Answer]] = {}

    def __call__(self, came: Received) -> Answer | None:
        name = came.headers.get("x-amz-durable-execution-name")
        if name is None:
            return None
        if name not in self.executions:
            self.executions[name] = (came.body, self._target.pass_on(came))
        payload, answer = self.executions[name]
        if payload == came.body:
            return answer
        refusal: Mapping[str, str] = {"Message": "started with another payload"}
        return Answer(
            409,
            json.dumps(refusal).encode(),
            headers={"x-amzn-errortype": "DurableExecutionAlreadyStartedException"},
        )
