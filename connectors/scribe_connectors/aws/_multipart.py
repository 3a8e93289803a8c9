"""Large objects, sent in parts: whole under their name, or not there at all.

https://docs.aws.amazon.com/AmazonS3/latest/userguide/mpuoverview.html
"""

import io
from collections.abc import Mapping
from concurrent.futures import Executor, wait
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from scribe_connectors.aws._checksum import CHECKSUM_FIELDS, Checksum, checksum_fields

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

# https://docs.aws.amazon.com/AmazonS3/latest/userguide/qfacts.html, 2026-11
MIN_PART = 5 * 2**20
MAX_PART = 5 * 2**30
MAX_PARTS = 10_000


def starts_of_parts(length: int, part_size: int) -> range:
    """Where each part of an object of that length begins."""
    return range(0, length, max(part_size, -(-length // MAX_PARTS)))


class UnfinishedError(Exception):
    """An upload that failed for `cause` before it was told to become an object: nothing was stored."""

    def __init__(self, cause: Exception) -> None:
        super().__init__(str(cause))
        self.cause = cause


class PartedUpload:
    """How one object is sent: `where` says where to, `settings` are the object's, `condition` is that of its creation."""

    def __init__(
        self,
        s3: "S3Client",
        pool: Executor,
        *,
        where: Mapping[str, Any],
        settings: Mapping[str, Any],
        condition: Mapping[str, str],
        part_size: int,
        checksum: Checksum,
    ) -> None:
        self._s3: Any = s3
        self._pool = pool
        self._where = dict(where)
        self._settings = dict(settings)
        self._condition = dict(condition)
        self._part_size = part_size
        self._checksum = checksum

    def put(self, data: bytes) -> Mapping[str, Any]:
        """The service's answer once the object is stored. Raises `UnfinishedError`, or the SDK's error where the last
        request failed. What was sent of a failed upload is removed again, as far as the service lets itself be told."""
        upload = ""
        try:
            upload = self._s3.create_multipart_upload(**self._where, **self._settings)["UploadId"]
            parts = self._send(upload, memoryview(data))
        except Exception as error:
            self._abort(upload)
            raise UnfinishedError(error) from error
        try:
            answer: Mapping[str, Any] = self._s3.complete_multipart_upload(
                **self._where, UploadId=upload, MultipartUpload={"Parts": parts}, **self._condition
            )
        except Exception:  # whatever it was goes on; parts left behind would cost for ever
            self._abort(upload)
            raise
        return answer

    def _send(self, upload: str, data: memoryview) -> list[Mapping[str, Any]]:
        starts = starts_of_parts(len(data), self._part_size)
        sent = [
            self._pool.submit(self._send_one, upload, number, data[start : start + starts.step])
            for number, start in enumerate(starts, start=1)
        ]
        try:
            return [one.result() for one in sent]
        finally:
            for one in sent:
                one.cancel()
            # A part that arrives after the upload was aborted would be kept, and paid for.
            wait(sent)

    def _send_one(self, upload: str, number: int, data: memoryview) -> Mapping[str, Any]:
        ours = checksum_fields(self._checksum, data)
        answer = self._s3.upload_part(**self._where, UploadId=upload, PartNumber=number, Body=_View(data), **ours)
        theirs = {name: answer[name] for name in CHECKSUM_FIELDS if name in answer}
        return {"PartNumber": number, "ETag": answer["ETag"], **theirs, **ours}

    def _abort(self, upload: str) -> None:
        # Without it the bucket's lifecycle removes the parts; what made the upload fail is what is told.
        with suppress(Exception):
            if upload:
                self._s3.abort_multipart_upload(**self._where, UploadId=upload)


class _View(io.RawIOBase):
    """A part of the object, read where it lies."""

    def __init__(self, data: memoryview) -> None:
        self._data = data
        self._at = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        taken = self._data[self._at : self._at + len(buffer)]
        buffer[: len(taken)] = taken
        self._at += len(taken)
        return len(taken)

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        start = {io.SEEK_SET: 0, io.SEEK_CUR: self._at, io.SEEK_END: len(self._data)}[whence]
        self._at = max(0, start + offset)
        return self._at

    def tell(self) -> int:
        return self._at
