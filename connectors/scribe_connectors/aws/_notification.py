"""What S3 says of an object, in its own event notifications and in those that come by EventBridge."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import unquote_plus

_SIZE = re.compile(r"[0-9]{1,18}\Z")
_BRING = ("ObjectCreated:", "ObjectRestore:Completed", "Object Created", "Object Restore Completed")


@dataclass(frozen=True, slots=True)
class Notification:
    """`what` happened to an object; `etag` is as an If-Match wants it, empty if the event has none."""

    what: str
    bucket: str
    key: str
    etag: str
    size: int

    @property
    def brings(self) -> bool:
        """Whether there is an object to read now, that was not before."""
        return self.what.startswith(_BRING)

    @property
    def folder(self) -> bool:
        """Whether it is the empty object by which a console shows a folder."""
        return not self.size and self.key.endswith("/")


def notification(event: Mapping[str, Any]) -> Notification | None:
    """None for what is not S3's, or not in S3's form.

    https://docs.aws.amazon.com/AmazonS3/latest/userguide/notification-content-structure.html: keys are URL-encoded;
    https://docs.aws.amazon.com/AmazonS3/latest/userguide/ev-events.html: there they are not.
    """
    if event.get("eventSource") == "aws:s3":
        found, what, encoded = _inner(event, "s3"), event.get("eventName"), True
    elif event.get("source") == "aws.s3":
        found, what, encoded = _inner(event, "detail"), event.get("detail-type"), False
    else:
        return None
    it = _inner(found, "object")
    bucket, key, size = _inner(found, "bucket").get("name"), it.get("key"), str(it.get("size") or 0)
    if not isinstance(what, str) or not isinstance(bucket, str) or not isinstance(key, str) or not _SIZE.match(size):
        return None
    etag = it.get("eTag") or it.get("etag")
    return Notification(
        what=what.removeprefix("s3:"),
        bucket=bucket,
        key=unquote_plus(key) if encoded else key,
        etag=f'"{etag}"' if isinstance(etag, str) and etag else "",
        size=int(size),
    )


def _inner(found: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    value = found.get(name)
    return value if isinstance(value, Mapping) else {}
