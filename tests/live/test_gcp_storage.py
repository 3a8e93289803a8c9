"""Cloud Storage itself keeps the contracts of sinks and sources."""

from collections.abc import Iterator, Mapping
from contextlib import closing
from functools import partial
from itertools import count
from typing import Any

import pytest
from google.cloud.storage import Client
from support import live
from support.objects import contents

from scribe_connectors.gcp.storage import GcsSink, GcsSinkOptions, GcsSource, GcsSourceOptions
from scribe_export.interface import Context
from scribe_export.model import Record
from scribe_export.scan import read_fields
from scribe_export.testing.records import make_record, scan_body
from scribe_export.testing.sink_contract import Destination, Faults, MakeSink, SinkContract
from scribe_export.testing.source_contract import MakeSource, Put, SourceContract


class Prefix(Destination):
    """What lies under a prefix; every version of an object is an effect, where the bucket keeps versions."""

    def __init__(self, client: Any, bucket: str, prefix: str) -> None:
        self.client, self.bucket, self.prefix = client, bucket, prefix

    def versions(self) -> list[Any]:
        return list(self.client.list_blobs(self.bucket, prefix=f"{self.prefix}/", versions=True))

    def held(self) -> list[tuple[str, bytes]]:
        bodies: list[bytes] = []
        for one in self.versions():
            bodies += contents(one.name, one.download_as_bytes(raw_download=True))
        return [(read_fields(body).scan_id, body) for body in bodies]

    def strays(self) -> list[str]:
        own = (f"{self.prefix}/scans/", f"{self.prefix}/elsewhere/")
        return [one.name for one in self.versions() if not one.name.startswith(own)]

    def remove(self) -> None:
        for one in self.versions():
            one.delete()


@pytest.fixture
def prefix() -> Iterator[Prefix]:
    [bucket] = live.given("GCS_BUCKET")
    with closing(live.gcp_client(Client, "GCS")) as client:
        found = Prefix(client, bucket, live.fresh())
        yield found
        found.remove()


class GcsFixtures(SinkContract):
    key = "scans/{scan_id}.json"
    changed = "elsewhere/{timestamp:%Y}/{scan_id}.json"

    def options(self, prefix: Prefix, key: str) -> GcsSinkOptions:
        more = {"bucket": prefix.bucket, "key": f"{prefix.prefix}/{key}"}
        return GcsSinkOptions.model_validate(live.gcp_options("GCS") | more)

    @pytest.fixture
    def sink(self, prefix: Prefix) -> MakeSink:
        return lambda: GcsSink(self.options(prefix, self.key), Context("gcs"))

    @pytest.fixture
    def reshaped(self, prefix: Prefix) -> MakeSink:
        return lambda: GcsSink(self.options(prefix, self.changed), Context("gcs"))

    @pytest.fixture
    def destination(self, prefix: Prefix) -> Destination:
        return prefix

    @pytest.fixture
    def faults(self) -> Faults:
        return live.NO_FAULTS


class TestOneObjectAScan(GcsFixtures):
    @pytest.fixture
    def unacceptable(self) -> Record:
        return make_record("木" * 256)


class TestOneObjectABatch(GcsFixtures):
    key = "scans/{timestamp:%Y-%m-%d}/{batch_id}.{ext}"
    changed = "elsewhere/{batch_id}.{ext}"
    cannot_partially_fail = "a batch is one object"


class TestObjectsReadBack(SourceContract):
    @pytest.fixture
    def source(self, prefix: Prefix) -> MakeSource:
        given = {"bucket": prefix.bucket, "prefix": f"{prefix.prefix}/scans/", "poll_interval": 0.5}
        options = GcsSourceOptions.model_validate(live.gcp_options("GCS") | given)
        return lambda *, once: GcsSource(options, Context("gcs", once=once))

    @pytest.fixture
    def put(self, prefix: Prefix) -> Put:
        return partial(_put, prefix, count(1))

    @pytest.fixture
    def faults(self) -> Faults:
        return live.NO_FAULTS


def _put(prefix: Prefix, numbers: Iterator[int], amount: int) -> Mapping[str, bytes]:
    added = {str(n): scan_body(n) for n, _ in zip(numbers, range(amount), strict=False)}
    for scan_id, body in added.items():
        blob = prefix.client.bucket(prefix.bucket).blob(f"{prefix.prefix}/scans/{scan_id}.json")
        blob.upload_from_string(body, content_type="application/json")
    return added
