"""What the S3 sink and source have in common."""

from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from pydantic import Field

from scribe_connectors.aws._client import AwsClient, AwsOptions

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client


class BucketOptions(AwsOptions):
    """Which bucket."""

    bucket: str = Field(pattern=r"^[a-zA-Z0-9.\-_]{3,255}$|^arn:aws[a-z-]*:s3.*$")
    """The bucket's name, or an access point's ARN."""
    expected_bucket_owner: str | None = Field(default=None, pattern=r"^\d{12}$")
    """The account that must own the bucket."""
    addressing_style: Literal["auto", "path", "virtual"] | None = None
    """Where the bucket's name stands in an address; path at an endpoint that is not AWS's."""


class Bucket:
    """A bucket and the client that reaches it."""

    def __init__(self, options: BucketOptions, *, folder: Path, timeout: float, connections: int) -> None:
        self.name = options.bucket
        self.client = AwsClient("s3", options, folder=folder, timeout=timeout, connections=connections)
        style = options.addressing_style or ("path" if self.client.private else "auto")
        self.client.configure(s3={"addressing_style": style})
        self.owner: dict[str, Any] = {}
        if options.expected_bucket_owner:
            self.owner["ExpectedBucketOwner"] = options.expected_bucket_owner

    @property
    def s3(self) -> "S3Client":
        """The boto3 client."""
        client: S3Client = self.client.get()
        return client
