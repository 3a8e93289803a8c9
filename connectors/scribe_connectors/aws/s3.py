"""Scans as objects in S3, or in a store that speaks its protocol."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, ClassVar, Literal
from urllib.parse import urlencode

from anyio import to_thread
from pydantic import Field

from scribe_connectors.aws._bucket import Bucket, BucketOptions
from scribe_connectors.aws._errors import classify, code_of
from scribe_connectors.aws._rehearsal import Answer
from scribe_connectors.aws.s3_source import S3Source, S3SourceOptions
from scribe_export.archives.form import Object
from scribe_export.archives.sink import Found, ObjectOptions, ObjectSink
from scribe_export.errors import Misconfigured, Rejected, SinkError, Throttled, Transient
from scribe_export.interface import Context
from scribe_export.model import Encoded, Request
from scribe_export.options import Options

__all__ = ["S3Sink", "S3SinkOptions", "S3Source", "S3SourceOptions"]

# https://docs.aws.amazon.com/AmazonS3/latest/userguide/object-keys.html
MAX_KEY = 1024


class KmsOptions(Options):
    kms_key: str = Field(min_length=1)
    """Id, alias or ARN of a key; used with a bucket key."""


class S3SinkOptions(BucketOptions, ObjectOptions):
    """A bucket to write to."""

    storage_class: str | None = Field(default=None, pattern=r"^[A-Z_]+$")
    """Such as STANDARD_IA; the bucket's own if left out."""
    encryption: KmsOptions | Literal["AES256"] | None = None
    """At rest: a key in KMS, or keys that S3 keeps; the bucket's own setting if left out."""
    tags: dict[str, str] = Field(default_factory=dict, max_length=10)
    """Of every object. Needs the right s3:PutObjectTagging."""

    def place(self) -> str:
        """Two destinations must not have the same."""
        return f"{self.endpoint_url or 's3'}/{self.bucket}/{self.key}"


class S3Sink(ObjectSink):
    """Puts each object where there is none, with ``If-None-Match: *``, so that a repeat changes nothing.

    https://docs.aws.amazon.com/AmazonS3/latest/userguide/conditional-writes.html

    Needs s3:PutObject. To tell a repeat from other content (after a lost answer or a crash) it needs s3:GetObject too;
    without it, keys with ``{batch_id}`` or ``{sha256}`` go on by their names alone, and others hold until it is granted.
    """

    options_type: ClassVar[type[Options]] = S3SinkOptions
    options: S3SinkOptions

    def __init__(self, options: S3SinkOptions, context: Context) -> None:
        super().__init__(options, context)
        # One more than there are writers, for a look while all of them are busy.
        self._bucket = Bucket(
            options, folder=context.folder, timeout=options.timeout, connections=options.concurrency + 1
        )

    async def open(self) -> None:
        await to_thread.run_sync(self._open)

    def _open(self) -> None:
        """Find a missing bucket or an unreachable endpoint early; the right to look at the bucket is not needed."""
        try:
            self._bucket.s3.head_bucket(Bucket=self._bucket.name, **self._bucket.owner)
        except Exception as error:
            self._bucket.client.failed(error)
            if code_of(error) == "404":
                raise Misconfigured(
                    f"no bucket {self.options.bucket!r} at {self._bucket.s3.meta.endpoint_url}"
                ) from error
            known = classify(error)
            # An answer without a body cannot say whether a denial is about this look or about everything.
            if code_of(error) in {"400", "403"} or isinstance(known, Rejected | Throttled):
                return
            raise (known or error) from error

    async def close(self) -> None:
        await to_thread.run_sync(self._bucket.client.close)

    async def preview(self, encoded: Encoded) -> Sequence[Request]:
        offline = S3Sink(self.options, self.context)
        rehearsal = offline._bucket.client.rehearse(lambda _: Answer(headers={"ETag": '"offline"'}))
        requests: list[Request] = []
        for item in encoded.payload:
            await to_thread.run_sync(offline.create, item.key, item)
            requests += [replace(one, records=item.members) for one in rehearsal.requests[len(requests) :]]
        await offline.close()
        return requests

    def check_key(self, key: str) -> None:
        if len(key) > MAX_KEY:
            raise Rejected(f"a key must not be longer than {MAX_KEY} bytes: {key:.80}…", kind="name")

    def create(self, key: str, item: Object) -> str | None:
        return self._put_object(key, item, IfNoneMatch="*")

    def replace(self, item: Object, found: Found) -> str | None:
        return self._put_object(item.key, item, IfMatch=found.tag)

    def _put_object(self, key: str, item: Object, **condition: str) -> str | None:
        settings = self._settings() | condition
        try:
            answer = self._bucket.s3.put_object(
                Bucket=self._bucket.name,
                Key=key,
                Body=item.data,
                ContentType=item.content_type,
                Metadata=dict(item.metadata),
                **settings,
            )
        except Exception as error:
            if code_of(error) in {"PreconditionFailed", "412"}:
                return None
            raise
        return answer.get("VersionId") or answer["ETag"]

    def _settings(self) -> dict[str, Any]:
        settings: dict[str, Any] = dict(self._bucket.owner)
        if self.options.storage_class:
            settings["StorageClass"] = self.options.storage_class
        if self.options.tags:
            settings["Tagging"] = urlencode(self.options.tags)
        encryption = self.options.encryption
        if isinstance(encryption, KmsOptions):
            settings |= {"ServerSideEncryption": "aws:kms", "SSEKMSKeyId": encryption.kms_key, "BucketKeyEnabled": True}
        elif encryption:
            settings["ServerSideEncryption"] = encryption
        return settings

    def stat(self, key: str) -> Found | None:
        try:
            answer = self._bucket.s3.head_object(Bucket=self._bucket.name, Key=key, **self._bucket.owner)
        except Exception as error:
            if code_of(error) in {"404", "NoSuchKey"}:
                return None
            raise
        return Found(answer["ETag"], answer["ContentLength"], answer["Metadata"])

    def read(self, key: str, found: Found) -> bytes | None:
        try:
            answer = self._bucket.s3.get_object(
                Bucket=self._bucket.name, Key=key, IfMatch=found.tag, **self._bucket.owner
            )
        except Exception as error:
            if code_of(error) in {"PreconditionFailed", "412", "NoSuchKey", "404"}:
                return None
            raise
        return answer["Body"].read()

    def location(self, key: str) -> Mapping[str, str]:
        return {"uri": f"s3://{self._bucket.name}/{key}", "bucket": self._bucket.name, "key": key}

    def classify(self, error: Exception) -> SinkError | None:
        self._bucket.client.failed(error)
        if code_of(error) == "400":
            # The answer to a HEAD has no body to say more; only a request with wrong credentials draws it.
            return Misconfigured(str(error))
        known = classify(error)
        if code_of(error) in {"404", "NoSuchKey"}:
            return Transient(str(error), applied="no")
        return known
