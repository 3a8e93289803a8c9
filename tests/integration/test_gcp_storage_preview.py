"""What `preview` shows of an object is what the service then gets."""

from collections.abc import Iterator
from typing import Any

import pytest
from support.front import Front
from support.gcs import answer, new_bucket
from support.loop import in_loop
from support.records import body, record, sealed

from scribe_connectors.gcp._rehearsal import lasting
from scribe_connectors.gcp.storage import GcsSink, GcsSinkOptions
from scribe_export.interface import Context
from scribe_export.model import Record
from scribe_local.servers import LocalServer

KMS = "projects/lab/locations/eu/keyRings/scribe/cryptoKeys/scans"


@pytest.fixture
def bucket(gcs: Any) -> str:
    return new_bucket(gcs)


@pytest.fixture
def front(fake_gcs: LocalServer) -> Iterator[Front]:
    with Front(fake_gcs.port, unavailable=answer(503, "backendError"), denied=answer(403, "forbidden")) as front:
        yield front


@pytest.mark.parametrize(
    ("key", "records"),
    [
        ("scans/{scan_id}.json", [record(1), record(2)]),
        ("lake/{batch_id}.{ext}", [record(1), record(2)]),
        ("l/{scan_id}.json", [record(1, body(1, audio="x" * 17 * 2**20))]),
    ],
    ids=["one a scan", "one a batch", "in pieces"],
)
def test_the_preview_is_what_goes_over_the_wire(front: Front, bucket: str, key: str, records: list[Record]) -> None:
    @in_loop
    async def check() -> None:
        options = {"bucket": bucket, "key": key, "endpoint_url": front.url, "metadata": {"app": "scribe"}}
        options |= {"encryption": {"kms_key": KMS}}
        archive = GcsSink(GcsSinkOptions.model_validate(options), Context("archive"))
        encoded = archive.encode(sealed(archive, records))
        shown = await archive.preview(encoded)
        assert front.received == []
        await archive.write(encoded)
        await archive.close()
        sent = [(one.method, _offline(front.url + one.path), lasting(one.headers), one.body) for one in front.received]
        assert sorted(sent, key=str) == sorted(
            ((one.method, one.target, dict(one.headers), one.body) for one in shown), key=str
        )
        carried = {index for one in shown for index in one.records}
        assert carried == set(range(len(records)))

    check()


def _offline(url: str) -> str:
    """The address of an upload in pieces, without the part that the service makes up."""
    start, found, _ = url.partition("&upload_id=")
    return f"{start.partition('&name=')[0]}&upload_id=offline" if found else url
