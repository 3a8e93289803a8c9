"""What the options put on the wire, and what they refuse before anything is sent."""

from __future__ import annotations

import base64
import hashlib
import io
import zlib
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import pytest
from pydantic import ValidationError
from support.front import Answer, Front, Received
from support.loop import in_loop
from support.objects import parquet_file
from support.records import Journalled, body, record, sealed, write
from support.s3 import s3_client

from scribe_connectors.aws.s3 import S3Sink, S3SinkOptions, S3Source, S3SourceOptions
from scribe_export.errors import Misconfigured, PartialFailure, Rejected, SinkError, Throttled, Transient
from scribe_export.interface import Context
from scribe_local.servers import LocalServer

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

AUTH = {"access_key_id": "test", "secret_access_key": "test"}
BATCHED = "lake/{batch_id}.{ext}"
UNUSED = Answer(500)


@pytest.fixture
def s3(aws: LocalServer) -> Iterator[S3Client]:
    client = s3_client(aws.url)
    yield client
    client.close()


@pytest.fixture
def front(aws: LocalServer) -> Iterator[Front]:
    with Front(aws.port, unavailable=UNUSED, denied=UNUSED) as front:
        yield front


def options(url: str | None, bucket: str = "a-bucket", **more: Any) -> S3SinkOptions:
    given: dict[str, Any] = {"bucket": bucket, "region": "us-east-1", "auth": AUTH, "key": "each/{scan_id}.json"}
    return S3SinkOptions.model_validate(given | ({"endpoint_url": url} if url else {}) | more)


async def sent(front: Front, bucket: str, **more: Any) -> Received:
    """The one request that stores one scan."""
    sink = S3Sink(options(front.url, bucket, **more), Context("archive"))
    await write(sink, [record(1)])
    await sink.close()
    [request] = front.received
    return request


@in_loop
async def test_every_setting_of_an_object_is_in_its_request(front: Front, s3: S3Client, bucket: str) -> None:
    request = await sent(
        front,
        bucket,
        storage_class="GLACIER_IR",
        tags={"app": "scribe export", "team": "a=b+c/d"},
        encryption={"kms_key": "alias/scribe", "context": {"team": "lab"}, "bucket_key": False},
        expected_bucket_owner="123456789012",
    )
    names = {name.removeprefix("x-amz-"): value for name, value in request.headers.items()}
    assert names["storage-class"] == "GLACIER_IR"
    assert names["tagging"] == "app=scribe+export&team=a%3Db%2Bc%2Fd"
    assert names["server-side-encryption"] == "aws:kms"
    assert names["server-side-encryption-aws-kms-key-id"] == "alias/scribe"
    assert base64.b64decode(names["server-side-encryption-context"]) == b'{"team":"lab"}'
    assert "server-side-encryption-bucket-key-enabled" not in names
    assert names["expected-bucket-owner"] == "123456789012"
    assert names["meta-scribe-sha256"] == record(1).sha256
    assert request.headers["if-none-match"] == "*"
    assert "content-encoding" not in request.headers
    head = s3.head_object(Bucket=bucket, Key="each/1.json")
    assert (head["StorageClass"], head["ServerSideEncryption"]) == ("GLACIER_IR", "aws:kms")
    tags = s3.get_object_tagging(Bucket=bucket, Key="each/1.json")["TagSet"]
    assert {one["Key"]: one["Value"] for one in tags} == {"app": "scribe export", "team": "a=b+c/d"}


DIGESTS = {
    "crc32": zlib.crc32(record(1).body).to_bytes(4, "big"),
    "sha1": hashlib.sha1(record(1).body, usedforsecurity=False).digest(),
    "sha256": hashlib.sha256(record(1).body).digest(),
}


@pytest.mark.parametrize("checksum", sorted(DIGESTS))
def test_a_checksum_goes_in_a_header_and_the_body_as_it_is(front: Front, bucket: str, checksum: str) -> None:
    @in_loop
    async def check() -> None:
        request = await sent(front, bucket, checksum=checksum)
        found = {name for name in request.headers if name.startswith("x-amz-checksum-")}
        assert found == {f"x-amz-checksum-{checksum}"}
        assert base64.b64decode(request.headers[f"x-amz-checksum-{checksum}"]) == DIGESTS[checksum]
        assert request.body == record(1).body

    check()


@pytest.mark.parametrize("checksum", ["auto", "none"])
def test_other_implementations_get_no_checksum_unless_asked(front: Front, bucket: str, checksum: str) -> None:
    @in_loop
    async def check() -> None:
        request = await sent(front, bucket, checksum=checksum)
        assert not [name for name in request.headers if "checksum" in name or "trailer" in name]
        assert request.body == record(1).body

    check()


@pytest.mark.parametrize(
    ("checksum", "expected"), [("auto", "x-amz-trailer"), ("none", ""), ("sha256", "x-amz-checksum-sha256")]
)
def test_at_aws_the_sdks_own_checksum_is_the_default(checksum: str, expected: str) -> None:
    @in_loop
    async def check() -> None:
        sink = S3Sink(options(None, checksum=checksum, region="eu-west-1"), Context("archive"))
        [request] = await sink.preview(sink.encode(sealed(sink, [record(1)])))
        assert request.target == "https://a-bucket.s3.eu-west-1.amazonaws.com/each/1.json"
        found = {name for name in request.headers if "checksum" in name or "trailer" in name}
        assert found - {"x-amz-sdk-checksum-algorithm"} == ({expected} if expected else set())
        assert request.records == (0,)

    check()


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"storage_class": "STANDARD_AI"}, 'did you mean "STANDARD_IA"'),
        ({"tags": {"": "x"}}, "tag's name"),
        ({"tags": {"a": "x" * 257}}, "at most 256"),
        ({"tags": {"a": "b&c"}}, "letters, digits"),
        ({"tags": {str(n): "x" for n in range(11)}}, "at most 10"),
        ({"part_size": 5 * 2**20 - 1}, "greater than or equal to 5242880"),
        ({"multipart_threshold": 6 * 2**30}, "less than or equal to"),
        ({"checksum": "md5"}, "'crc32'"),
        ({"expected_bucket_owner": "12"}, "pattern"),
    ],
)
def test_what_s3_would_refuse_is_refused_at_load(given: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        options(None, **given)


def test_classes_of_other_implementations_are_theirs_to_judge() -> None:
    assert options("http://127.0.0.1:1", storage_class="HOT").storage_class == "HOT"


def answer(status: int, code: str, **headers: str) -> Answer:
    body = f"<Error><Code>{code}</Code><Message>so it is</Message></Error>".encode()
    return Answer(status, body, "application/xml", {name.replace("_", "-"): value for name, value in headers.items()})


@pytest.mark.parametrize(
    ("said", "kind", "applied"),
    [
        (answer(503, "SlowDown", Retry_After="7"), Throttled, "no"),
        (answer(429, "TooManyRequests"), Throttled, "no"),
        (answer(400, "KMS.ThrottlingException"), Throttled, "no"),
        (answer(503, "ServiceUnavailable"), Transient, "unknown"),
        (answer(500, "InternalError"), Transient, "unknown"),
        (answer(409, "ConditionalRequestConflict"), Transient, "no"),
        (answer(400, "RequestTimeout"), Transient, "no"),
        (answer(400, "ExpiredToken"), Misconfigured, "no"),
        (answer(403, "RequestTimeTooSkewed"), Misconfigured, "no"),
        (answer(400, "KMS.DisabledException"), Misconfigured, "no"),
        (answer(403, "InvalidObjectState"), Misconfigured, "no"),
        (answer(501, "NotImplemented"), Misconfigured, "no"),
        (answer(400, "EntityTooLarge"), Rejected, "no"),
    ],
    ids=lambda value: value.body.decode().partition("</Code>")[0][13:] if isinstance(value, Answer) else None,
)
def test_what_s3_says_becomes_what_it_means(
    front: Front, bucket: str, said: Answer, kind: type[SinkError], applied: str
) -> None:
    @in_loop
    async def check() -> None:
        sink = S3Sink(options(front.url, bucket, key=BATCHED), Context("archive"))
        with front.scripted(lambda came: said if came.method == "PUT" else None), pytest.raises(kind) as caught:
            await write(sink, [record(1), record(2)])
        assert type(caught.value) is kind
        assert caught.value.applied == applied
        assert getattr(caught.value, "retry_after", None) == (7.0 if "Retry-After" in said.headers else None)
        assert len(front.received) == 1
        await write(sink, [record(1), record(2)])
        await sink.close()

    check()


@in_loop
async def test_one_object_too_large_is_its_records_own_fault(front: Front, bucket: str) -> None:
    sink = S3Sink(options(front.url, bucket), Context("archive"))
    large = answer(400, "EntityTooLarge")
    scripted = front.scripted(lambda came: large if came.path.endswith("/2.json") else None)
    with scripted, pytest.raises(PartialFailure) as caught:
        await write(sink, [record(1), record(2), record(3)])
    assert caught.value.acked == {0, 2}
    assert caught.value.errors[1].kind == "too_large"
    await sink.close()


POISON = (
    "../../etc",
    "/abs",
    "a//b",
    ".",
    "C:\\x",
    "a\r\nb",
    "a?b",
    "a#b",
    "%2e%2e",
    "\u202egnp",
    "é",
    "e\u0301",
    "A",
    "a",
)


@pytest.mark.parametrize("key", ["each/{scan_id}.json", "each/{material}/{scan_id}", BATCHED])
def test_hostile_ids_become_keys_of_their_own_under_the_prefix(
    front: Front, s3: S3Client, bucket: str, key: str
) -> None:
    @in_loop
    async def check() -> None:
        sink = S3Sink(options(front.url, bucket, key=key), Context("archive"))
        scans = [record(n, scan_id=scan_id) for n, scan_id in enumerate(POISON, start=1)]
        await write(sink, scans)
        await sink.close()
        keys = [one["Key"] for one in s3.list_objects_v2(Bucket=bucket)["Contents"]]
        assert len(keys) == (1 if key == BATCHED else len(POISON))
        assert all(one.startswith(key.partition("/")[0] + "/") for one in keys)
        reader = S3Source(
            S3SourceOptions.model_validate(
                {"bucket": bucket, "endpoint_url": front.url, "region": "us-east-1", "auth": AUTH}
            ),
            Context("old", once=True),
        )
        assert sorted(await Journalled().take_all(reader)) == sorted(one.body for one in scans)
        await reader.close()

    check()


@in_loop
async def test_a_large_parquet_object_is_spooled_and_resumed_at_its_row(
    front: Front, s3: S3Client, bucket: str
) -> None:
    noise = io.BytesIO(hashlib.shake_256(b"noise").digest(9_000 * 1200))
    content = parquet_file([body(n, audio=noise.read(9_000).hex()) for n in range(1, 1201)], rows=100)
    assert len(content) > 16 * 2**20  # more than is held in memory
    s3.put_object(Bucket=bucket, Key="big.parquet", Body=content)
    given = {"bucket": bucket, "endpoint_url": front.url, "region": "us-east-1", "auth": AUTH}
    journal = Journalled()

    def reader() -> S3Source:
        return S3Source(S3SourceOptions.model_validate(given), Context("old", once=True))

    first = reader()
    taken = first.deliveries(journal)
    await journal.take(await anext(taken))
    await taken.aclose()  # type: ignore[attr-defined]
    await first.close()
    assert 0 < len(journal.bodies) < 1200
    second = reader()
    await journal.take_all(second)
    assert journal.ids() == [str(n) for n in range(1, 1201)]
    assert journal.origins[-1] == "big.parquet:1200"
    assert await journal.take_all(second) == []
    await second.close()
