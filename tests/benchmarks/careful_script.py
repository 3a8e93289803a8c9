"""What a careful user writes without scribe-export: the official clients, in the same batches, nothing journalled.

It keeps nothing on the disk, retries as the clients do by themselves, and ends at the first error: the least that such
batches can cost with these clients. Run with the local cloud's endpoints as JSON; prints what `guide_script` does.
"""

import io
import json
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import zstandard
from benchmarks.guide_script import WARM, integrations, own_loop
from benchmarks.memory import most_resident
from benchmarks.scans import bodies
from google.cloud import bigquery

CONCURRENCY = 8
WARM_UP = 10 * WARM

Scan = tuple[dict[str, Any], bytes]
"""A document, and its JSON."""


def deliveries(aws: Any, gcp: Any, endpoints: dict[str, Any]) -> list[tuple[int, Callable[[Sequence[Scan]], None]]]:
    """For each service how many scans a request takes, and what sends them."""
    dynamodb = _plain_dynamodb(endpoints)
    topic = gcp.publisher.topic_path(endpoints["project"], endpoints["topic"])
    table = f"{endpoints['project']}.{endpoints['dataset']}.{endpoints['guide_table']}"
    load = bigquery.LoadJobConfig(source_format="NEWLINE_DELIMITED_JSON", write_disposition="WRITE_APPEND")

    def lines(scans: Sequence[Scan]) -> bytes:
        return zstandard.ZstdCompressor(level=1).compress(b"".join(body + b"\n" for _, body in scans))

    def name(scans: Sequence[Scan]) -> str:
        return f"careful/{endpoints['seed']}-{scans[0][0]['scan_id']}.jsonl.zst"

    def to_s3(scans: Sequence[Scan]) -> None:
        aws.s3_client.put_object(Bucket=endpoints["bucket"], Key=name(scans), Body=lines(scans))

    def to_sqs(scans: Sequence[Scan]) -> None:
        entries = [{"Id": str(at), "MessageBody": body.decode()} for at, (_, body) in enumerate(scans)]
        assert not aws.sqs_client.send_message_batch(QueueUrl=endpoints["queue_url"], Entries=entries).get("Failed")

    def to_dynamodb(scans: Sequence[Scan]) -> None:
        compress = zstandard.ZstdCompressor(level=1).compress
        puts = [{"PutRequest": {"Item": _item(scan, compress(body))}} for scan, body in scans]
        assert not dynamodb.batch_write_item(RequestItems={endpoints["table"]: puts})["UnprocessedItems"]

    def to_lambda(scans: Sequence[Scan]) -> None:
        payload = b"[" + b",".join(body for _, body in scans) + b"]"
        aws.lambda_client.invoke(FunctionName="scribe-scan-function", InvocationType="Event", Payload=payload)

    def to_gcs(scans: Sequence[Scan]) -> None:
        gcp.storage_client.bucket(endpoints["lake"]).blob(name(scans)).upload_from_string(lines(scans))

    def to_pubsub(scans: Sequence[Scan]) -> None:
        for future in [gcp.publisher.publish(topic, body) for _, body in scans]:
            future.result()

    def to_bigquery(scans: Sequence[Scan]) -> None:
        rows = b"\n".join(json.dumps(_row(scan, body)).encode() for scan, body in scans)
        gcp.bigquery_client.load_table_from_file(io.BytesIO(rows), table, size=len(rows), job_config=load).result()

    return [
        (500, to_s3),
        (10, to_sqs),
        (25, to_dynamodb),
        (100, to_lambda),
        (500, to_gcs),
        (500, to_pubsub),
        (2500, to_bigquery),
    ]


def _plain_dynamodb(endpoints: dict[str, Any]) -> Any:
    """A client of requests as they are, which takes half the CPU of the resource that the guide has."""
    import boto3
    from botocore.config import Config

    return boto3.client("dynamodb", region_name=endpoints["region"], config=Config(parameter_validation=False))


def _item(scan: dict[str, Any], document: bytes) -> dict[str, Any]:
    return {"scan_id": {"N": str(scan["scan_id"])}, "timestamp": {"S": scan["timestamp"]}, "document": {"B": document}}


def _row(scan: dict[str, Any], body: bytes) -> dict[str, Any]:
    confidence = scan["interpretation"]["confidence_scores"]["overall"]
    chosen = {"scan_id": scan["scan_id"], "timestamp": scan["timestamp"], "confidence": confidence}
    return chosen | {"features_json": body.decode()}


def _groups(scans: Sequence[Scan], size: int) -> Iterator[Sequence[Scan]]:
    for start in range(0, len(scans), size):
        yield scans[start : start + size]


def measure(endpoints: dict[str, Any]) -> dict[str, float]:
    """The figures of one run."""
    own_loop()
    sends = deliveries(*integrations(endpoints), endpoints)
    count = int(endpoints["scans"])
    texts = bodies(count + WARM_UP, seed=int(endpoints["seed"]), distinct=count)

    def send_all(chosen: Sequence[bytes]) -> None:
        scans = [(json.loads(body), body) for body in chosen]
        pools = [ThreadPoolExecutor(CONCURRENCY) for _ in sends]
        running = [
            pool.submit(send, group)
            for pool, (size, send) in zip(pools, sends, strict=True)
            for group in _groups(scans, size)
        ]
        for future in running:
            future.result()
        for pool in pools:
            pool.shutdown()

    send_all(texts[:WARM_UP])
    cpu, wall = time.process_time(), time.monotonic()
    send_all(texts[WARM_UP:])
    cpu, wall = time.process_time() - cpu, time.monotonic() - wall
    return {"cpu": cpu / count * 1e6, "rate": count / wall, "peak": most_resident()}


if __name__ == "__main__":
    json.dump(measure(json.loads(sys.argv[1])), sys.stdout)
