"""A genuine Cloud Storage client for the local server."""

import json
from collections import Counter
from collections.abc import Mapping
from typing import Any
from urllib.parse import parse_qs, urlsplit
from uuid import uuid4

from google.auth.credentials import AnonymousCredentials
from google.cloud import storage  # type: ignore[attr-defined]  # it has no types, and its neighbours have
from support.front import Answer, Front, Received

PROJECT = "scribe-test"


def gcs_client(url: str) -> Any:
    """google-cloud-storage's own client, without credentials."""
    return storage.Client(project=PROJECT, credentials=AnonymousCredentials(), client_options={"api_endpoint": url})


def new_bucket(client: Any) -> str:
    """Make a bucket with a name of its own."""
    name = f"test-{uuid4()}"
    client.create_bucket(name)
    return name


def put(client: Any, bucket: str, key: str, data: bytes, **settings: Any) -> str:
    """Store an object as another program would; its generation."""
    blob = client.bucket(bucket).blob(key)
    for name, value in settings.items():
        setattr(blob, name, value)
    blob.upload_from_string(data, content_type="application/json", timeout=10)
    return str(blob.generation)


def stored(client: Any, bucket: str) -> dict[str, bytes]:
    """Every object's name and content."""
    found = client.list_blobs(bucket, timeout=10)
    return {one.name: one.download_as_bytes(raw_download=True, timeout=10) for one in found}


def generations(client: Any, bucket: str) -> dict[str, str]:
    """Every object's name and generation, which each write to it changes.

    The local server keeps no older versions, so this is how a second write shows.
    """
    return {one.name: str(one.generation) for one in client.list_blobs(bucket, timeout=10)}


def uploaded(front: Front) -> Counter[str]:
    """How often each name was written: by the uploads, in one request or in pieces, that the server answered as done."""
    done = [one for one, status in front.passed if "/upload/" in one.path and status == 200]
    whole = [resource(one)["name"] for one in done if "uploadType=multipart" in one.path]
    # The local server's address for the pieces has the name in it.
    pieces = [parse_qs(urlsplit(one.path).query)["name"][0] for one in done if one.method == "PUT"]
    return Counter(whole + pieces)


def resource(came: Received) -> Any:
    """The object's resource in an upload of one request."""
    return json.loads(came.body.split(b"\r\n\r\n", 1)[1].split(b"\r\n--", 1)[0])


def content(client: Any, bucket: str, key: str) -> bytes:
    """What stands under a name."""
    data: bytes = client.bucket(bucket).blob(key).download_as_bytes(raw_download=True, timeout=10)
    return data


def answer(status: int, reason: str, headers: Mapping[str, str] | None = None) -> Answer:
    """As https://cloud.google.com/storage/docs/json_api/v1/status-codes has it."""
    error = {"code": status, "message": reason, "errors": [{"domain": "global", "reason": reason}]}
    return Answer(status, json.dumps({"error": error}).encode(), headers=headers or {})
