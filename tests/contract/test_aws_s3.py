"""S3 keeps the contracts of sinks and sources, on both servers."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import partial
from itertools import count
from typing import TYPE_CHECKING, ClassVar

import pytest
from support.front import Answer, Front
from support.objects import contents, parquet_file
from support.s3 import s3_client

from scribe_connectors.aws.s3 import S3Sink, S3SinkOptions
from scribe_connectors.aws.s3_source import S3Source, S3SourceOptions
from scribe_export.interface import Context
from scribe_export.keys import path_safe
from scribe_export.model import Record
from scribe_export.scan import read_fields
from scribe_export.testing.records import make_record, scan_body
from scribe_export.testing.sink_contract import Destination, Faults, MakeSink, SinkContract
from scribe_export.testing.source_contract import MakeSource, Put, SourceContract
from scribe_local import servers

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

# https://docs.aws.amazon.com/AmazonS3/latest/API/ErrorResponses.html
UNAVAILABLE = Answer(503, b"<Error><Code>ServiceUnavailable</Code><Message>Try later</Message></Error>", "text/xml")
DENIED = Answer(403, b"<Error><Code>AccessDenied</Code><Message>Access Denied</Message></Error>", "text/xml")


class Bucket(Destination):
    """What a versioned bucket holds: every version of an object is an effect."""

    def __init__(self, client: S3Client, name: str) -> None:
        self.client, self.name = client, name

    def held(self) -> list[tuple[str, bytes]]:
        bodies: list[bytes] = []
        for page in self.client.get_paginator("list_object_versions").paginate(Bucket=self.name):
            for version in page.get("Versions", []):
                found = self.client.get_object(Bucket=self.name, Key=version["Key"], VersionId=version["VersionId"])
                bodies += contents(version["Key"], found["Body"].read())
        return [(read_fields(body).scan_id, body) for body in bodies]

    def strays(self) -> list[str]:
        keys = [one["Key"] for one in self.client.list_objects_v2(Bucket=self.name).get("Contents", [])]
        return [key for key in keys if not key.startswith(("scans/", "elsewhere/"))]


@pytest.fixture
def s3(aws: servers.LocalServer) -> Iterator[S3Client]:
    client = s3_client(aws.url)
    yield client
    client.close()


@pytest.fixture
def front(aws: servers.LocalServer) -> Iterator[Front]:
    with Front(aws.port, unavailable=UNAVAILABLE, denied=DENIED) as front:
        yield front


@pytest.fixture
def connection(front: Front, bucket: str) -> Mapping[str, object]:
    auth = {"access_key_id": servers.ACCESS_KEY, "secret_access_key": servers.SECRET_KEY}
    return {"bucket": bucket, "region": servers.REGION, "endpoint_url": front.url, "auth": auth}


@pytest.mark.parametrize("bucket", ["versioned"], indirect=True)
class S3Fixtures(SinkContract):
    key = "scans/{scan_id}.json"
    changed = "elsewhere/{timestamp:%Y}/{scan_id}.json"
    given: ClassVar[Mapping[str, object]] = {}

    @pytest.fixture
    def sink(self, connection: Mapping[str, object]) -> MakeSink:
        options = S3SinkOptions.model_validate({**connection, **self.given, "key": self.key})
        return lambda: S3Sink(options, Context("s3"))

    @pytest.fixture
    def reshaped(self, connection: Mapping[str, object]) -> MakeSink:
        options = S3SinkOptions.model_validate({**connection, **self.given, "key": self.changed})
        return lambda: S3Sink(options, Context("s3"))

    @pytest.fixture
    def destination(self, s3: S3Client, bucket: str) -> Destination:
        return Bucket(s3, bucket)

    @pytest.fixture
    def faults(self, front: Front) -> Faults:
        return Faults(
            down=front.unavailable,
            deny=front.denying,
            lose_answers=front.losing_answers,
            refuse=lambda record: front.refusing(f"/{path_safe(record.scan_id)}.json"),
            requests=lambda: front.requests,
        )


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
    format: ClassVar[str] = "json"

    @pytest.fixture
    def source(self, connection: Mapping[str, object]) -> MakeSource:
        options = S3SourceOptions.model_validate({**connection, "prefix": "scans/", "poll_interval": 0.05})
        return lambda *, once: S3Source(options, Context("s3", once=once))

    @pytest.fixture
    def put(self, s3: S3Client, bucket: str) -> Put:
        return partial(_put, s3, bucket, count(1), parquet=self.format == "parquet")

    @pytest.fixture
    def faults(self, front: Front) -> Faults:
        return Faults(down=front.unavailable)


class TestParquetReadBack(TestObjectsReadBack):
    format = "parquet"


def _put(s3: S3Client, bucket: str, numbers: Iterator[int], amount: int, *, parquet: bool) -> Mapping[str, bytes]:
    added = {str(n): scan_body(n) for n, _ in zip(numbers, range(amount), strict=False)}
    if parquet:
        key = f"scans/{min(map(int, added)) * 7919 % 1000}.parquet"
        s3.put_object(Bucket=bucket, Key=key, Body=parquet_file(added.values()))
        return added
    for scan_id, body in added.items():
        # Keys that sort in another order than the scans came.
        s3.put_object(Bucket=bucket, Key=f"scans/{int(scan_id) * 7919 % 1000}.json", Body=body)
    return added
