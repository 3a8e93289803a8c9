"""Files that come with their job: https://cloud.google.com/bigquery/docs/reference/api-uploads"""

import re
import threading
import uuid
from dataclasses import dataclass, field

import msgspec

from scribe_local.bigquery.refusals import invalid, not_found
from scribe_local.bigquery.store import Document

_RANGE = re.compile(r"bytes (?:(\d+)-(\d+)|\*)/(?:(\d+)|\*)")
_BOUNDARY = re.compile(r'boundary="?([^";]+)"?', re.IGNORECASE)


def multipart(content_type: str, body: bytes) -> tuple[Document, bytes]:
    """The job and the file of a multipart/related body. Raises `Refused`."""
    boundary = _BOUNDARY.search(content_type)
    if not content_type.lower().startswith("multipart/related") or boundary is None:
        raise invalid("A multipart upload is multipart/related with a boundary")
    limit = b"\r\n--" + boundary.group(1).encode()
    parts = (b"\r\n" + body).split(limit)
    # Before the first limit is nothing, after the last one is "--"; the file itself may hold the limit's bytes.
    if len(parts) < 4:
        raise invalid("A multipart upload has two parts: the job and the file")
    job, file = parts[1], limit.join(parts[2:-1])
    return _job(_content(job)), _content(file)


@dataclass(slots=True)
class _Session:
    job: Document
    received: bytearray = field(default_factory=bytearray)
    lock: threading.Lock = field(default_factory=threading.Lock)


class ResumableUploads:
    """Files in pieces; a session ends with its last piece."""

    def __init__(self) -> None:
        self._sessions: dict[str, _Session] = {}

    def begin(self, body: bytes) -> str:
        """A new session's id. Raises `Refused`."""
        upload_id = uuid.uuid4().hex
        self._sessions[upload_id] = _Session(_job(body))
        return upload_id

    def add(self, upload_id: str, content_range: str, piece: bytes) -> tuple[Document, bytes] | int:
        """The job and the whole file, or how many bytes are there of it. Raises `Refused`.

        A piece that is there already is passed over; one that leaves a gap is not taken.
        """
        session = self._sessions.get(upload_id)
        if session is None:
            raise not_found(f"Upload {upload_id}")
        found = _RANGE.fullmatch(content_range) if content_range else None
        if content_range and found is None:
            raise invalid(f"Invalid Content-Range: {content_range}")
        first, _, total = found.groups() if found else ("0", None, str(len(piece)))
        with session.lock:
            if first is not None and int(first) <= len(session.received):
                session.received[int(first) :] = piece
            if total is None or len(session.received) < int(total):
                return len(session.received)
        del self._sessions[upload_id]
        return session.job, bytes(session.received)


def _content(part: bytes) -> bytes:
    head, found, content = part.removeprefix(b"\r\n").partition(b"\r\n\r\n")
    if not found:
        raise invalid("A part of the upload has no end of its headers")
    del head
    return content


def _job(body: bytes) -> Document:
    try:
        return msgspec.json.decode(body, type=Document)
    except msgspec.DecodeError as error:
        raise invalid(f"Parse Error: {error}") from None
