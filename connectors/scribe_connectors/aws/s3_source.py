"""Scans read back from objects in S3."""

import io
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import aclosing
from typing import Any, ClassVar

import structlog
from anyio import to_thread
from pydantic import Field

from scribe_connectors.aws._bucket import Bucket, BucketOptions
from scribe_connectors.aws._errors import classify, code_of
from scribe_connectors.aws._notification import notification
from scribe_export.archives.archive import Archive, Gone, Unreadable
from scribe_export.archives.form import FIELDS
from scribe_export.archives.source import ArchiveOptions, ArchiveSource
from scribe_export.errors import SinkError
from scribe_export.interface import Context
from scribe_export.model import Incoming
from scribe_export.options import Duration, Options

_log = structlog.get_logger("scribe_export.s3")
_HELD_WHOLE = 16 * 2**20
_READ = 256 * 1024


class S3SourceOptions(BucketOptions, ArchiveOptions):
    """Objects of a bucket: a scan each, a scan a line (both also with `.gz` or `.zst`), or a scan a row (`.parquet`)."""

    prefix: str = ""
    """What the keys begin with."""
    poll_interval: Duration = Field(default=60.0, gt=0)
    """How long to wait before the bucket is listed again."""
    timeout: Duration = Field(default=30.0, gt=0)
    """Seconds before one call is given up."""


class S3Source(ArchiveSource):
    """Reads what the sink wrote, in all layouts, and any other objects of JSON.

    Every pass lists the prefix and compares each key's ETag with the checkpoint, so that keys which come late or sort
    before others are found, and none is taken twice. Needs s3:ListBucket and s3:GetObject. In a serverless host the
    bucket's events name the objects, and the right to list tells an object that is gone from one that is denied.
    """

    options_type: ClassVar[type[Options]] = S3SourceOptions
    options: S3SourceOptions
    atomic = True

    def __init__(self, options: S3SourceOptions, context: Context) -> None:
        super().__init__(options, context)
        self._bucket = Bucket(options, folder=context.folder, timeout=options.timeout, connections=4)

    async def open(self) -> None:
        await self._blocking(self._bucket.client.get)

    async def close(self) -> None:
        await to_thread.run_sync(self._bucket.client.close)

    def trigger(self) -> str:
        return f"s3://{self._bucket.name}/{self.options.prefix}"

    def takes(self, event: Mapping[str, Any]) -> bool:
        told = notification(event)
        return told is not None and told.bucket == self._bucket.name and told.key.startswith(self.options.prefix)

    async def incoming(self, event: Mapping[str, Any]) -> AsyncIterator[Sequence[Incoming]]:
        told = notification(event)
        if told is None or told.folder or not told.brings:
            _log.info("nothing to read", source=self.context.name, what=told and told.what, key=told and told.key)
            return
        archive = Archive(key=told.key, name=told.key, version=told.etag, size=told.size)
        async with aclosing(self.whole(archive)) as pieces:
            async for piece in pieces:
                yield piece

    def find(self) -> Iterator[Sequence[Archive]]:
        pages = self._bucket.s3.get_paginator("list_objects_v2").paginate(
            Bucket=self._bucket.name, Prefix=self.options.prefix, **self._bucket.owner
        )
        for page in pages:
            found = [
                Archive(key=one["Key"], name=one["Key"], version=one["ETag"], size=one["Size"])
                for one in page.get("Contents", ())
                # A console makes an empty object to show a folder.
                if one["Size"] or not one["Key"].endswith("/")
            ]
            if found:
                yield found

    def open_archive(self, archive: Archive, offset: int) -> io.BufferedIOBase:
        if 0 < archive.size <= offset:
            return io.BytesIO()
        wanted = self._bucket.owner | ({"Range": f"bytes={offset}-"} if offset else {})
        wanted |= {"IfMatch": archive.version} if archive.version else {}
        try:
            answer = self._bucket.s3.get_object(Bucket=self._bucket.name, Key=archive.key, **wanted)
        except Exception as error:
            if code_of(error) in {"NoSuchKey", "PreconditionFailed", "404", "412"}:
                raise Gone from None
            if code_of(error) == "InvalidObjectState":
                raise Unreadable("it lies in an archive storage class; restore it first") from None
            raise
        if FIELDS in answer["Metadata"]:
            answer["Body"].close()
            raise self.shaped(f"s3://{self._bucket.name}/{archive.key}")
        if archive.size - offset <= _HELD_WHOLE:
            # A connection is not kept waiting for the journal.
            with answer["Body"] as body:
                return io.BytesIO(body.read())
        return io.BufferedReader(_Streaming(answer["Body"]), _READ)

    def classify(self, error: Exception) -> SinkError | None:
        self._bucket.client.failed(error)
        return classify(error)


class _Streaming(io.RawIOBase):
    def __init__(self, body: Any) -> None:
        self._body = body

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        data: bytes = self._body.read(len(buffer))
        buffer[: len(data)] = data
        return len(data)

    def close(self) -> None:
        self._body.close()
        super().close()
