"""Scans as objects in S3, or in a store that speaks its protocol."""

from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any, ClassVar

from anyio import to_thread

from scribe_connectors.aws._bucket import Bucket
from scribe_connectors.aws._checksum import checksum_algorithm, checksum_fields
from scribe_connectors.aws._errors import classify, code_of
from scribe_connectors.aws._multipart import PartedUpload, UnfinishedError
from scribe_connectors.aws._rehearsal import Answer, Rehearsal
from scribe_connectors.aws._s3_options import S3SinkOptions
from scribe_connectors.aws._s3_usage import usage_of
from scribe_connectors.aws.s3_source import S3Source, S3SourceOptions
from scribe_export.archives.form import Object
from scribe_export.archives.sink import Found, ObjectSink
from scribe_export.errors import Misconfigured, Rejected, SinkError, Throttled, Transient
from scribe_export.interface import Context
from scribe_export.model import Encoded, Request, Usage
from scribe_export.options import Options

__all__ = ["S3Sink", "S3SinkOptions", "S3Source", "S3SourceOptions"]

# https://docs.aws.amazon.com/AmazonS3/latest/userguide/object-keys.html
MAX_KEY = 1024
PARTS_AT_ONCE = 4


class S3Sink(ObjectSink):
    """Puts each object where there is none, with ``If-None-Match: *``, so that a repeat changes nothing.

    https://docs.aws.amazon.com/AmazonS3/latest/userguide/conditional-writes.html

    Needs s3:PutObject, and s3:AbortMultipartUpload to clear away an upload in parts that failed. To tell a repeat from
    other content (after a lost answer or a crash) it needs s3:GetObject too; without it, keys with ``{batch_id}`` or
    ``{sha256}`` go on by their names alone, and others hold until it is granted.
    """

    options_type: ClassVar[type[Options]] = S3SinkOptions
    options: S3SinkOptions

    def __init__(self, options: S3SinkOptions, context: Context) -> None:
        super().__init__(options, context)
        # One more than there are writers, for a look while all of them are busy.
        connections = options.concurrency + PARTS_AT_ONCE + 1
        self._bucket = Bucket(options, folder=context.folder, timeout=options.timeout, connections=connections)
        if options.checksum == "none":
            self._bucket.client.configure(request_checksum_calculation="when_required")
        self._pool = ThreadPoolExecutor(PARTS_AT_ONCE, thread_name_prefix="s3-part")
        self._settings = options.object_settings()

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
        await to_thread.run_sync(self._close)

    def _close(self) -> None:
        self._pool.shutdown()
        self._pool = ThreadPoolExecutor(PARTS_AT_ONCE, thread_name_prefix="s3-part")
        self._bucket.client.close()

    async def preview(self, encoded: Encoded) -> Sequence[Request]:
        return await to_thread.run_sync(self._preview, encoded)

    def _preview(self, encoded: Encoded) -> Sequence[Request]:
        offline = S3Sink(self.options, self.context)
        offline._pool = ThreadPoolExecutor(1)
        rehearsal: Rehearsal = offline._bucket.client.rehearse(_taken)
        found: list[Request] = []
        for item in encoded.payload:
            offline.create(item.key, item)
            found += [replace(one, records=item.members) for one in rehearsal.requests[len(found) :]]
        offline._close()
        return found

    def usage(self, encoded: Encoded) -> Usage:
        return usage_of(encoded.payload, self.options)

    def check_key(self, key: str) -> None:
        if len(key) > MAX_KEY:
            raise Rejected(f"a key must not be longer than {MAX_KEY} bytes: {key:.80}…", kind="name")

    def create(self, key: str, item: Object) -> str | None:
        return self._put_object(key, item, IfNoneMatch="*")

    def replace(self, item: Object, found: Found) -> str | None:
        return self._put_object(item.key, item, IfMatch=found.tag)

    def _put_object(self, key: str, item: Object, **condition: str) -> str | None:
        where = {"Bucket": self._bucket.name, "Key": key, **self._bucket.owner}
        settings = {"ContentType": item.content_type, "Metadata": dict(item.metadata), **self._settings}
        try:
            if len(item.data) > self.options.multipart_threshold:
                answer = self._parted(where, settings, condition).put(item.data)
            else:
                given: dict[str, Any] = {**where, **settings, **condition}
                given |= checksum_fields(self.options.checksum, item.data)
                answer = self._bucket.s3.put_object(**given, Body=item.data)
        except Exception as error:
            if code_of(error) in {"PreconditionFailed", "412"}:
                return None
            raise
        tag: str = answer.get("VersionId") or answer["ETag"]
        return tag

    def _parted(self, where: dict[str, Any], settings: dict[str, Any], condition: dict[str, str]) -> PartedUpload:
        algorithm = checksum_algorithm(self.options.checksum, private=self._bucket.client.private)
        return PartedUpload(
            self._bucket.s3,
            self._pool,
            where=where,
            settings={**settings, **algorithm},
            condition=condition,
            part_size=self.options.part_size,
            checksum=self.options.checksum,
        )

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
        if isinstance(error, UnfinishedError):
            known = self.classify(error.cause)
            if known:
                known.applied = "no"
            return known
        self._bucket.client.failed(error)
        if code_of(error) == "400":
            # The answer to a HEAD has no body to say more; only a request with wrong credentials draws it.
            return Misconfigured(str(error))
        known = classify(error)
        if code_of(error) in {"404", "NoSuchKey"}:
            return Transient(str(error), applied="no")
        return known


def _taken(request: Request) -> Answer:
    """What S3 says to a request that it takes."""
    if request.method == "POST":
        kind = "CompleteMultipartUpload" if "uploadId=" in request.target else "InitiateMultipartUpload"
        body = f"<{kind}Result><UploadId>offline</UploadId><ETag>&quot;offline&quot;</ETag></{kind}Result>"
        return Answer(body.encode(), {"Content-Type": "application/xml"})
    return Answer(headers={"ETag": '"offline"'})
