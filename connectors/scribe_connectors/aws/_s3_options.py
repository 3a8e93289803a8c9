"""What the user writes under a destination in S3."""

import base64
import json
from collections.abc import Mapping
from typing import Any, Literal
from urllib.parse import urlencode

from pydantic import Field, field_validator, model_validator

from scribe_connectors.aws._bucket import BucketOptions
from scribe_connectors.aws._checksum import Checksum
from scribe_connectors.aws._multipart import MAX_PART, MIN_PART
from scribe_export.archives.sink import ObjectOptions
from scribe_export.options import Options, Size
from scribe_export.suggest import did_you_mean

# https://docs.aws.amazon.com/AmazonS3/latest/userguide/object-tagging.html, 2026-11
MAX_TAGS, MAX_TAG_NAME, MAX_TAG_VALUE = 10, 128, 256
# https://docs.aws.amazon.com/AmazonS3/latest/API/API_PutObject.html, 2026-11
STORAGE_CLASSES = (
    "STANDARD",
    "STANDARD_IA",
    "ONEZONE_IA",
    "INTELLIGENT_TIERING",
    "GLACIER_IR",
    "GLACIER",
    "DEEP_ARCHIVE",
    "REDUCED_REDUNDANCY",
    "EXPRESS_ONEZONE",
    "FSX_ONTAP",
    "FSX_OPENZFS",
    "OUTPOSTS",
    "SNOW",
)


class KmsOptions(Options):
    kms_key: str = Field(min_length=1)
    """Id, alias or ARN of a key."""
    context: dict[str, str] = Field(default_factory=dict)
    """Encryption context, for the key's policy and its audit log to see."""
    bucket_key: bool = True
    """Ask KMS for a key of the bucket instead of one an object."""


class S3SinkOptions(BucketOptions, ObjectOptions):
    """A bucket to write to."""

    storage_class: str | None = Field(default=None, pattern=r"^[A-Z_]+$")
    """Such as STANDARD_IA; the bucket's own if left out."""
    encryption: KmsOptions | Literal["AES256"] | None = None
    """At rest: a key in KMS, or keys that S3 keeps; the bucket's own setting if left out."""
    tags: dict[str, str] = Field(default_factory=dict, max_length=MAX_TAGS)
    """Of every object. Needs the right s3:PutObjectTagging."""
    checksum: Checksum = "auto"
    """Sent with the content for the service to check. `auto`: the SDK's own at AWS, and none elsewhere."""
    multipart_threshold: Size = Field(default=64 * 2**20, ge=MIN_PART, le=MAX_PART)
    """A larger object is sent in parts."""
    part_size: Size = Field(default=16 * 2**20, ge=MIN_PART, le=MAX_PART)
    """Of these; more where there would be over 10,000."""

    @field_validator("tags")
    @classmethod
    def _check_tags(cls, value: dict[str, str]) -> dict[str, str]:
        for name, text in value.items():
            if not 0 < len(name) <= MAX_TAG_NAME or len(text) > MAX_TAG_VALUE:
                raise ValueError(
                    f"{name:.40}: a tag's name has 1 to {MAX_TAG_NAME} characters, its value at most {MAX_TAG_VALUE}"
                )
        return value

    @model_validator(mode="after")
    def _check_storage_class(self) -> "S3SinkOptions":
        # Other implementations have classes of their own.
        if self.storage_class and not self.endpoint_url and self.storage_class not in STORAGE_CLASSES:
            hint = did_you_mean(self.storage_class, STORAGE_CLASSES)
            raise ValueError(f"storage_class: S3 has no {self.storage_class}{hint}")
        return self

    def place(self) -> str:
        """Two destinations must not have the same."""
        return f"{self.endpoint_url or 's3'}/{self.bucket}/{self.key}"

    def object_settings(self) -> Mapping[str, Any]:
        """What goes with every object, by the SDK's names."""
        settings: dict[str, Any] = {}
        if self.storage_class:
            settings["StorageClass"] = self.storage_class
        if self.tags:
            settings["Tagging"] = urlencode(self.tags)
        encryption = self.encryption
        if isinstance(encryption, KmsOptions):
            settings |= {"ServerSideEncryption": "aws:kms", "SSEKMSKeyId": encryption.kms_key}
            settings |= {"BucketKeyEnabled": True} if encryption.bucket_key else {}
            if encryption.context:
                context = json.dumps(encryption.context, separators=(",", ":"))
                settings["SSEKMSEncryptionContext"] = base64.b64encode(context.encode()).decode()
        elif encryption:
            settings["ServerSideEncryption"] = encryption
        return settings
