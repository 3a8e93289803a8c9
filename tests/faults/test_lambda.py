"""A function that fails for one scan, and for all: the one is a dead letter of its own class, the others are acted on."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from support.front import Answer, Front
from support.functions import KEEPS, DurableNames, Effects, kind_of, new_function, scans_of
from support.pipeline import Pipeline
from support.s3 import aws_client

from scribe_local.servers import REGION, LocalServer

if TYPE_CHECKING:
    from mypy_boto3_lambda import LambdaClient
    from mypy_boto3_s3 import S3Client

pytestmark = pytest.mark.timeout(180)


@pytest.mark.parametrize("more", [{}, {"payload": "batch"}, {"durable": True, "qualifier": "$LATEST"}])
@pytest.mark.fault("F-14")
def test_a_scan_that_its_function_always_fails_for_is_a_dead_letter_of_that_class(
    tmp_path: Path, ministack: LocalServer, s3: S3Client, bucket: str, more: dict[str, Any]
) -> None:
    client: LambdaClient = aws_client(ministack.url, "lambda")
    name = new_function(client, KEEPS, bucket, DurableConfig={"ExecutionTimeout": 60})
    client.close()
    scans = [{"scan_id": n, "timestamp": "2026-05-06T12:00:00Z"} for n in range(1, 13)]
    scans[4]["raise"] = "no wood"
    with Front(ministack.port, unavailable=Answer(503), denied=Answer(403)) as front:
        acts = {
            "type": "aws_lambda",
            "function": name,
            "endpoint_url": front.url,
            "region": REGION,
            "auth": {"access_key_id": "test", "secret_access_key": "test"},
            "concurrency": 2,
            "max_in_flight": 1,
            "retry": {"base_delay": "20ms", "max_delay": "40ms", "max_attempts": 3},
            "breaker": {"timeout": "50ms"},
            **more,
        }
        sources = {"scans": {"type": "file", "path": "scans.jsonl"}}
        pipeline = Pipeline(tmp_path / "it", {"acts": acts}, sources=sources)
        (tmp_path / "it" / "scans.jsonl").write_text("".join(json.dumps(scan) + "\n" for scan in scans))
        with pipeline, front.scripted(DurableNames(front)):
            finished = pipeline.until_idle("--max-wait", "120s", within=150)
            row = pipeline.status()["acts"]
            letters = pipeline.query("SELECT scan_id, class FROM delivery JOIN scan USING(seq)")
            letters += pipeline.query(
                "SELECT scan_id, class FROM batch JOIN scan ON seq BETWEEN first_seq AND last_seq WHERE state = 'dead'"
            )
        tried = [came for came in front.forwarded if kind_of(came) and any("raise" in scan for scan in scans_of(came))]
        effects = Effects(s3, bucket, front).effects()
    assert finished.returncode == 1, finished.stderr[-2000:]
    assert letters == [("5", "function_error")]
    assert (row.delivered, row.dead, row.pending) == (11, 1, 0)
    assert len(tried) >= 3
    assert set(effects) == {str(n) for n in range(1, 13)} - {"5"}
    if more.get("payload") != "batch":
        assert set(effects.values()) == {1}, "an invocation that was confirmed was made again"
    if more.get("durable"):
        names = [came.headers["x-amz-durable-execution-name"] for came in tried]
        assert len(set(names)) == len(names), "a name that failed was used again"
