"""Scans read back from objects in Cloud Storage."""

import io
from collections.abc import Iterator, Sequence
from typing import Any, ClassVar

from anyio import to_thread
from pydantic import Field
from requests import Response

from scribe_connectors.gcp._bucket import Bucket, BucketOptions
from scribe_connectors.gcp._errors import classify
from scribe_export.archives.archive import Archive, Gone
from scribe_export.archives.form import FIELDS
from scribe_export.archives.source import ArchiveOptions, ArchiveSource
from scribe_export.errors import SinkError, SourceError
from scribe_export.interface import Context
from scribe_export.options import Duration, Options

_HELD_WHOLE = 16 * 2**20
_READ = 256 * 1024
_ENCODED = "/gzip"  # ends the version of an object whose Content-Encoding hides a gzip that its name does not tell


class GcsSourceOptions(BucketOptions, ArchiveOptions):
    """Objects of a bucket that hold a scan each or a scan a line, also with `.gz` or `.zst`."""

    prefix: str = ""
    """What the names begin with."""
    poll_interval: Duration = Field(default=60.0, gt=0)
    """How long to wait before the bucket is listed again."""
    timeout: Duration = Field(default=30.0, gt=0)
    """Seconds before one call is given up."""


class GcsSource(ArchiveSource):
    """Reads what the sink wrote, in both layouts, and any other objects of JSON.

    Every pass lists the prefix and compares each object's generation with the checkpoint, so that names which come late
    or sort before others are found, and none is taken twice. Needs storage.objects.list and storage.objects.get.
    """

    options_type: ClassVar[type[Options]] = GcsSourceOptions
    options: GcsSourceOptions
    atomic = True

    def __init__(self, options: GcsSourceOptions, context: Context) -> None:
        super().__init__(options, context)
        self._bucket = Bucket(options, folder=context.folder, timeout=options.timeout, connections=4)

    async def open(self) -> None:
        await self._blocking(self._bucket.client.get)

    async def close(self) -> None:
        await to_thread.run_sync(self._bucket.client.close)

    def find(self) -> Iterator[Sequence[Archive]]:
        for page in self._bucket.pages(self.options.prefix):
            found = [
                self._archive(one)
                for one in page
                # A console makes an empty object to show a folder.
                if int(one["size"]) or not one["name"].endswith("/")
            ]
            if found:
                yield found

    def _archive(self, one: Any) -> Archive:
        name = one["name"]
        if FIELDS in one.get("metadata", {}):
            raise SourceError(
                f"gs://{self._bucket.name}/{name} holds scans shaped by a destination's `fields:`, which are not the "
                "scans themselves; name a bucket or prefix written without `fields:`"
            )
        encoded = one.get("contentEncoding") == "gzip" and not name.endswith(".gz")
        version = one["generation"] + (_ENCODED if encoded else "")
        return Archive(key=name, name=name, version=version, size=int(one["size"]))

    def open_archive(self, archive: Archive, offset: int) -> io.BufferedIOBase:
        generation = archive.version.removesuffix(_ENCODED)
        encoded = generation != archive.version
        if not encoded and 0 < archive.size <= offset:
            return io.BytesIO()
        answer = self._bucket.download(archive.key, generation, 0 if encoded else offset)
        if answer is None:
            raise Gone
        stream = io.BufferedReader(_Streaming(answer, decode=encoded), _READ)
        if encoded:
            stream.read(offset)
        elif archive.size - offset <= _HELD_WHOLE:
            # A connection is not kept waiting for the journal.
            with stream:
                return io.BytesIO(stream.read())
        return stream

    def classify(self, error: Exception) -> SinkError | None:
        self._bucket.client.failed(error)
        return classify(error)


class _Streaming(io.RawIOBase):
    def __init__(self, answer: Response, *, decode: bool) -> None:
        self._answer, self._decode = answer, decode

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        data: bytes = self._answer.raw.read(len(buffer), decode_content=self._decode)
        buffer[: len(data)] = data
        return len(data)

    def close(self) -> None:
        self._answer.close()
        super().close()
