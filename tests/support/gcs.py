"""A genuine Cloud Storage client for the local server."""

import json
from collections.abc import Mapping
from typing import Any
from uuid import uuid4

from google.auth.credentials import AnonymousCredentials
from google.cloud import storage  # type: ignore[attr-defined]  # a part of it has types, and this has none
from support.front import Answer

PROJECT = "scribe-test"


def gcs_client(url: str) -> Any:
    """google-cloud-storage's own client, without credentials."""
    return storage.Client(project=PROJECT, credentials=AnonymousCredentials(), client_options={"api_endpoint": url})


def new_bucket(client: Any, *, versioned: bool = False) -> str:
    """Make a bucket with a name of its own."""
    bucket = client.bucket(f"test-{uuid4()}")
    bucket.versioning_enabled = versioned
    client.create_bucket(bucket)
    name: str = bucket.name
    return name


def put(client: Any, bucket: str, key: str, data: bytes, **settings: Any) -> str:
    """Store an object as another program would; its generation."""
    blob = client.bucket(bucket).blob(key)
    for name, value in settings.items():
        setattr(blob, name, value)
    blob.upload_from_string(data, content_type="application/json", timeout=10)
    return str(blob.generation)


def versions(client: Any, bucket: str) -> list[tuple[str, bytes]]:
    """Every version of every object, name and content."""
    found = client.list_blobs(bucket, versions=True, timeout=10)
    return [(one.name, one.download_as_bytes(raw_download=True, timeout=10)) for one in found]


def content(client: Any, bucket: str, key: str) -> bytes:
    """What stands under a name."""
    data: bytes = client.bucket(bucket).blob(key).download_as_bytes(raw_download=True, timeout=10)
    return data


def answer(status: int, reason: str, headers: Mapping[str, str] | None = None) -> Answer:
    """As https://cloud.google.com/storage/docs/json_api/v1/status-codes has it."""
    error = {"code": status, "message": reason, "errors": [{"domain": "global", "reason": reason}]}
    return Answer(status, json.dumps({"error": error}).encode(), headers=headers or {})
