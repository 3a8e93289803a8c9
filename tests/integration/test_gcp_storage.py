import json
import socket
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import anyio
import pytest
from support.front import Answer, Front, Received
from support.gcs import answer, content, generations, new_bucket, put, resource, stored
from support.loop import in_loop
from support.records import body, record, sealed, write

from scribe_connectors.gcp.storage import GcsSink, GcsSinkOptions
from scribe_export.archives.form import claim
from scribe_export.errors import Conflict, Misconfigured, PartialFailure, SinkError, Throttled, Transient
from scribe_export.interface import Context
from scribe_export.model import Record
from scribe_local.proxy import Mode, Proxy
from scribe_local.servers import LocalServer

PER_SCAN = "scans/{timestamp:%Y/%m/%d}/{scan_id}.json"
BATCHED = "lake/{batch_id}.{ext}"
KMS = "projects/lab/locations/eu/keyRings/scribe/cryptoKeys/scans"
MIB = 2**20


def sink(url: str, bucket: str, **options: Any) -> GcsSink:
    given = {"bucket": bucket, "key": PER_SCAN, "endpoint_url": url, **options}
    return GcsSink(GcsSinkOptions.model_validate(given), Context("archive"))


def large(size: int = 20 * MIB) -> Record:
    return record(1, body(1, audio="x" * size))


@pytest.fixture
def bucket(gcs: Any) -> str:
    return new_bucket(gcs)


@pytest.fixture
def front(fake_gcs: LocalServer) -> Iterator[Front]:
    with Front(fake_gcs.port, unavailable=answer(503, "backendError"), denied=answer(403, "forbidden")) as front:
        yield front


def uploads(front: Front) -> list[Received]:
    return [one for one in front.received if one.method in {"POST", "PUT"}]


@in_loop
async def test_scans_become_objects_with_their_digest(front: Front, gcs: Any, bucket: str) -> None:
    archive = sink(front.url, bucket, storage_class="NEARLINE", metadata={"app": "scribe"}, encryption={"kms_key": KMS})
    await archive.open()
    assert await write(archive, [record(1), record(2)]) == "2 created"
    await archive.close()
    assert list(stored(gcs, bucket)) == ["scans/2026/03/01/1.json", "scans/2026/03/01/2.json"]
    blob = gcs.bucket(bucket).get_blob("scans/2026/03/01/1.json")
    assert blob.metadata["scribe-sha256"] == record(1).sha256
    assert blob.metadata["app"] == "scribe"
    assert (blob.content_type, blob.storage_class) == ("application/json", "NEARLINE")
    assert content(gcs, bucket, blob.name) == record(1).body
    first = next(one for one in uploads(front) if record(1).body in one.body)
    # The local server keeps no key and compares no checksum: both are seen on their way.
    assert "kmsKeyName=projects%2Flab%2Flocations%2Feu%2FkeyRings%2Fscribe%2FcryptoKeys%2Fscans" in first.path
    assert resource(first)["crc32c"] == blob.crc32c


@pytest.mark.parametrize("key", [PER_SCAN, BATCHED])
def test_a_repeated_batch_writes_nothing_again(fake_gcs: LocalServer, gcs: Any, bucket: str, key: str) -> None:
    @in_loop
    async def check() -> None:
        archive = sink(fake_gcs.url, bucket, key=key)
        await write(archive, [record(1), record(2)])
        first = generations(gcs, bucket)
        for _ in range(2):
            await write(archive, [record(1), record(2)])
        await archive.close()
        assert len(first) == (2 if key == PER_SCAN else 1)
        assert generations(gcs, bucket) == first

    check()


def test_eight_racing_writers_leave_one_object(fake_gcs: LocalServer, gcs: Any, bucket: str) -> None:
    archive = sink(fake_gcs.url, bucket)
    [item] = archive.encode(sealed(archive, [record(1)])).payload
    with ThreadPoolExecutor(8) as pool:
        made = [one for one in pool.map(lambda _: archive.create(item.key, item), range(8)) if one]
    assert made == list(generations(gcs, bucket).values())
    anyio.run(archive.close)


@in_loop
async def test_a_foreign_object_is_compared_as_json(fake_gcs: LocalServer, gcs: Any, bucket: str) -> None:
    archive = sink(fake_gcs.url, bucket, key="s/{scan_id}.json")
    put(gcs, bucket, "s/1.json", json.dumps(json.loads(body(1)), indent=2).encode())
    put(gcs, bucket, "s/2.json", b'{"scan_id": 2}')
    with pytest.raises(PartialFailure) as caught:
        await write(archive, [record(1), record(2), record(3)])
    assert caught.value.acked == {0, 2}
    assert {index: type(error) for index, error in caught.value.errors.items()} == {1: Conflict}
    await archive.close()


@pytest.mark.parametrize("action", ["dead_letter", "keep", "overwrite", "version"])
def test_other_content_is_treated_as_the_destination_says(
    fake_gcs: LocalServer, gcs: Any, bucket: str, action: str
) -> None:
    @in_loop
    async def check() -> None:
        archive = sink(fake_gcs.url, bucket, key="s/{scan_id}.json", on_conflict=action)
        await write(archive, [record(1)])
        other = record(2, body(1, note="again"), scan_id=1)
        if action == "dead_letter":
            with pytest.raises(PartialFailure) as caught:
                await write(archive, [other])
            assert isinstance(caught.value.errors[0], Conflict)
        else:
            for _ in range(2):
                await write(archive, [other])
        expected = {"s/1.json": other.body if action == "overwrite" else record(1).body}
        if action == "version":
            expected[f"s/1~v{other.sha256[:12]}.json"] = other.body
        assert {one.name: content(gcs, bucket, one.name) for one in gcs.list_blobs(bucket)} == expected
        if action == "overwrite":
            assert await write(archive, [record(1)]) == "1 superseded"
        await archive.close()

    check()


def test_an_overwrite_replaces_only_what_was_looked_at(fake_gcs: LocalServer, gcs: Any, bucket: str) -> None:
    archive = sink(fake_gcs.url, bucket, key="s/{scan_id}.json")
    [item] = archive.encode(sealed(archive, [record(1)])).payload
    put(gcs, bucket, "s/1.json", b"{}")
    found = archive.stat("s/1.json")
    assert found is not None
    put(gcs, bucket, "s/1.json", b'{"written":"meanwhile"}')
    assert archive.replace(item, found) is None
    assert archive.read("s/1.json", found) is None
    assert content(gcs, bucket, "s/1.json") == b'{"written":"meanwhile"}'
    anyio.run(archive.close)


@in_loop
async def test_a_lost_answer_is_unknown_and_the_repeat_finds_its_own(
    fake_gcs: LocalServer, gcs: Any, bucket: str
) -> None:
    with Proxy(fake_gcs.port) as proxy:
        archive = sink(proxy.url, bucket)
        await archive.open()
        proxy.set(Mode.LOSE, times=1)
        with pytest.raises(Transient) as caught:
            await write(archive, [record(1)])
        assert caught.value.applied == "unknown"
        first = generations(gcs, bucket)
        assert list(first) == ["scans/2026/03/01/1.json"]
        assert await write(archive, [record(1)]) == "1 present"
        await archive.close()
    assert generations(gcs, bucket) == first


@in_loop
async def test_a_large_object_goes_in_pieces(front: Front, gcs: Any, bucket: str) -> None:
    archive = sink(front.url, bucket, encryption={"kms_key": KMS}, metadata={"app": "scribe"})
    assert await write(archive, [large()]) == "1 created"
    await archive.close()
    assert stored(gcs, bucket) == {"scans/2026/03/01/1.json": large().body}
    start, *pieces = uploads(front)
    assert "ifGenerationMatch=0" in start.path
    assert "kmsKeyName=" in start.path
    said = json.loads(start.body)
    assert said["metadata"]["scribe-sha256"] == large().sha256
    assert said["crc32c"] == gcs.bucket(bucket).get_blob("scans/2026/03/01/1.json").crc32c
    assert [len(one.body) for one in pieces] == [8 * MIB, 8 * MIB, len(large().body) - 16 * MIB]


@in_loop
async def test_a_broken_upload_is_begun_anew_by_the_lane_alone(front: Front, gcs: Any, bucket: str) -> None:
    archive = sink(front.url, bucket)
    with front.scripted(_fail("bytes 8388608-", answer(503, "backendError"))), pytest.raises(Transient) as caught:
        await write(archive, [large()])
    assert caught.value.applied == "unknown"
    assert [one.method for one in uploads(front)] == ["POST", "PUT", "PUT"]
    assert stored(gcs, bucket) == {}
    with front.scripted(_fail("bytes 8388608-", answer(404, "notFound"))), pytest.raises(Transient) as caught:
        await write(archive, [large()])
    assert caught.value.applied == "no"
    assert await write(archive, [large()]) == "1 created"
    await archive.close()
    assert stored(gcs, bucket) == {"scans/2026/03/01/1.json": large().body}


@in_loop
async def test_a_large_object_whose_answer_was_lost_is_found_again(front: Front, gcs: Any, bucket: str) -> None:
    archive = sink(front.url, bucket)

    def taken(came: Received) -> Answer | None:
        # The local server forgets the condition of an upload in pieces; the service does not.
        start = came.method == "POST" and "uploadType=resumable&ifGenerationMatch=0" in came.path
        return answer(412, "conditionNotMet") if start and generations(gcs, bucket) else None

    with front.losing_answers(_begins_or_ends), pytest.raises(Transient) as caught:
        await write(archive, [large()])
    assert caught.value.applied == "unknown"
    assert stored(gcs, bucket) == {}
    with front.losing_answers(_ends), pytest.raises(Transient) as caught:
        await write(archive, [large()])
    assert caught.value.applied == "unknown"
    first = generations(gcs, bucket)
    assert len(first) == 1
    with front.scripted(taken):
        assert await write(archive, [large()]) == "1 present"
    await archive.close()
    assert generations(gcs, bucket) == first
    assert stored(gcs, bucket) == {"scans/2026/03/01/1.json": large().body}


@pytest.mark.parametrize(
    ("said", "kind", "applied", "delay"),
    [
        (answer(429, "rateLimitExceeded", {"Retry-After": "7"}), Throttled, "no", 7.0),
        (answer(403, "userRateLimitExceeded"), Throttled, "no", None),
        (answer(503, "backendError", {"Retry-After": "3"}), Transient, "unknown", 3.0),
        (answer(500, "internalError"), Transient, "unknown", None),
        (answer(408, "uploadBrokenConnection"), Transient, "unknown", None),
        (answer(401, "authError"), Misconfigured, "no", None),
        (answer(403, "forbidden"), Misconfigured, "no", None),
        (answer(404, "notFound"), Misconfigured, "no", None),
        (answer(400, "cloudKmsDisabledKey"), Misconfigured, "no", None),
        (answer(412, "orgPolicyConstraintFailed"), Misconfigured, "no", None),
        (answer(400, "invalid"), Transient, "no", None),
        (Answer(502, b"<html>Bad gateway</html>", "text/html"), Transient, "unknown", None),
        (Answer(200, b"<html>Please log in</html>", "text/html"), Transient, "unknown", None),
        (Answer(200, b"{}"), Transient, "unknown", None),
        (Answer(307, b"", headers={"Location": "http://127.0.0.1:1/"}), Transient, "unknown", None),
    ],
    ids=lambda value: f"{value.status} {value.body[:20]!r}" if isinstance(value, Answer) else None,
)
def test_what_the_service_says(
    front: Front, gcs: Any, bucket: str, said: Answer, kind: type[SinkError], applied: str, delay: float | None
) -> None:
    @in_loop
    async def check() -> None:
        archive = sink(front.url, bucket)
        script = front.scripted(lambda came: said if came.method == "POST" else None)
        with script, pytest.raises(SinkError) as caught:
            await write(archive, [record(1), record(2)])
        assert said.status < 400 or str(said.status) in str(caught.value)
        assert type(caught.value) is kind
        assert caught.value.applied == applied
        assert getattr(caught.value, "retry_after", None) == delay
        assert await write(archive, [record(1), record(2)]) == "2 created"
        await archive.close()
        assert len(stored(gcs, bucket)) == 2

    check()


@in_loop
async def test_one_object_too_large_is_a_dead_letter_and_the_others_go(front: Front, gcs: Any, bucket: str) -> None:
    archive = sink(front.url, bucket)

    def refuse(came: Received) -> Answer | None:
        return answer(413, "uploadTooLarge") if record(2).body in came.body else None

    with front.scripted(refuse), pytest.raises(PartialFailure) as caught:
        await write(archive, [record(1), record(2), record(3)])
    assert caught.value.acked == {0, 2}
    assert {index: error.kind for index, error in caught.value.errors.items()} == {1: "too_large"}
    await archive.close()
    assert len(stored(gcs, bucket)) == 2


@in_loop
async def test_a_missing_bucket_is_for_the_operator(fake_gcs: LocalServer) -> None:
    archive = sink(fake_gcs.url, "no-such-bucket")
    with pytest.raises(Misconfigured, match="no bucket 'no-such-bucket'"):
        await archive.open()
    with pytest.raises(Misconfigured, match="404"):
        await write(archive, [record(1), record(2)])
    await archive.close()


@in_loop
async def test_whoever_may_only_create_holds_at_a_repeat_and_is_told_what_to_grant(front: Front, bucket: str) -> None:
    archive, named = sink(front.url, bucket), sink(front.url, bucket, key=BATCHED)
    with front.scripted(lambda came: answer(403, "forbidden") if came.method == "GET" else None):
        await archive.open()
        await write(archive, [record(1)])
        with pytest.raises(Misconfigured, match="allow reading"):
            await write(archive, [record(1)])
        for _ in range(2):
            await write(named, [record(1)])
    await archive.close()
    await named.close()


@in_loop
async def test_a_taken_name_that_looks_like_a_denial_is_looked_at(front: Front, gcs: Any, bucket: str) -> None:
    archive = sink(front.url, bucket)

    def overwriting_denied(came: Received) -> Answer | None:
        return answer(403, "forbidden") if came.method == "POST" and generations(gcs, bucket) else None

    with front.scripted(overwriting_denied):
        assert await write(archive, [record(1)]) == "1 created"
        assert await write(archive, [record(1)]) == "1 present"
        with pytest.raises(Misconfigured):
            await write(archive, [record(2)])
    await archive.close()


@in_loop
async def test_a_server_that_is_not_there_surely_wrote_nothing(bucket: str) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        archive = sink(f"http://127.0.0.1:{unused.getsockname()[1]}", bucket)
        with pytest.raises(Transient) as caught:
            await archive.open()
        assert caught.value.applied == "no"
        with pytest.raises(Transient) as caught:
            await write(archive, [record(n) for n in range(1, 51)])
        assert caught.value.applied == "no"
    await archive.close()


@in_loop
async def test_a_server_that_hangs_is_given_up_as_unknown(fake_gcs: LocalServer, bucket: str) -> None:
    with Proxy(fake_gcs.port) as proxy:
        archive = sink(proxy.url, bucket, timeout=0.3)
        proxy.set(Mode.HANG)
        with pytest.raises(Transient) as caught:
            await write(archive, [record(1)])
        assert caught.value.applied == "unknown"
        proxy.set(Mode.PASS)
        await archive.close()


@in_loop
async def test_calls_go_through_the_proxy(front: Front, fake_gcs: LocalServer, gcs: Any, bucket: str) -> None:
    archive = sink(fake_gcs.url, bucket, proxy=front.url)
    await write(archive, [record(1)])
    await archive.close()
    assert [one.path.startswith(f"{fake_gcs.url}/upload/") for one in front.received] == [True]
    assert len(stored(gcs, bucket)) == 1


@in_loop
async def test_claims_are_kept_once(fake_gcs: LocalServer, gcs: Any, bucket: str) -> None:
    archive = sink(fake_gcs.url, bucket)
    await archive.keep("claims/one", record(1))
    first = generations(gcs, bucket)
    await archive.keep("claims/one", record(1))
    assert generations(gcs, bucket) == first
    assert stored(gcs, bucket) == {"claims/one": record(1).body}
    assert archive.location("claims/one") == {
        "uri": f"gs://{bucket}/claims/one",
        "bucket": bucket,
        "key": "claims/one",
    }
    await archive.close()


def test_the_size_decides_in_how_many_requests_an_object_goes(front: Front, gcs: Any, bucket: str) -> None:
    archive = sink(front.url, bucket)
    assert archive.create("one", claim("one", record(1, b"x" * 8 * MIB)))
    assert [one.method for one in front.received] == ["POST"]
    assert archive.create("more", claim("more", record(2, b"x" * (8 * MIB + 1))))
    assert [one.method for one in front.received] == ["POST", "POST", "PUT", "PUT"]
    assert sorted(map(len, stored(gcs, bucket).values())) == [8 * MIB, 8 * MIB + 1]
    anyio.run(archive.close)


def _fail(content_range: str, said: Answer) -> Any:
    return lambda came: said if came.headers.get("content-range", "").startswith(content_range) else None


def _ends(came: Received) -> bool:
    return came.headers.get("content-range", "").startswith("bytes 16777216-")


def _begins_or_ends(came: Received) -> bool:
    return came.method == "POST" or _ends(came)
