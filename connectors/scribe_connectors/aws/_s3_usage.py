"""What S3 charges for."""

from collections.abc import Sequence

from scribe_connectors.aws._multipart import starts_of_parts
from scribe_connectors.aws._s3_options import S3SinkOptions
from scribe_export.archives.form import Object
from scribe_export.model import Usage

# https://aws.amazon.com/s3/pricing/ (seen 2026-11-25): smaller objects of these classes are charged as if they had it
LEAST_BYTES = dict.fromkeys(("STANDARD_IA", "ONEZONE_IA", "GLACIER_IR"), 128 * 1024)
# The same page: an archived object has an index beside it, and its name and metadata lie in the class Standard
INDEX_BYTES, NAME_BYTES = 32 * 1024, 8 * 1024
_ARCHIVES = frozenset({"GLACIER", "DEEP_ARCHIVE"})
_STORED = "aws_s3.stored_bytes"


def usage_of(objects: Sequence[Object], options: S3SinkOptions) -> Usage:
    """Of writing these. What is refused because the name is taken is charged as well; what fails with 5xx is not.

    https://docs.aws.amazon.com/AmazonS3/latest/userguide/ErrorCodeBilling.html (seen 2026-11-25)
    """
    kind = options.storage_class or "STANDARD"
    unit = "aws_s3" if kind == "STANDARD" else f"aws_s3.{kind.lower()}"
    sizes = [len(item.data) for item in objects]
    requests = sum([_requests(size, options) for size in sizes])
    extra = INDEX_BYTES if kind in _ARCHIVES else 0
    least = LEAST_BYTES.get(kind, 0)
    kept: dict[str, float] = {f"{unit}.stored_bytes": sum([max(size, least) + extra for size in sizes])}
    if extra:
        kept[_STORED] = NAME_BYTES * len(sizes)
    return Usage({"requests": requests, "bytes_sent": sum(sizes), f"{unit}.put_requests": requests}, kept)


def _requests(size: int, options: S3SinkOptions) -> int:
    """An upload in parts is one to begin it, one a part and one to end it."""
    return 1 if size <= options.multipart_threshold else 2 + len(starts_of_parts(size, options.part_size))
