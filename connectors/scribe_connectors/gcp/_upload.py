"""Objects written to Cloud Storage, in one request or, above a size, in pieces."""

import base64
import hashlib
import io
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlencode

import google_crc32c
import msgspec
from google.resumable_media import InvalidResponse, RetryStrategy
from google.resumable_media.requests import ResumableUpload

from scribe_connectors.gcp._bucket import Bucket, expect, resource
from scribe_connectors.gcp._client import Rest
from scribe_connectors.gcp._errors import judge, said_in
from scribe_export.archives.form import DIGEST, SHA256, Object
from scribe_export.errors import Misconfigured, Transient

PIECE = 8 * 2**20
"""Larger objects go in pieces of this size, so that each has the timeout to itself. A multiple of 256 KiB.

https://cloud.google.com/storage/docs/resumable-uploads
"""


def requests_of(size: int) -> int:
    """How many it takes to write an object of so many bytes: one, or one to begin and one a piece."""
    return 1 if size <= PIECE else 1 - (-size // PIECE)


class Uploads:
    """Writes objects: `settings` are properties that all of them have, `query` goes with every request."""

    def __init__(self, bucket: Bucket, *, settings: Mapping[str, Any], query: Mapping[str, str]) -> None:
        self._bucket, self._settings, self._query = bucket, settings, query

    def put(self, key: str, item: Object, *, generation: str) -> str | None:
        """Store the object where `generation` stands, 0 for nothing, and return its own; None if another does.

        One attempt: a piece that fails fails the upload, which begins anew when the lane comes again.
        """
        described = self._describe(key, item)
        many = len(item.data) > PIECE
        query = {"uploadType": "resumable" if many else "multipart", "ifGenerationMatch": generation, **self._query}
        rest = self._bucket.client.get()
        url = f"{rest.endpoint}/upload/storage/v1/b/{self._bucket.name}/o?{urlencode(query)}&fields=generation"
        try:
            answer = (_in_pieces if many else _at_once)(rest, url, described, item)
        except InvalidResponse as error:
            if error.response.status_code == 412 and not isinstance(judge(said_in(error.response)), Misconfigured):
                return None
            raise
        return str(resource(answer, "generation")["generation"])

    def _describe(self, key: str, item: Object) -> dict[str, Any]:
        metadata = self._settings.get("metadata", {}) | item.metadata
        return {
            "name": key,
            "contentType": item.content_type,
            **self._settings,
            "metadata": metadata,
            **checksum(item.data),
        }


def checksum(data: bytes) -> dict[str, str]:
    """What the service compares with the bytes that arrived, before the object exists."""
    if google_crc32c.implementation == "c":
        return {"crc32c": base64.b64encode(google_crc32c.value(data).to_bytes(4, "big")).decode()}
    return {"md5Hash": base64.b64encode(hashlib.md5(data, usedforsecurity=False).digest()).decode()}


def _at_once(rest: Rest, url: str, described: Mapping[str, Any], item: Object) -> bytes:
    # No text holds its own digest, so the boundary is in no content; and it is the same at every attempt.
    boundary = f"scribe-{(item.metadata.get(SHA256) or item.metadata[DIGEST])[:48]}".encode()
    body = b"".join(
        (
            b"--%b\r\ncontent-type: application/json; charset=UTF-8\r\n\r\n" % boundary,
            msgspec.json.encode(described),
            b"\r\n--%b\r\ncontent-type: %b\r\n\r\n" % (boundary, item.content_type.encode()),
            item.data,
            b"\r\n--%b--\r\n" % boundary,
        )
    )
    headers = {"content-type": f'multipart/related; boundary="{boundary.decode()}"'}
    answer = rest.session.request("POST", url, data=body, headers=headers, timeout=rest.timeout, allow_redirects=False)
    return bytes(expect(answer).content)


def _in_pieces(rest: Rest, url: str, described: Mapping[str, Any], item: Object) -> bytes:
    upload: Any = _Once(url, PIECE, checksum=None)
    upload.initiate(
        rest.session,
        io.BytesIO(item.data),
        described,
        item.content_type,
        total_bytes=len(item.data),
        timeout=rest.timeout,
    )
    while True:
        try:
            answer = upload.transmit_next_chunk(rest.session, timeout=rest.timeout)
        except InvalidResponse as error:
            if error.response.status_code == 404:
                # https://cloud.google.com/storage/docs/resumable-uploads#session-uris: they expire, or are lost.
                raise Transient("the service has forgotten the upload before it was whole", applied="no") from error
            raise
        if upload.finished:
            return bytes(answer.content)


class _Once(ResumableUpload):
    """Does not try again by itself."""

    def __init__(self, *args: Any, **settings: Any) -> None:
        super().__init__(*args, **settings)  # type: ignore[no-untyped-call]  # the library has no types
        self._retry_strategy = RetryStrategy(max_retries=0)
