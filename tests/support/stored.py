"""What a bucket holds, read by a genuine client: every version of every key."""

from __future__ import annotations

from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

from support.oracle import lines

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client


def versions(client: S3Client, bucket: str, prefix: str) -> Counter[str]:
    """Key to how many versions it has, delete markers included."""
    found: Counter[str] = Counter()
    for page in client.get_paginator("list_object_versions").paginate(Bucket=bucket, Prefix=prefix):
        found.update(entry["Key"] for entry in page.get("Versions", []))
        found.update(entry["Key"] for entry in page.get("DeleteMarkers", []))
    return found


def bodies(client: S3Client, bucket: str, prefix: str) -> list[bytes]:
    """The bodies of every object under a prefix, batched or not."""
    keys: list[str] = []
    for page in client.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=prefix):
        keys += [entry["Key"] for entry in page.get("Contents", [])]
    with ThreadPoolExecutor(8) as pool:
        return [body for part in pool.map(lambda key: _read(client, bucket, key), keys) for body in part]


def _read(client: S3Client, bucket: str, key: str) -> list[bytes]:
    data = client.get_object(Bucket=bucket, Key=key)["Body"].read()
    return lines(data, key) if ".jsonl" in key else [data]
