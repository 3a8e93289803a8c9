"""Every example, run as it stands; only the services' addresses are put in."""

from __future__ import annotations

import json
import os
import socketserver
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import httpx
import pytest
import yaml
from support.bigquery import client as bigquery_client
from support.gcs import new_bucket as new_gcs_bucket
from support.queues import new_queue
from support.s3 import aws_client
from support.stored import bodies

from scribe_local import servers
from scribe_local.cloud.lambda_ import make_function

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

EXAMPLES = Path(__file__).parents[2] / "examples"
AWS: dict[str, Any] = {
    "region": servers.REGION,
    "auth": {"access_key_id": servers.ACCESS_KEY, "secret_access_key": servers.SECRET_KEY},
}
FUNCTION = """
def handler(event, context):
    return {"scan_id": context.aws_request_id, "timestamp": "2026-05-06T12:00:00Z", "config": event}
"""


@pytest.fixture
def project() -> str:
    return f"lab-{uuid4().hex[:8]}"


def placed(example: str, folder: Path, connections: Mapping[str, Mapping[str, Any]], **entries: Any) -> Path:
    """The example's config in a folder, with where its services are; `entries` are added to destinations."""
    document = yaml.safe_load((EXAMPLES / example / "export.yaml").read_text())
    for name, more in connections.items():
        document["connections"][name] |= more
    for name, more in entries.items():
        document["destinations"][name] |= more
    path = folder / "export.yaml"
    path.write_text(json.dumps(document))
    return path


def run(path: Path, *program: str, **environment: str) -> subprocess.CompletedProcess[str]:
    command = [*(program or (sys.executable, "-m", "scribe_export")), "run", "--until-idle", str(path)]
    done = subprocess.run(
        command, env={**os.environ, **environment}, capture_output=True, text=True, timeout=100, cwd=path.parent
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return done


def performed(simulator: servers.Simulator) -> set[int]:
    return {one["scan_id"] for one in httpx.get(f"{simulator.url}/scans?limit=1000").json()["scans"]}


def test_object_storage(
    tmp_path: Path,
    simulator: servers.Simulator,
    ministack: servers.LocalServer,
    fake_gcs: servers.LocalServer,
    s3: S3Client,
    bucket: str,
    gcs: Any,
    project: str,
) -> None:
    lake = new_gcs_bucket(gcs)
    aws: dict[str, Any] = {**AWS, "endpoint_url": ministack.url}
    path = placed("object-storage", tmp_path, {"aws": aws, "gcp": {"endpoint_url": fake_gcs.url}})
    before = performed(simulator)
    run(path, SCRIBE_URL=simulator.url, BUCKET=bucket, LAKE=lake, GCP_PROJECT=project)
    assert {json.loads(body)["scan_id"] for body in bodies(s3, bucket, "scans/")} >= before
    assert {blob.name.rpartition(".")[2] for blob in gcs.list_blobs(lake)} == {"parquet"}


def test_analytics(
    tmp_path: Path,
    simulator: servers.Simulator,
    ministack: servers.LocalServer,
    bigquery: servers.BigQuery,
    s3: S3Client,
    bucket: str,
    project: str,
) -> None:
    s3.put_object(Bucket=bucket, Key="scans/old.json", Body=b'{"scan_id": "old", "timestamp": "2026-03-01T09:00:00Z"}')
    warehouse: Any = bigquery_client(bigquery.url, project=project)
    warehouse.create_dataset("scribe")
    connections = {"aws": {**AWS, "endpoint_url": ministack.url}, "gcp": {"endpoint_url": bigquery.url}}
    path = placed("analytics", tmp_path, connections)
    before = performed(simulator)
    run(path, SCRIBE_URL=simulator.url, BUCKET=bucket, GCP_PROJECT=project)
    ids = [row["scan_id"] for row in warehouse.query("SELECT scan_id FROM scribe.scans").result()]
    warehouse.close()
    assert len(ids) == len(set(ids))
    assert set(ids) >= {"old", *map(str, before)}


def test_queue_scanner(tmp_path: Path, simulator: servers.Simulator, redis: servers.LocalServer) -> None:
    import redis as client

    database = f"redis://{redis.address}/7"
    with client.Redis.from_url(database) as queue:
        queue.flushdb()
        queue.lpush("scribe:scan_requests", json.dumps({"request_id": "r1", "config": {"frequency": 330.0}}))
        run(placed("queue-scanner", tmp_path, {}), SCRIBE_URL=simulator.url, REDIS_URL=database)
        (reply,) = map(json.loads, queue.lrange("scribe:scan_results", 0, -1))
    assert reply["request_id"] == "r1"
    (archived,) = (json.loads(path.read_text()) for path in (tmp_path / "archive").rglob("*.json"))
    assert archived == reply["result"]


def test_serverless_scan(tmp_path: Path, ministack: servers.LocalServer, s3: S3Client, bucket: str) -> None:
    make_function(ministack.url, "scribe-scan-function", FUNCTION, {})
    sqs = aws_client(ministack.url, "sqs")
    url = new_queue(sqs)
    sqs.send_message(QueueUrl=url, MessageBody=json.dumps({"config": {"frequency": 330.0}}))
    sqs.close()
    path = placed("serverless-scan", tmp_path, {"aws": {**AWS, "endpoint_url": ministack.url}})
    run(path, BUCKET=bucket, QUEUE_URL=url)
    (scan,) = map(json.loads, bodies(s3, bucket, "scans/"))
    assert scan["config"]["frequency"] == 330.0


def test_embedding(tmp_path: Path) -> None:
    files = {"type": "file", "directory": "archive", "key": "scans/{scan_id}.json"}
    (tmp_path / "export.yaml").write_text(json.dumps({"destinations": {"files": files}}))
    (tmp_path / "scan.json").write_bytes(b'{"scan_id": 7}')
    command = [sys.executable, str(EXAMPLES / "embedding" / "deliver.py"), "export.yaml", "scan.json"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stdout) == (0, "scan 7 is new, on its way to files\n"), done.stderr
    assert (tmp_path / "archive/scans/7.json").read_bytes() == b'{"scan_id": 7}'


class MailServer(socketserver.ThreadingTCPServer):
    """Takes every mail and keeps it."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Mailbox)
        self.mails: list[bytes] = []


class _Mailbox(socketserver.StreamRequestHandler):
    server: MailServer

    def handle(self) -> None:
        self.wfile.write(b"220 here\r\n")
        while line := self.rfile.readline():
            if line.upper().startswith(b"DATA"):
                self.wfile.write(b"354 go on\r\n")
                self.server.mails.append(b"".join(iter(self.rfile.readline, b".\r\n")))
            elif line.upper().startswith(b"QUIT"):
                self.wfile.write(b"221 bye\r\n")
                return
            self.wfile.write(b"250 ok\r\n")


@pytest.fixture
def mail() -> Iterator[MailServer]:
    with MailServer() as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.02,))
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def test_own_sink(tmp_path: Path, mail: MailServer) -> None:
    host, port = mail.server_address[:2]
    there = {"type": "mail", "host": host, "port": port, "to": "lab@example.org"}
    scans = {"type": "file", "path": "in/*.json"}
    path = tmp_path / "export.yaml"
    path.write_text(json.dumps({"sources": {"in": scans}, "destinations": {"mail": there}}))
    (tmp_path / "in").mkdir()
    for number in (1, 2):
        (tmp_path / f"in/{number}.json").write_text(json.dumps({"scan_id": number}))
    run(path, sys.executable, str(EXAMPLES / "own-sink" / "mail_sink.py"))
    assert sorted(one.split(b"Subject: Scan ")[1][:1] for one in mail.mails) == [b"1", b"2"]
