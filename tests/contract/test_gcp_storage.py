"""Cloud Storage keeps the contracts of sinks and sources."""

from collections.abc import Iterator, Mapping
from functools import partial
from itertools import count
from typing import Any

import pytest
from support.front import Answer, Front
from support.gcs import answer, new_bucket, put, versions

from scribe_connectors.gcp.storage import GcsSink, GcsSinkOptions, GcsSource, GcsSourceOptions
from scribe_export.interface import Context
from scribe_export.model import Record
from scribe_export.scan import read_fields
from scribe_export.testing.records import make_record, scan_body
from scribe_export.testing.sink_contract import Destination, Faults, MakeSink, SinkContract
from scribe_export.testing.source_contract import MakeSource, Put, SourceContract
from scribe_local import servers


class Bucket(Destination):
    """What a versioned bucket holds: every version of an object is an effect."""

    def __init__(self, client: Any, name: str) -> None:
        self.client, self.name = client, name

    def held(self) -> list[tuple[str, bytes]]:
        bodies: list[bytes] = []
        for name, data in versions(self.client, self.name):
            bodies += data.splitlines() if ".jsonl" in name else [data]
        return [(read_fields(body).scan_id, body) for body in bodies]

    def strays(self) -> list[str]:
        names = [one.name for one in self.client.list_blobs(self.name, timeout=10)]
        return [name for name in names if not name.startswith(("scans/", "elsewhere/"))]


@pytest.fixture
def bucket(gcs: Any) -> str:
    return new_bucket(gcs, versioned=True)


@pytest.fixture
def front(fake_gcs: servers.LocalServer) -> Iterator[Front]:
    denied, unavailable = answer(403, "forbidden"), answer(503, "backendError")
    with Front(fake_gcs.port, unavailable=unavailable, denied=denied) as front:
        yield front


@pytest.fixture
def connection(front: Front, bucket: str) -> Mapping[str, object]:
    return {"bucket": bucket, "endpoint_url": front.url}


class GcsFixtures(SinkContract):
    key = "scans/{scan_id}.json"
    changed = "elsewhere/{timestamp:%Y}/{scan_id}.json"

    @pytest.fixture
    def sink(self, connection: Mapping[str, object]) -> MakeSink:
        options = GcsSinkOptions.model_validate({**connection, "key": self.key})
        return lambda: GcsSink(options, Context("gcs"))

    @pytest.fixture
    def reshaped(self, connection: Mapping[str, object]) -> MakeSink:
        options = GcsSinkOptions.model_validate({**connection, "key": self.changed})
        return lambda: GcsSink(options, Context("gcs"))

    @pytest.fixture
    def destination(self, gcs: Any, bucket: str) -> Destination:
        return Bucket(gcs, bucket)

    @pytest.fixture
    def faults(self, front: Front) -> Faults:
        return Faults(
            down=front.unavailable,
            deny=front.denying,
            lose_answers=front.losing_answers,
            # The name stands in the body: an upload has the bucket alone in its address.
            refuse=lambda record: front.scripted(partial(_fail_upload, record.body)),
            requests=lambda: front.requests,
        )


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
    def source(self, connection: Mapping[str, object]) -> MakeSource:
        options = GcsSourceOptions.model_validate({**connection, "prefix": "scans/", "poll_interval": 0.05})
        return lambda *, once: GcsSource(options, Context("gcs", once=once))

    @pytest.fixture
    def put(self, gcs: Any, bucket: str) -> Put:
        return partial(_put, gcs, bucket, count(1))

    @pytest.fixture
    def faults(self, front: Front) -> Faults:
        return Faults(down=front.unavailable)


def _fail_upload(body: bytes, came: Any) -> Answer | None:
    return answer(503, "backendError") if body in came.body else None


def _put(gcs: Any, bucket: str, numbers: Iterator[int], amount: int) -> Mapping[str, bytes]:
    added = {str(n): scan_body(n) for n, _ in zip(numbers, range(amount), strict=False)}
    for scan_id, body in added.items():
        # Names that sort in another order than the scans came.
        put(gcs, bucket, f"scans/{int(scan_id) * 7919 % 1000}.json", body)
    return added
