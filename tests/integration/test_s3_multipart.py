"""Objects sent in parts: whole under their name or not there, and one object whatever happens on the way."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import pytest
from support.front import Answer, Front, Received
from support.loop import in_loop
from support.objects import contents
from support.records import body, record, sealed, write
from support.s3 import new_bucket, new_user, s3_client
from support.stored import versions

from scribe_connectors.aws._rehearsal import lasting
from scribe_connectors.aws.s3 import S3Sink, S3SinkOptions
from scribe_export.errors import Conflict, Misconfigured, PartialFailure, Rejected, SinkError, Throttled, Transient
from scribe_export.interface import Context
from scribe_export.model import Record
from scribe_local.servers import LocalServer

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

AUTH = {"access_key_id": "test", "secret_access_key": "test"}
SMALLEST = 5 * 2**20
OF_THREE_PARTS = 11 * 2**20
SLOW_DOWN = Answer(503, b"<Error><Code>SlowDown</Code><Message>Reduce</Message></Error>", "text/xml")
EXPIRED = Answer(400, b"<Error><Code>ExpiredToken</Code><Message>Expired</Message></Error>", "text/xml")
BROKEN = Answer(500, b"<Error><Code>InternalError</Code><Message>Oops</Message></Error>", "text/xml")
BROKEN_WITHIN_200 = Answer(200, BROKEN.body, "text/xml")
TOO_LARGE = Answer(400, b"<Error><Code>EntityTooLarge</Code><Message>Large</Message></Error>", "text/xml")


@pytest.fixture
def s3(aws: LocalServer) -> Iterator[S3Client]:
    client = s3_client(aws.url)
    yield client
    client.close()


@pytest.fixture
def front(aws: LocalServer) -> Iterator[Front]:
    with Front(aws.port, unavailable=BROKEN, denied=BROKEN) as front:
        yield front


def sink(front: Front, bucket: str, **options: Any) -> S3Sink:
    given: dict[str, Any] = {"bucket": bucket, "endpoint_url": front.url, "region": "us-east-1", "auth": AUTH}
    given |= {"key": "lake/{batch_id}.{ext}", "multipart_threshold": SMALLEST, "part_size": SMALLEST}
    return S3Sink(S3SinkOptions.model_validate(given | options), Context("archive"))


def large(n: int = 1, size: int = OF_THREE_PARTS) -> Record:
    return record(n, body(n, audio="".join(hashlib.sha256(b"%d" % i).hexdigest() for i in range(size // 64))))


def requests(front: Front) -> list[str]:
    """Method and part of each request; the upload's id is the server's."""
    found = []
    for one in front.received:
        query = one.path.partition("?")[2]
        part = query.partition("partNumber=")[2].partition("&")[0]
        found.append(f"{one.method} {part or ('uploads' if query == 'uploads' else '')}".strip())
    return found


def left(s3: S3Client, bucket: str) -> int:
    return len(s3.list_multipart_uploads(Bucket=bucket).get("Uploads", ()))


versioned = pytest.mark.parametrize("bucket", ["versioned"], indirect=True)


@versioned
@pytest.mark.parametrize("form", ["jsonl", "parquet"])
def test_a_large_batch_arrives_in_parts_and_its_repeat_changes_nothing(
    front: Front, s3: S3Client, bucket: str, form: str
) -> None:
    @in_loop
    async def check() -> None:
        archive = sink(front, bucket, format=form, compression="none")
        scans = [large(1), record(2)]
        answer = await write(archive, scans)
        assert sorted(requests(front)) == sorted(["POST uploads", "PUT 1", "PUT 2", "PUT 3", "POST"])
        assert await write(archive, scans) == answer or answer
        await archive.close()
        [(key, count)] = versions(s3, bucket, "").items()
        assert count == 1
        found = s3.get_object(Bucket=bucket, Key=key)
        assert contents(key, found["Body"].read()) == [one.body for one in scans]
        assert found["Metadata"]["scribe-digest"] == sealed(archive, scans).digest
        assert left(s3, bucket) == 0

    check()


@in_loop
async def test_an_object_of_the_threshold_goes_in_one_piece(front: Front, bucket: str) -> None:
    archive = sink(front, bucket, compression="none", multipart_threshold=64 * 2**20)
    await write(archive, [large()])
    await archive.close()
    assert requests(front) == ["PUT"]


@in_loop
async def test_what_is_asked_for_goes_with_the_upload(front: Front, s3: S3Client, bucket: str) -> None:
    archive = sink(
        front,
        bucket,
        compression="none",
        storage_class="STANDARD_IA",
        tags={"app": "scribe export"},
        encryption={"kms_key": "alias/scribe", "context": {"team": "lab"}},
        expected_bucket_owner="123456789012",
    )
    await write(archive, [large()])
    await archive.close()
    [first] = [one for one in front.received if one.path.endswith("?uploads")]
    assert first.headers["x-amz-storage-class"] == "STANDARD_IA"
    assert first.headers["x-amz-tagging"] == "app=scribe+export"
    assert first.headers["x-amz-server-side-encryption"] == "aws:kms"
    assert first.headers["x-amz-server-side-encryption-aws-kms-key-id"] == "alias/scribe"
    assert first.headers["x-amz-server-side-encryption-context"] == "eyJ0ZWFtIjoibGFiIn0="
    assert first.headers["x-amz-server-side-encryption-bucket-key-enabled"] == "true"
    assert first.headers["content-type"] == "application/x-ndjson"
    assert {one.headers["x-amz-expected-bucket-owner"] for one in front.received} == {"123456789012"}
    [last] = [one for one in front.received if one.method == "POST" and "uploadId=" in one.path]
    assert last.headers["if-none-match"] == "*"
    [head] = s3.list_objects_v2(Bucket=bucket)["Contents"]
    assert head["StorageClass"] == "STANDARD_IA"


@pytest.mark.parametrize("checksum", ["crc32", "sha1", "sha256"])
def test_parts_carry_the_checksum_asked_for(front: Front, bucket: str, checksum: str) -> None:
    @in_loop
    async def check() -> None:
        archive = sink(front, bucket, compression="none", checksum=checksum)
        await write(archive, [large()])
        await archive.close()
        puts = [one for one in front.received if one.method == "PUT"]
        assert all(one.headers[f"x-amz-checksum-{checksum}"] for one in puts)
        [first] = [one for one in front.received if one.path.endswith("?uploads")]
        assert first.headers["x-amz-checksum-algorithm"] == checksum.upper()
        assert f"Checksum{checksum.upper()}".encode() in front.received[-1].body

    check()


def of_part(number: int, answer: Answer) -> Callable[[Received], Answer | None]:
    return lambda came: answer if f"partNumber={number}&" in came.path or came.path.endswith(f"={number}") else None


def of_creation(answer: Answer) -> Callable[[Received], Answer | None]:
    return lambda came: answer if came.path.endswith("?uploads") else None


def of_completion(answer: Answer) -> Callable[[Received], Answer | None]:
    return lambda came: answer if came.method == "POST" and "uploadId=" in came.path else None


@pytest.mark.parametrize(
    ("script", "kind", "applied"),
    [
        pytest.param(of_creation(SLOW_DOWN), Throttled, "no", id="creation throttled"),
        pytest.param(of_creation(BROKEN), Transient, "no", id="creation broken"),
        pytest.param(of_part(2, SLOW_DOWN), Throttled, "no", id="part throttled"),
        pytest.param(of_part(3, BROKEN), Transient, "no", id="part broken"),
        pytest.param(of_part(2, EXPIRED), Misconfigured, "no", id="part with expired credentials"),
        pytest.param(of_completion(SLOW_DOWN), Throttled, "no", id="completion throttled"),
        pytest.param(of_completion(BROKEN), Transient, "unknown", id="completion broken"),
        pytest.param(of_completion(BROKEN_WITHIN_200), Transient, "unknown", id="completion broken within a 200"),
        pytest.param(of_completion(EXPIRED), Misconfigured, "no", id="completion with expired credentials"),
        pytest.param(of_completion(TOO_LARGE), Rejected, "no", id="too large"),
    ],
)
@versioned
def test_a_failure_on_the_way_leaves_nothing_and_the_repeat_one_object(
    front: Front, s3: S3Client, bucket: str, script: Any, kind: type[SinkError], applied: str
) -> None:
    @in_loop
    async def check() -> None:
        archive = sink(front, bucket, compression="none")
        with front.scripted(script), pytest.raises(kind) as caught:
            await write(archive, [large()])
        assert type(caught.value) is kind
        assert caught.value.applied == applied
        assert versions(s3, bucket, "") == {}
        assert left(s3, bucket) == 0
        await write(archive, [large()])
        await archive.close()
        assert list(versions(s3, bucket, "").values()) == [1]

    check()


@versioned
def test_a_completion_whose_answer_is_lost_is_unknown_and_the_repeat_finds_it(
    front: Front, s3: S3Client, bucket: str
) -> None:
    @in_loop
    async def check() -> None:
        archive = sink(front, bucket, compression="none", key="each/{scan_id}.json")
        completion = lambda came: came.method == "POST" and "uploadId=" in came.path  # noqa: E731
        with front.losing_answers(completion), pytest.raises(Transient) as caught:
            await write(archive, [large()])
        assert caught.value.applied == "unknown"
        assert versions(s3, bucket, "") == {"each/1.json": 1}
        assert await write(archive, [large()]) == "1 present"
        await archive.close()
        assert versions(s3, bucket, "") == {"each/1.json": 1}
        assert left(s3, bucket) == 0

    check()


@versioned
def test_other_content_under_the_name_is_a_conflict_and_is_overwritten_only_if_asked(
    front: Front, s3: S3Client, bucket: str
) -> None:
    @in_loop
    async def check() -> None:
        s3.put_object(Bucket=bucket, Key="each/1.json", Body=b"{}")
        archive = sink(front, bucket, key="each/{scan_id}.json")
        with pytest.raises(PartialFailure) as caught:
            await write(archive, [large()])
        assert isinstance(caught.value.errors[0], Conflict)
        await archive.close()
        archive = sink(front, bucket, key="each/{scan_id}.json", on_conflict="overwrite")
        assert await write(archive, [large()]) == "1 overwritten"
        await archive.close()
        assert s3.get_object(Bucket=bucket, Key="each/1.json")["Body"].read() == large().body
        assert left(s3, bucket) == 0

    check()


@in_loop
async def test_the_preview_is_what_goes_over_the_wire(front: Front, bucket: str) -> None:
    archive = sink(front, bucket, compression="none", tags={"a": "b"})
    encoded = archive.encode(sealed(archive, [large(1), record(2)]))
    shown = await archive.preview(encoded)
    assert front.received == []
    await archive.write(encoded)
    await archive.close()
    assert [one.records for one in shown] == [(0, 1)] * 5
    upload = re.compile(r"uploadId=[^&]*")
    sent = {(one.method, upload.sub("", one.path)): one for one in front.received}
    told = {(one.method, upload.sub("", one.target.removeprefix(front.url))): one for one in shown}
    assert len(sent) == 5
    assert sent.keys() == told.keys()
    for name, one in sent.items():
        # What completes the upload holds the service's own answers: its id, and a tag for each part.
        if name[0] == "PUT" or name[1].endswith("uploads"):
            assert told[name].headers.items() <= lasting(one.headers).items()
            assert one.body == told[name].body


@pytest.mark.parametrize("form", ["jsonl", "parquet"])
def test_rights_to_write_alone_are_enough(ministack_auth: LocalServer, form: str) -> None:
    @in_loop
    async def check() -> None:
        store = s3_client(ministack_auth.url)
        bucket = new_bucket(store)
        auth = new_user(ministack_auth, bucket, "s3:PutObject", "s3:AbortMultipartUpload")
        with Front(ministack_auth.port, unavailable=BROKEN, denied=BROKEN) as front:
            archive = sink(front, bucket, format=form, compression="none", auth=auth)
            await archive.open()
            for _ in range(2):
                await write(archive, [record(2)])
                await write(archive, [large()])
            with front.scripted(of_part(2, BROKEN)), pytest.raises(Transient):
                await write(archive, [large(3)])
            await archive.close()
        assert sorted(versions(store, bucket, "").values()) == [1, 1]
        assert left(store, bucket) == 0
        store.close()

    check()
