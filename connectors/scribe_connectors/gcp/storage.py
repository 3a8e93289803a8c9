"""Scans as objects in Cloud Storage."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, ClassVar
from urllib.parse import urlsplit

from anyio import to_thread
from google.resumable_media import InvalidResponse
from pydantic import Field, model_validator

from scribe_connectors.gcp._bucket import Bucket, BucketOptions
from scribe_connectors.gcp._errors import classify, said
from scribe_connectors.gcp._rehearsal import Answer
from scribe_connectors.gcp._upload import Uploads, requests_of
from scribe_connectors.gcp.storage_source import GcsSource, GcsSourceOptions
from scribe_export.archives.form import Object
from scribe_export.archives.sink import Found, ObjectOptions, ObjectSink
from scribe_export.errors import Misconfigured, Rejected, SinkError, Throttled
from scribe_export.interface import Context
from scribe_export.model import Encoded, Request, Usage
from scribe_export.options import Options

__all__ = ["GcsSink", "GcsSinkOptions", "GcsSource", "GcsSourceOptions"]

# https://cloud.google.com/storage/docs/objects#naming (2026-11)
MAX_NAME = 1024
_RESERVED = ".well-known/acme-challenge/"


class KmsOptions(Options):
    kms_key: str = Field(pattern=r"^projects/[^/]+/locations/[^/]+/keyRings/[^/]+/cryptoKeys/[^/]+$")
    """The key's resource name, without a version."""


class GcsSinkOptions(BucketOptions, ObjectOptions):
    """A bucket to write to."""

    storage_class: str | None = Field(default=None, pattern=r"^[A-Z_]+$")
    """Such as NEARLINE; the bucket's own if left out."""
    encryption: KmsOptions | None = None
    """At rest with a key of your own in Cloud KMS; the bucket's own setting if left out."""
    metadata: dict[str, str] = Field(default_factory=dict)
    """Custom metadata of every object."""

    @model_validator(mode="after")
    def _check_names(self) -> "GcsSinkOptions":
        if self.key.startswith(_RESERVED):
            raise ValueError(f"no object's name may begin with {_RESERVED}; change the key")
        taken = [name for name in self.metadata if name.startswith("scribe-")]
        if taken:
            raise ValueError(f"metadata: {taken[0]}: names that begin with scribe- are the exporter's own")
        return self

    def place(self) -> str:
        """Two destinations must not have the same."""
        return f"{self.endpoint_url or 'gcs'}/{self.bucket}/{self.key}"


class GcsSink(ObjectSink):
    """Puts each object where there is none, with ``ifGenerationMatch=0``, so that a repeat changes nothing.

    https://cloud.google.com/storage/docs/request-preconditions

    Needs storage.objects.create. To tell a repeat from other content (after a lost answer or a crash) it needs
    storage.objects.get too; without it, keys with ``{batch_id}`` or ``{sha256}`` go on by their names alone, and others
    hold until it is granted. ``on_conflict: overwrite`` needs storage.objects.delete.
    """

    options_type: ClassVar[type[Options]] = GcsSinkOptions
    options: GcsSinkOptions

    def __init__(self, options: GcsSinkOptions, context: Context) -> None:
        super().__init__(options, context)
        # One more than there are writers, for a look while all of them are busy.
        self._bucket = Bucket(
            options, folder=context.folder, timeout=options.timeout, connections=options.concurrency + 1
        )
        settings: dict[str, Any] = {"metadata": options.metadata} if options.metadata else {}
        if options.storage_class:
            settings["storageClass"] = options.storage_class
        query = {"kmsKeyName": options.encryption.kms_key} if options.encryption else {}
        self._uploads = Uploads(self._bucket, settings=settings, query=query)

    async def open(self) -> None:
        await to_thread.run_sync(self._open)

    def _open(self) -> None:
        """Find a missing bucket or an unreachable endpoint early; the right to look at the bucket is not needed."""
        try:
            self._bucket.look()
        except Exception as error:
            self._bucket.client.failed(error)
            answer, known = said(error), classify(error)
            if answer and answer.status == 404:
                raise Misconfigured(f"no bucket {self.options.bucket!r}: {answer.message}") from error
            # A denial may be about this look alone.
            if (answer and answer.status == 403) or isinstance(known, Rejected | Throttled):
                return
            raise (known or error) from error

    async def close(self) -> None:
        await to_thread.run_sync(self._bucket.client.close)

    async def preview(self, encoded: Encoded) -> Sequence[Request]:
        """The pieces of a large object go to an address that the service gives; here it ends in ``upload_id=offline``."""
        offline = GcsSink(self.options, self.context)
        rehearsal = offline._bucket.client.rehearse(_answer)
        requests: list[Request] = []
        for item in encoded.payload:
            await to_thread.run_sync(offline.create, item.key, item)
            requests += [replace(one, records=item.members) for one in rehearsal.requests[len(requests) :]]
        await offline.close()
        return requests

    def usage(self, encoded: Encoded) -> Usage:
        """However many requests an upload takes, it is one operation, and one that failed is none.

        https://cloud.google.com/storage/pricing#operations-notes; a bucket's own default class is taken for Standard.
        """
        sizes = [len(item.data) for item in encoded.payload]
        kind = self.options.storage_class or "STANDARD"
        unit = "gcp_storage" if kind == "STANDARD" else f"gcp_storage.{kind.lower()}"
        return Usage(
            {"requests": sum([requests_of(size) for size in sizes]), "bytes_sent": encoded.size},
            {f"{unit}.class_a_operations": len(sizes), f"{unit}.stored_bytes": encoded.size},
        )

    def check_key(self, key: str) -> None:
        if len(key.encode()) > MAX_NAME:
            raise Rejected(f"a name must not be longer than {MAX_NAME} bytes: {key:.80}…", kind="name")
        if key in {".", ".."} or key.startswith(_RESERVED) or "\r" in key or "\n" in key:
            raise Rejected(f"no object may have the name {key!r:.80}", kind="name")

    def create(self, key: str, item: Object) -> str | None:
        try:
            return self._uploads.put(key, item, generation="0")
        except InvalidResponse as error:
            # To whoever may not delete, a taken name can look like a denial.
            if error.response.status_code == 403 and self._exists(key):
                return None
            raise

    def replace(self, item: Object, found: Found) -> str | None:
        return self._uploads.put(item.key, item, generation=found.tag)

    def _exists(self, key: str) -> bool:
        try:
            return self.stat(key) is not None
        except InvalidResponse:
            return False

    def stat(self, key: str) -> Found | None:
        try:
            answer = self._bucket.find(key)
        except InvalidResponse as error:
            if error.response.status_code == 404:
                return None
            raise
        return Found(answer["generation"], int(answer["size"]), answer.get("metadata", {}))

    def read(self, key: str, found: Found) -> bytes | None:
        answer = self._bucket.download(key, found.tag)
        if answer is None:
            return None
        with answer:
            return bytes(answer.raw.read(decode_content=False))

    def location(self, key: str) -> Mapping[str, str]:
        return {"uri": f"gs://{self._bucket.name}/{key}", "bucket": self._bucket.name, "key": key}

    def classify(self, error: Exception) -> SinkError | None:
        self._bucket.client.failed(error)
        return classify(error)


def _answer(request: Request) -> Answer:
    if "uploadType=resumable" in request.target and request.method == "POST":
        address = urlsplit(request.target)
        path = f"{address.scheme}://{address.netloc}{address.path}"
        return Answer(headers={"location": f"{path}?uploadType=resumable&upload_id=offline"})
    sent, _, whole = request.headers.get("content-range", "bytes 0-0/1").removeprefix("bytes ").partition("/")
    last = sent.partition("-")[2]
    if int(last) + 1 < int(whole):
        return Answer(status=308, headers={"range": f"bytes=0-{last}"})
    return Answer(b'{"generation": "1"}')
