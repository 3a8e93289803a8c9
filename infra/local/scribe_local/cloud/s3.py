"""S3: one object a scan."""

from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from scribe_local.cloud.aws import client
from scribe_local.cloud.service import Service

BUCKET = "scribe-scans"
PREFIX = "scans/"


class S3(Service):
    """A bucket that keeps every version, so that a second write of an object is seen."""

    name = "archive"
    connection = "aws"
    what = "S3, one object a scan"

    def __init__(self, url: str) -> None:
        self._url = url
        self._s3 = client(url, "s3")

    def prepare(self) -> None:
        if BUCKET not in {bucket["Name"] for bucket in self._s3.list_buckets()["Buckets"]}:
            self._s3.create_bucket(Bucket=BUCKET)
        self._s3.put_bucket_versioning(Bucket=BUCKET, VersioningConfiguration={"Status": "Enabled"})

    def destination(self) -> Mapping[str, Any]:
        return {"type": "aws_s3", "bucket": BUCKET, "key": PREFIX + "{timestamp:%Y/%m/%d}/scan-{scan_id}.json"}

    def copies(self) -> Iterator[bytes]:
        pages = self._s3.get_paginator("list_object_versions").paginate(Bucket=BUCKET, Prefix=PREFIX)
        listed = [(version["Key"], version["VersionId"]) for page in pages for version in page.get("Versions", [])]

        def read(version: tuple[str, str]) -> bytes:
            body: bytes = self._s3.get_object(Bucket=BUCKET, Key=version[0], VersionId=version[1])["Body"].read()
            return body

        with ThreadPoolExecutor(4) as readers:
            yield from readers.map(read, listed)

    def count(self) -> int:
        """How many objects there are."""
        return sum(1 for _ in self._objects())

    def newest(self) -> bytes:
        """The object that was stored last."""
        found = max(self._objects(), key=lambda item: item["LastModified"])
        body: bytes = self._s3.get_object(Bucket=BUCKET, Key=found["Key"])["Body"].read()
        return body

    def close(self) -> None:
        self._s3.close()

    def _objects(self) -> Iterator[Any]:
        for page in self._s3.get_paginator("list_objects_v2").paginate(Bucket=BUCKET, Prefix=PREFIX):
            yield from page.get("Contents", [])
