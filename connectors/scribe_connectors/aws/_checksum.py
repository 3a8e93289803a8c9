"""The checksum that goes with what is sent to S3, in a header, which every implementation understands."""

import base64
import hashlib
import zlib
from collections.abc import Mapping
from typing import Literal

Checksum = Literal["auto", "none", "crc32", "sha1", "sha256"]
"""Those that need no further package. https://docs.aws.amazon.com/AmazonS3/latest/userguide/checking-object-integrity.html"""

CHECKSUM_FIELDS = ("ChecksumCRC32", "ChecksumSHA1", "ChecksumSHA256")
"""The SDK's parameters for these."""


def checksum_fields(checksum: Checksum, data: bytes | memoryview) -> Mapping[str, str]:
    """The SDK's parameter for this content; empty where the SDK decides."""
    if checksum == "crc32":
        return {"ChecksumCRC32": _text(zlib.crc32(data).to_bytes(4, "big"))}
    if checksum == "sha1":
        return {"ChecksumSHA1": _text(hashlib.sha1(data, usedforsecurity=False).digest())}
    if checksum == "sha256":
        return {"ChecksumSHA256": _text(hashlib.sha256(data).digest())}
    return {}


def checksum_algorithm(checksum: Checksum, *, private: bool) -> Mapping[str, str]:
    """What an upload in parts says beforehand of its parts' checksums; the SDK's own, where it makes them, are CRC32."""
    if checksum == "none" or (checksum == "auto" and private):
        return {}
    return {"ChecksumAlgorithm": "CRC32" if checksum == "auto" else checksum.upper()}


def _text(digest: bytes) -> str:
    return base64.b64encode(digest).decode()
