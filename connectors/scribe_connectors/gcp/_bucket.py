"""What the Cloud Storage sink and source have in common: a bucket, and the calls on it.

Objects are written and read by Google's JSON API, over google-auth's session and google-resumable-media, of which
google-cloud-storage itself is made: its `Blob` costs half as much CPU again for each upload.
https://cloud.google.com/storage/docs/json_api
"""

from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode

import msgspec
from google.resumable_media import InvalidResponse
from pydantic import Field
from requests import Response

from scribe_connectors.gcp._client import GcpOptions, Rest, RestClient
from scribe_export.errors import Transient

ENDPOINT = "https://storage.googleapis.com"
_PAGE = 1000


class BucketOptions(GcpOptions):
    """Which bucket."""

    bucket: str = Field(pattern=r"^[a-z0-9][a-z0-9._-]{1,220}[a-z0-9]$")
    """The bucket's name."""


class Bucket:
    """A bucket and the session that reaches it. Its calls raise `InvalidResponse`, or what the session raises."""

    def __init__(self, options: BucketOptions, *, folder: Path, timeout: float, connections: int) -> None:
        self.name = options.bucket
        self.client: RestClient[Rest] = RestClient(
            ENDPOINT, options, lambda rest: rest, folder=folder, timeout=timeout, connections=connections
        )

    def look(self) -> None:
        """Ask for the bucket itself. Needs storage.buckets.get."""
        self._call("GET", "", {"fields": "name"})

    def find(self, key: str) -> Mapping[str, Any]:
        """The object's resource: its generation, size and metadata."""
        found = self._call("GET", _object(key), {"fields": "generation,size,metadata"})
        return resource(found.content, "generation", "size")

    def pages(self, prefix: str) -> Iterator[list[Mapping[str, Any]]]:
        """The resources of all objects whose names begin so, in the order of their names."""
        wanted = {
            "prefix": prefix,
            "maxResults": str(_PAGE),
            "fields": "nextPageToken,items(name,generation,size,metadata,contentEncoding)",
        }
        while True:
            answer = resource(self._call("GET", "/o", wanted).content)
            yield answer.get("items", [])
            if not answer.get("nextPageToken"):
                return
            wanted["pageToken"] = answer["nextPageToken"]

    def download(self, key: str, generation: str, offset: int = 0) -> Response | None:
        """The stored bytes of one generation, not read yet, as they are stored; None if it is gone or has changed."""
        # Otherwise what was stored with a Content-Encoding would be decompressed on its way.
        headers = {"Accept-Encoding": "gzip"} | ({"Range": f"bytes={offset}-"} if offset else {})
        wanted = {"alt": "media", "ifGenerationMatch": generation}
        try:
            answer = self._call("GET", _object(key), wanted, headers=headers, stream=True)
        except InvalidResponse as error:
            if error.response.status_code in {404, 412}:
                return None
            raise
        # Not every implementation heeds the condition.
        if answer.headers.get("X-Goog-Generation", generation) != generation:
            answer.close()
            return None
        return answer

    def _call(self, method: str, path: str, params: Mapping[str, str], **more: Any) -> Response:
        rest = self.client.get()
        url = f"{rest.endpoint}/storage/v1/b/{self.name}{path}?{urlencode(params)}"
        answer: Response = rest.session.request(method, url, timeout=rest.timeout, allow_redirects=False, **more)
        return expect(answer)


def expect(answer: Response) -> Response:
    """The answer, if it is a success; raises `InvalidResponse`."""
    if not 200 <= answer.status_code < 300:
        raise InvalidResponse(answer, "Request failed with status code", answer.status_code)
    return answer


def resource(content: bytes, *names: str) -> Mapping[str, Any]:
    """What an answer says; raises `Transient` if it does not say `names`, as one of another server in between."""
    found: Any = None
    with suppress(msgspec.DecodeError, UnicodeDecodeError):
        found = msgspec.json.decode(content)
    if not isinstance(found, dict) or not all(name in found for name in names):
        raise Transient(f"a success whose answer is not the service's: {content[:80]!r}")
    return found


def _object(key: str) -> str:
    return f"/o/{quote(key, safe='')}"
