import json
import os
import socket
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import anyio
import pytest
from support.loop import in_loop
from support.records import body, record, sealed, write
from support.s3 import aws_client, new_user

from scribe_connectors.aws.s3 import S3Sink, S3SinkOptions
from scribe_export.errors import Conflict, Misconfigured, PartialFailure, Transient
from scribe_export.interface import Context
from scribe_local.proxy import Mode, Proxy
from scribe_local.servers import LocalServer

PER_SCAN = "scans/{timestamp:%Y/%m/%d}/{scan_id}.json"
BATCHED = "lake/{batch_id}.{ext}"
TEST = {"access_key_id": "test", "secret_access_key": "test"}


def sink(server: LocalServer | str, bucket: str, **options: Any) -> S3Sink:
    url = server if isinstance(server, str) else server.url
    given = {"bucket": bucket, "key": PER_SCAN, "endpoint_url": url, "region": "us-east-1", "auth": TEST, **options}
    return S3Sink(S3SinkOptions.model_validate(given), Context("archive"))


def keys(s3: Any, bucket: str) -> list[str]:
    return [one["Key"] for one in s3.list_objects_v2(Bucket=bucket).get("Contents", ())]


def content(s3: Any, bucket: str, key: str) -> bytes:
    with s3.get_object(Bucket=bucket, Key=key)["Body"] as stream:
        return bytes(stream.read())


@pytest.fixture
def versioned(s3: Any, bucket: str) -> str:
    s3.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": "Enabled"})
    return bucket


def versions(s3: Any, bucket: str) -> list[str]:
    return [one["Key"] for one in s3.list_object_versions(Bucket=bucket).get("Versions", ())]


@in_loop
async def test_scans_become_objects_with_their_digest(ministack: LocalServer, s3: Any, bucket: str) -> None:
    archive = sink(ministack, bucket, tags={"app": "scribe export"}, storage_class="STANDARD_IA", encryption="AES256")
    await archive.open()
    assert await write(archive, [record(1), record(2)]) == "2 created"
    await archive.close()
    assert keys(s3, bucket) == ["scans/2026/03/01/1.json", "scans/2026/03/01/2.json"]
    head = s3.head_object(Bucket=bucket, Key="scans/2026/03/01/1.json")
    assert head["Metadata"]["scribe-sha256"] == record(1).sha256
    assert head["ContentType"] == "application/json"
    assert content(s3, bucket, "scans/2026/03/01/1.json") == record(1).body
    tags = s3.get_object_tagging(Bucket=bucket, Key="scans/2026/03/01/1.json")["TagSet"]
    assert tags == [{"Key": "app", "Value": "scribe export"}]


@pytest.mark.parametrize("key", [PER_SCAN, BATCHED])
def test_a_repeated_batch_leaves_one_version(ministack: LocalServer, s3: Any, versioned: str, key: str) -> None:
    @in_loop
    async def check() -> None:
        archive = sink(ministack, versioned, key=key)
        for _ in range(3):
            await write(archive, [record(1), record(2)])
        await archive.close()
        found = versions(s3, versioned)
        assert len(found) == len(set(found)) == (2 if key == PER_SCAN else 1)

    check()


def test_eight_racing_writers_leave_one_object(ministack: LocalServer, s3: Any, versioned: str) -> None:
    archive = sink(ministack, versioned)
    [item] = archive.encode(sealed(archive, [record(1)])).payload
    with ThreadPoolExecutor(8) as pool:
        tags = [tag for tag in pool.map(lambda _: archive.create(item.key, item), range(8)) if tag]
    assert len(tags) == 1
    assert len(versions(s3, versioned)) == 1
    anyio.run(archive.close)


@in_loop
async def test_a_foreign_object_is_compared_as_json(ministack: LocalServer, s3: Any, bucket: str) -> None:
    archive = sink(ministack, bucket, key="s/{scan_id}.json")
    s3.put_object(Bucket=bucket, Key="s/1.json", Body=json.dumps(json.loads(body(1)), indent=2).encode())
    s3.put_object(Bucket=bucket, Key="s/2.json", Body=b'{"scan_id": 2}')
    with pytest.raises(PartialFailure) as caught:
        await write(archive, [record(1), record(2), record(3)])
    assert caught.value.acked == {0, 2}
    assert {index: type(error) for index, error in caught.value.errors.items()} == {1: Conflict}
    await archive.close()


@pytest.mark.parametrize("action", ["dead_letter", "keep", "overwrite", "version"])
def test_other_content_is_treated_as_the_destination_says(
    ministack: LocalServer, s3: Any, bucket: str, action: str
) -> None:
    @in_loop
    async def check() -> None:
        archive = sink(ministack, bucket, key="s/{scan_id}.json", on_conflict=action)
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
        assert {key: content(s3, bucket, key) for key in keys(s3, bucket)} == expected
        if action == "overwrite":
            assert await write(archive, [record(1)]) == "1 superseded"
        await archive.close()

    check()


def test_an_overwrite_replaces_only_what_was_looked_at(ministack: LocalServer, s3: Any, bucket: str) -> None:
    archive = sink(ministack, bucket, key="s/{scan_id}.json")
    [item] = archive.encode(sealed(archive, [record(1)])).payload
    s3.put_object(Bucket=bucket, Key="s/1.json", Body=b"{}")
    found = archive.stat("s/1.json")
    assert found is not None
    s3.put_object(Bucket=bucket, Key="s/1.json", Body=b'{"written":"meanwhile"}')
    assert archive.replace(item, found) is None
    assert content(s3, bucket, "s/1.json") == b'{"written":"meanwhile"}'
    anyio.run(archive.close)


@in_loop
async def test_a_lost_answer_is_unknown_and_the_repeat_finds_its_own(
    ministack: LocalServer, s3: Any, versioned: str
) -> None:
    with Proxy(ministack.port) as proxy:
        archive = sink(proxy.url, versioned)
        await archive.open()
        proxy.set(Mode.LOSE, times=1)
        with pytest.raises(Transient) as caught:
            await write(archive, [record(1)])
        assert caught.value.applied == "unknown"
        assert await write(archive, [record(1)]) == "1 present"
        await archive.close()
    assert versions(s3, versioned) == ["scans/2026/03/01/1.json"]


@in_loop
async def test_a_missing_bucket_is_for_the_operator(ministack: LocalServer) -> None:
    archive = sink(ministack, "no-such-bucket")
    with pytest.raises(Misconfigured, match="no bucket 'no-such-bucket'"):
        await archive.open()
    with pytest.raises(Misconfigured, match="NoSuchBucket"):
        await write(archive, [record(1), record(2)])
    await archive.close()


@in_loop
async def test_wrong_credentials_are_for_the_operator_and_never_shown(ministack: LocalServer, bucket: str) -> None:
    wrong = {"access_key_id": "AKIAWRONGWRONGWRONG1", "secret_access_key": "CANARY-7f3a"}
    archive = sink(ministack, bucket, auth=wrong)
    await archive.open()
    with pytest.raises(Misconfigured) as caught:
        await write(archive, [record(1)])
    assert "CANARY" not in str(caught.value) + repr(archive.options)
    await archive.close()


@in_loop
async def test_a_user_without_the_right_to_read_holds_at_a_repeat_and_says_what_to_grant(
    ministack: LocalServer, bucket: str
) -> None:
    auth = new_user(ministack, bucket, "s3:PutObject")
    archive = sink(ministack, bucket, auth=auth)
    await archive.open()
    await write(archive, [record(1)])
    with pytest.raises(Misconfigured, match="allow reading"):
        await write(archive, [record(1)])
    named = sink(ministack, bucket, auth=auth, key=BATCHED)
    for _ in range(2):
        await write(named, [record(1)])
    await archive.close()
    await named.close()


@in_loop
async def test_rights_that_come_back_are_enough_to_go_on(ministack: LocalServer, bucket: str) -> None:
    name = f"user-{os.urandom(4).hex()}"
    auth = new_user(ministack, bucket, "s3:*", name=name)
    archive = sink(ministack, bucket, auth=auth)
    await write(archive, [record(1)])
    iam = aws_client(ministack.url, "iam")
    iam.update_access_key(UserName=name, AccessKeyId=auth["access_key_id"], Status="Inactive")
    with pytest.raises(Misconfigured):
        await write(archive, [record(2)])
    iam.update_access_key(UserName=name, AccessKeyId=auth["access_key_id"], Status="Active")
    assert await write(archive, [record(2)]) == "1 created"
    await archive.close()
    iam.close()


@in_loop
async def test_without_any_credentials_it_says_so(
    ministack: LocalServer, bucket: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Any
) -> None:
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    archive = sink(ministack, bucket, auth={})
    with pytest.raises(Misconfigured, match="credentials"):
        await archive.open()


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
async def test_a_role_is_taken_on(ministack: LocalServer, bucket: str) -> None:
    iam = aws_client(ministack.url, "iam")
    trust = {
        "Version": "2012-10-17",
        "Statement": [{"Effect": "Allow", "Principal": {"AWS": "*"}, "Action": "sts:AssumeRole"}],
    }
    name = f"writer-{os.urandom(4).hex()}"
    role = iam.create_role(RoleName=name, AssumeRolePolicyDocument=json.dumps(trust))["Role"]
    allow = {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "s3:*", "Resource": "*"}]}
    iam.put_role_policy(RoleName=name, PolicyName="write", PolicyDocument=json.dumps(allow))
    iam.close()
    archive = sink(ministack, bucket, auth={**TEST, "assume_role": {"arn": role["Arn"], "external_id": "lab"}})
    await archive.open()
    assert await write(archive, [record(1)]) == "1 created"
    signer: Any = archive._bucket.client.get()._request_signer
    assert signer._credentials.method == "scribe-assumed-role"
    await archive.close()


@in_loop
async def test_closing_is_safe_twice_and_before_opening(ministack: LocalServer, bucket: str) -> None:
    archive = sink(ministack, bucket)
    await archive.close()
    await archive.open()
    await archive.close()
    await archive.close()


def test_a_key_longer_than_s3_allows_refuses_its_record_alone(ministack: LocalServer, bucket: str) -> None:
    archive = sink(ministack, bucket)
    encoded = archive.encode(sealed(archive, [record(1, scan_id="é" * 200), record(2)]))
    assert {index: error.kind for index, error in encoded.refused.items()} == {0: "name"}
