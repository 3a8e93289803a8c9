"""Lambda: an invocation a scan."""

import io
import textwrap
import zipfile
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import Any

from scribe_local.cloud.aws import client
from scribe_local.cloud.service import Service

FUNCTION = "on-scan"
BUCKET = "scribe-acted-on"
ROLE = "on-scan"
_TRUST = """{"Version": "2012-10-17", "Statement": [
    {"Effect": "Allow", "Principal": {"Service": "lambda.amazonaws.com"}, "Action": "sts:AssumeRole"}]}"""
_CODE = """
    import json, os, urllib.request, uuid

    def handler(scan, context):
        # Each invocation leaves an object of its own, so that each is seen.
        url = f"{os.environ['STORE']}/{uuid.uuid4()}.json"
        request = urllib.request.Request(url, json.dumps(scan).encode(), method="PUT")
        urllib.request.urlopen(request, timeout=20).close()
        return {"scan_id": scan["scan_id"]}
"""


class Lambda(Service):
    """A function that puts what it got into a bucket."""

    name = "act"
    connection = "aws"
    what = "Lambda, an invocation a scan"
    keeps_bytes = False
    repeats = "a repeat is a second invocation"

    def __init__(self, url: str) -> None:
        self._url = url
        self._s3 = client(url, "s3")

    def prepare(self) -> None:
        if BUCKET not in {bucket["Name"] for bucket in self._s3.list_buckets()["Buckets"]}:
            self._s3.create_bucket(Bucket=BUCKET)
        make_function(self._url, FUNCTION, _CODE, {"STORE": f"{self._url}/{BUCKET}"})

    def destination(self) -> Mapping[str, Any]:
        return {"type": "aws_lambda", "function": FUNCTION, "invocation": "sync", "timeout": "60s", "concurrency": 4}

    def copies(self) -> Iterator[bytes]:
        pages = self._s3.get_paginator("list_objects_v2").paginate(Bucket=BUCKET)
        keys = [item["Key"] for page in pages for item in page.get("Contents", [])]

        def read(key: str) -> bytes:
            body: bytes = self._s3.get_object(Bucket=BUCKET, Key=key)["Body"].read()
            return body

        with ThreadPoolExecutor(4) as readers:
            yield from readers.map(read, keys)

    def close(self) -> None:
        self._s3.close()


def make_function(url: str, name: str, code: str, variables: Mapping[str, str]) -> None:
    """Make a function whose `handler` is in `code`, in place of one of that name, and wait until it can be invoked."""
    functions = client(url, "lambda")
    if name in {function["FunctionName"] for function in functions.list_functions()["Functions"]}:
        functions.delete_function(FunctionName=name)
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w") as zipped:
        zipped.writestr("main.py", textwrap.dedent(code))
    functions.create_function(
        FunctionName=name,
        Runtime="python3.11",
        Role=_role(url),
        Handler="main.handler",
        Code={"ZipFile": archive.getvalue()},
        Timeout=30,
        Environment={"Variables": dict(variables)},
    )
    functions.get_waiter("function_active_v2").wait(FunctionName=name, WaiterConfig={"Delay": 1})
    functions.close()


def _role(url: str) -> str:
    iam = client(url, "iam")
    with suppress(iam.exceptions.EntityAlreadyExistsException):
        iam.create_role(RoleName=ROLE, AssumeRolePolicyDocument=_TRUST)
    arn: str = iam.get_role(RoleName=ROLE)["Role"]["Arn"]
    iam.close()
    return arn
