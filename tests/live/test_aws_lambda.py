"""Lambda itself keeps the contract of sinks, with a function of yours that keeps each scan in a bucket."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import closing
from typing import Any, ClassVar

import pytest
from support import live

from scribe_connectors.aws.lambda_ import LambdaSink, LambdaSinkOptions
from scribe_export.interface import Context
from scribe_export.testing.sink_contract import Destination, Faults, MakeSink, SinkContract

PREFIX = "scribe-live-lambda/"
"""Where the function keeps what it gets; emptied before and after each check."""


class Kept:
    """What the function kept."""

    def __init__(self, s3: Any, bucket: str) -> None:
        self._s3, self._bucket = s3, bucket

    def keys(self) -> list[str]:
        pages = self._s3.get_paginator("list_objects_v2").paginate(Bucket=self._bucket, Prefix=PREFIX)
        return [one["Key"] for page in pages for one in page.get("Contents", [])]

    def read(self) -> list[tuple[str, bytes]]:
        found = [self._s3.get_object(Bucket=self._bucket, Key=key)["Body"].read() for key in self.keys()]
        return [(str(json.loads(body)["scan_id"]), body) for body in found]

    def remove(self) -> None:
        """All of it, for good, where the bucket keeps versions too."""
        for page in self._s3.get_paginator("list_object_versions").paginate(Bucket=self._bucket, Prefix=PREFIX):
            for one in (*page.get("Versions", []), *page.get("DeleteMarkers", [])):
                self._s3.delete_object(Bucket=self._bucket, Key=one["Key"], VersionId=one["VersionId"])


class LambdaFixtures(SinkContract):
    body = "json"
    given: ClassVar[Mapping[str, Any]] = {}
    changed: ClassVar[Mapping[str, Any]] = {"payload": "batch"}
    quiet: ClassVar[float] = 0.0

    @pytest.fixture
    def kept(self) -> Iterator[Kept]:
        bucket, _ = live.given("AWS_BUCKET", "LAMBDA_FUNCTION")
        with closing(live.aws_client("s3")) as s3:
            found = Kept(s3, bucket)
            found.remove()
            yield found
            found.remove()

    def options(self, **more: Any) -> LambdaSinkOptions:
        [function] = live.given("LAMBDA_FUNCTION")
        few = {"concurrency": int(live.optional("LAMBDA_CONCURRENCY", "8"))}
        return LambdaSinkOptions.model_validate(
            {**live.aws_options(), "function": function, **few, **self.given, **more}
        )

    @pytest.fixture
    def sink(self, kept: Kept) -> MakeSink:
        return lambda: LambdaSink(self.options(), Context("acts"))

    @pytest.fixture
    def reshaped(self, kept: Kept) -> MakeSink:
        return lambda: LambdaSink(self.options(**self.changed), Context("acts"))

    @pytest.fixture
    def destination(self, kept: Kept) -> Destination:
        return live.Settled(kept.read, self.quiet)

    @pytest.fixture
    def faults(self) -> Faults:
        return live.NO_FAULTS


class TestSync(LambdaFixtures):
    pass


class TestArrays(LambdaFixtures):
    given: ClassVar = {"payload": "batch"}
    changed: ClassVar = {"payload": "scan"}


class TestAsync(LambdaFixtures):
    given: ClassVar = {"invocation": "async", "payload": "batch"}
    changed: ClassVar = {"payload": "scan"}
    quiet = 5.0
