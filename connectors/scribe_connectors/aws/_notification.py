"""What S3 says of an object, in its own event notifications and in those that come by EventBridge."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import unquote_plus

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
    """None for what is not S3's.

    https://docs.aws.amazon.com/AmazonS3/latest/userguide/notification-content-structure.html: keys are URL-encoded;
    https://docs.aws.amazon.com/AmazonS3/latest/userguide/ev-events.html: there they are not.
    """
    if event.get("eventSource") == "aws:s3":
        found, key = event["s3"], unquote_plus(event["s3"]["object"]["key"])
        what = event["eventName"].removeprefix("s3:")
    elif event.get("source") == "aws.s3" and "object" in event.get("detail", {}):
        found, what = event["detail"], event["detail-type"]
        key = found["object"]["key"]
    else:
        return None
    it = found["object"]
    etag = it.get("eTag") or it.get("etag")
    return Notification(
        what=what,
        bucket=found["bucket"]["name"],
        key=key,
        etag=f'"{etag}"' if etag else "",
        size=int(it.get("size") or 0),
    )
