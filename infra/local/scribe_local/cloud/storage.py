"""Cloud Storage: an object of compressed JSON lines a batch."""

import io
from collections.abc import Iterator, Mapping
from typing import Any

import zstandard
from google.cloud.storage import Client

from scribe_local.cloud.gcp import PROJECT, anonymous
from scribe_local.cloud.service import Service

BUCKET = "scribe-lake"
PREFIX = "scans/"


class Storage(Service):
    """A bucket. The server keeps no versions, so an object that was written twice does not show here."""

    name = "lake"
    connection = "gcp"
    what = "Cloud Storage, batches of compressed JSON lines"

    def __init__(self, url: str) -> None:
        self._url = url
        self._storage: Any = Client(project=PROJECT, credentials=anonymous(), client_options={"api_endpoint": url})

    def prepare(self) -> None:
        bucket = self._storage.bucket(BUCKET)
        if not bucket.exists():
            self._storage.create_bucket(bucket)

    def destination(self) -> Mapping[str, Any]:
        return {
            "type": "gcp_storage",
            "endpoint_url": self._url,
            "bucket": BUCKET,
            "key": PREFIX + "dt={timestamp:%Y-%m-%d}/{batch_id}.{ext}",
            "compression": "zstd",
            "batch": {"max_records": 100, "max_age": "2s"},
        }

    def copies(self) -> Iterator[bytes]:
        for blob in self._storage.list_blobs(BUCKET, prefix=PREFIX):
            packed = io.BytesIO(blob.download_as_bytes(raw_download=True))
            plain = zstandard.ZstdDecompressor().stream_reader(packed, read_across_frames=True).read()
            yield from plain.splitlines()

    def close(self) -> None:
        self._storage.close()
