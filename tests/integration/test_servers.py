"""Servers as child processes, and the S3 that the others' tests stand on."""

import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import httpx
import pytest
from botocore.exceptions import ClientError
from support.missing import missing
from support.s3 import new_bucket, s3_client

from scribe_local import servers
from scribe_local.process import Server, ServerFailed, ServerMissing, free_port

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

_WEB = """
import http.server, sys
http.server.test(http.server.SimpleHTTPRequestHandler, port=int(sys.argv[1]), bind="127.0.0.1")
"""


def _web(tmp_path: Path, code: str = _WEB, *, deadline: float = 30.0) -> Server:
    port = free_port()
    command = [sys.executable, "-c", code, str(port)]
    return Server("web", command, port=port, ready="/", log=tmp_path / "web.log", deadline=deadline)


def _soon(true: Callable[[], bool]) -> bool:
    until = time.monotonic() + 20
    while time.monotonic() < until:
        if true():
            return True
        time.sleep(0.02)
    return False


def _gone(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    # An orphan that ended waits for init to reap it.
    return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] == "Z"


def test_a_server_answers_when_started_and_is_gone_when_stopped(tmp_path: Path) -> None:
    with _web(tmp_path) as server:
        assert httpx.get(server.url).status_code == 200
        assert server.process is not None
        pid = server.process.pid
    assert _gone(pid)
    with pytest.raises(httpx.ConnectError):
        httpx.get(server.url)
    server.stop()


def test_a_server_starts_again_on_its_port(tmp_path: Path) -> None:
    with _web(tmp_path) as server:
        url = server.url
        server.kill()
        assert not server.running
        server.start()
        assert httpx.get(url).status_code == 200


def test_a_paused_server_does_not_answer_until_resumed_and_can_be_stopped(tmp_path: Path) -> None:
    with _web(tmp_path) as server:
        server.pause()
        with pytest.raises(httpx.ReadTimeout):
            httpx.get(server.url, timeout=0.3)
        server.resume()
        assert httpx.get(server.url).status_code == 200
        server.pause()
    assert not server.running


def test_a_server_may_end_cleanly_when_stopped_and_may_not_when_killed(tmp_path: Path) -> None:
    marker = tmp_path / "clean"
    code = f"import pathlib, signal; signal.signal(15, lambda *_: exit(pathlib.Path({str(marker)!r}).touch()));" + _WEB
    server = _web(tmp_path, code).start()
    server.kill()
    assert not marker.exists()
    server.start()
    server.pause()
    server.stop()
    assert marker.exists()


def test_a_server_that_will_not_end_is_killed(tmp_path: Path) -> None:
    server = _web(tmp_path, "import signal; signal.signal(15, signal.SIG_IGN);" + _WEB).start()
    assert server.process is not None
    pid = server.process.pid
    server.stop(patience=0.2)
    assert _gone(pid)


def test_a_server_that_ends_at_once_says_what_it_logged(tmp_path: Path) -> None:
    server = _web(tmp_path, "import sys; sys.exit('no such luck')")
    with pytest.raises(ServerFailed, match=r"web ended with status 1:\nno such luck"):
        server.start()
    assert not server.running


def test_a_server_that_never_answers_is_killed_at_its_deadline(tmp_path: Path) -> None:
    pids = tmp_path / "pid"
    server = _web(
        tmp_path, f"import os,time,pathlib; pathlib.Path({str(pids)!r}).write_text(str(os.getpid())); time.sleep(600)"
    )
    server._deadline = 2.0
    with pytest.raises(ServerFailed, match="does not answer"):
        server.start()
    assert _gone(int(pids.read_text()))


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux kills a child with its parent")
def test_a_server_dies_with_a_parent_that_is_killed(tmp_path: Path) -> None:
    code = """
import pathlib, sys, time
from scribe_local import servers
print(servers.simulator(folder=pathlib.Path(sys.argv[1])).start().process.pid, flush=True)
time.sleep(600)
"""
    parent = subprocess.Popen([sys.executable, "-c", code, str(tmp_path)], stdout=subprocess.PIPE, text=True)
    assert parent.stdout is not None
    pid = int(parent.stdout.readline())
    assert not _gone(pid)
    parent.kill()
    parent.wait()
    parent.stdout.close()
    assert _soon(lambda: _gone(pid))


def test_a_temporary_folder_goes_with_its_server_and_a_given_one_stays(tmp_path: Path) -> None:
    with servers.simulator() as server:
        temporary = server.folder
        assert server.database.exists()
    assert not temporary.exists()
    with servers.simulator(folder=tmp_path / "kept") as server:
        pass
    assert server.database.exists()


def test_a_missing_ministack_says_what_to_run(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv(servers.CLOUD_ENVIRONMENT, str(tmp_path))
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(servers, "__file__", str(tmp_path / "a/b/c/d/servers.py"))
    with pytest.raises(ServerMissing, match=r"make \.venv-cloud/\.installed"):
        servers.ministack()


def test_a_missing_server_skips_at_home_and_fails_in_ci(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CI", raising=False)
    with pytest.raises(pytest.skip.Exception, match="not there"):
        missing("not there")
    monkeypatch.setenv("CI", "true")
    with pytest.raises(pytest.fail.Exception, match="not there"):
        missing("not there")


@pytest.mark.parametrize("bucket", ["versioned"], indirect=True)
def test_s3_keeps_one_version_of_a_conditional_create(s3: "S3Client", bucket: str) -> None:
    s3.put_object(Bucket=bucket, Key="a/b", Body=b"1", IfNoneMatch="*", Metadata={"scribe-sha256": "x"})
    with pytest.raises(ClientError) as caught:
        s3.put_object(Bucket=bucket, Key="a/b", Body=b"2", IfNoneMatch="*")
    assert caught.value.response["ResponseMetadata"]["HTTPStatusCode"] == 412
    assert len(s3.list_object_versions(Bucket=bucket)["Versions"]) == 1
    assert s3.head_object(Bucket=bucket, Key="a/b")["Metadata"] == {"scribe-sha256": "x"}


def test_s3_keeps_buckets_and_versions_over_a_stop_and_over_a_kill(ministack: servers.LocalServer) -> None:
    server = servers.ministack()
    with server:
        client = s3_client(server.url)
        bucket = new_bucket(client, versioned=True)
        for end in (server.kill, server.stop, server.kill):
            client.put_object(Bucket=bucket, Key=end.__name__ + str(time.monotonic_ns()), Body=b"body", IfNoneMatch="*")
            end()
            server.start()
        versions = client.list_object_versions(Bucket=bucket)["Versions"]
        assert len(versions) == 3
        assert client.get_object(Bucket=bucket, Key=versions[0]["Key"])["Body"].read() == b"body"
        client.close()
        folder = server.folder
    assert not folder.exists()


def test_the_server_with_auth_refuses_a_wrong_key_and_a_user_without_a_policy(
    ministack_auth: servers.LocalServer,
) -> None:
    import boto3

    root = s3_client(ministack_auth.url)
    bucket = new_bucket(root)
    iam = boto3.client(
        "iam",
        endpoint_url=ministack_auth.url,
        region_name=servers.REGION,
        aws_access_key_id=servers.ACCESS_KEY,
        aws_secret_access_key=servers.SECRET_KEY,
    )
    iam.create_user(UserName="nobody")
    key = iam.create_access_key(UserName="nobody")["AccessKey"]
    nobody = s3_client(ministack_auth.url, access_key=key["AccessKeyId"], secret_key=key["SecretAccessKey"])
    wrong = s3_client(ministack_auth.url, access_key=key["AccessKeyId"], secret_key="wrong")
    for client, code in ((nobody, "AccessDenied"), (wrong, "SignatureDoesNotMatch")):
        with pytest.raises(ClientError) as caught:
            client.put_object(Bucket=bucket, Key="k", Body=b"")
        assert caught.value.response["Error"]["Code"] == code
    for opened in (root, nobody, wrong, iam):
        opened.close()


def test_servers_listen_on_the_loopback_only(
    ministack: servers.LocalServer,
    simulator: servers.Simulator,
    bigquery: servers.BigQuery,
    pubsub: servers.LocalServer,
) -> None:
    if sys.platform != "linux":
        pytest.skip("reads /proc")  # reason: macOS has no such folder
    for port in (ministack.port, simulator.port, bigquery.port, bigquery.grpc_port, pubsub.port):
        rows = [
            line.split() for name in ("tcp", "tcp6") for line in Path(f"/proc/net/{name}").read_text().splitlines()[1:]
        ]
        addresses = {row[1].split(":")[0] for row in rows if row[3] == "0A" and int(row[1].split(":")[1], 16) == port}
        # gRPC listens by an IPv6 socket on ::ffff:127.0.0.1, which is the same.
        assert {address.removeprefix("0000000000000000FFFF0000") for address in addresses} == {"0100007F"}
