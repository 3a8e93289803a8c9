"""S3 itself keeps the contracts of sinks and sources."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import closing
from functools import partial
from itertools import count
from typing import Any, ClassVar

import pytest
from support import live
from support.objects import contents, parquet_file

from scribe_connectors.aws.s3 import S3Sink, S3SinkOptions
from scribe_connectors.aws.s3_source import S3Source, S3SourceOptions
from scribe_export.interface import Context
from scribe_export.model import Record
from scribe_export.scan import read_fields
from scribe_export.testing.records import make_record, scan_body
from scribe_export.testing.sink_contract import Destination, Faults, MakeSink, SinkContract
from scribe_export.testing.source_contract import MakeSource, Put, SourceContract


class Prefix(Destination):
    """What lies under a prefix; every version of an object is an effect, where the bucket keeps versions."""

    def __init__(self, s3: Any, bucket: str, prefix: str) -> None:
        self.s3, self.bucket, self.prefix = s3, bucket, prefix

    def versions(self) -> list[dict[str, str]]:
        pages = self.s3.get_paginator("list_object_versions").paginate(Bucket=self.bucket, Prefix=f"{self.prefix}/")
        kinds = ("Versions", "DeleteMarkers")
        return [{"Key": o["Key"], "VersionId": o["VersionId"]} for p in pages for k in kinds for o in p.get(k, [])]

    def held(self) -> list[tuple[str, bytes]]:
        bodies: list[bytes] = []
        for one in self.versions():
            found = self.s3.get_object(Bucket=self.bucket, **one)
            bodies += contents(one["Key"], found["Body"].read())
        return [(read_fields(body).scan_id, body) for body in bodies]

    def strays(self) -> list[str]:
        own = (f"{self.prefix}/scans/", f"{self.prefix}/elsewhere/")
        return [one["Key"] for one in self.versions() if not one["Key"].startswith(own)]

    def remove(self) -> None:
        """All of it, for good."""
        found = self.versions()
        for start in range(0, len(found), 1000):
            part = {"Objects": found[start : start + 1000], "Quiet": True}
            answer = self.s3.delete_objects(Bucket=self.bucket, Delete=part)
            assert not answer.get("Errors"), answer["Errors"]


@pytest.fixture
def prefix() -> Iterator[Prefix]:
    [bucket] = live.given("AWS_BUCKET")
    with closing(live.aws_client("s3")) as s3:
        found = Prefix(s3, bucket, live.fresh())
        yield found
        found.remove()


class S3Fixtures(SinkContract):
    key = "scans/{scan_id}.json"
    changed = "elsewhere/{timestamp:%Y}/{scan_id}.json"
    given: ClassVar[Mapping[str, object]] = {}

    def options(self, prefix: Prefix, key: str) -> S3SinkOptions:
        more = {"bucket": prefix.bucket, "key": f"{prefix.prefix}/{key}", **self.given}
        return S3SinkOptions.model_validate(live.aws_options() | more)

    @pytest.fixture
    def sink(self, prefix: Prefix) -> MakeSink:
        return lambda: S3Sink(self.options(prefix, self.key), Context("s3"))

    @pytest.fixture
    def reshaped(self, prefix: Prefix) -> MakeSink:
        return lambda: S3Sink(self.options(prefix, self.changed), Context("s3"))

    @pytest.fixture
    def destination(self, prefix: Prefix) -> Destination:
        return prefix

    @pytest.fixture
    def faults(self) -> Faults:
        return live.NO_FAULTS


class TestOneObjectAScan(S3Fixtures):
    @pytest.fixture
    def unacceptable(self) -> Record:
        return make_record("木" * 256)


class TestOneObjectABatch(S3Fixtures):
    key = "scans/{timestamp:%Y-%m-%d}/{batch_id}.{ext}"
    changed = "elsewhere/{batch_id}.{ext}"
    cannot_partially_fail = "a batch is one object"


class TestOneParquetObjectABatch(TestOneObjectABatch):
    given: ClassVar[Mapping[str, object]] = {"format": "parquet"}


class TestObjectsReadBack(SourceContract):
    parquet: ClassVar[bool] = False

    @pytest.fixture
    def source(self, prefix: Prefix) -> MakeSource:
        given = {"bucket": prefix.bucket, "prefix": f"{prefix.prefix}/scans/", "poll_interval": 0.5}
        options = S3SourceOptions.model_validate(live.aws_options() | given)
        return lambda *, once: S3Source(options, Context("s3", once=once))

    @pytest.fixture
    def put(self, prefix: Prefix) -> Put:
        return partial(_put, prefix, count(1), parquet=self.parquet)

    @pytest.fixture
    def faults(self) -> Faults:
        return live.NO_FAULTS


class TestParquetReadBack(TestObjectsReadBack):
    parquet = True


def _put(prefix: Prefix, numbers: Iterator[int], amount: int, *, parquet: bool) -> Mapping[str, bytes]:
    added = {str(n): scan_body(n) for n, _ in zip(numbers, range(amount), strict=False)}
    objects = {f"{scan_id}.json": body for scan_id, body in added.items()}
    if parquet:
        objects = {f"{min(map(int, added))}.parquet": parquet_file(added.values())}
    for name, data in objects.items():
        prefix.s3.put_object(Bucket=prefix.bucket, Key=f"{prefix.prefix}/scans/{name}", Body=data)
    return added
