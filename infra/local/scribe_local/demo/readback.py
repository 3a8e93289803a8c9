"""What really arrived: the scanner's scans against the destinations' bytes, without any word of the exporter's.

The scanner's table says which scans there are and its API what their bytes are. S3 is read with boto3, every version of
every object; files are read as files.
"""

import hashlib
import io
import json
import sqlite3
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import httpx
import zstandard

from scribe_local.demo.pipeline import ARCHIVE_PREFIX, FILES_FOLDER, LAKE_PREFIX
from scribe_local.demo.world import BUCKET, Cloud, World

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

Copy = tuple[str, str]
"""A scan's id and the SHA-256 of one copy of it, in hex."""


@dataclass(frozen=True, slots=True)
class Tally:
    """One destination by scan ids: `delivered` have a copy that equals the scanner's byte for byte, `lost` have none,
    `doubled` have more than one copy, equal or not. `foreign` copies are of no scan that the scanner knows."""

    delivered: frozenset[str]
    lost: frozenset[str]
    doubled: frozenset[str]
    foreign: int


def scans_of(world: World) -> dict[str, str]:
    """Every scan of the scanner, with the SHA-256 of its bytes."""
    with closing(sqlite3.connect(f"{world.scanner.database.resolve().as_uri()}?mode=ro", uri=True)) as table:
        ids = [int(row[0]) for row in table.execute("SELECT id FROM scan_results ORDER BY id")]
    with httpx.Client(base_url=world.scanner.url, timeout=30, trust_env=False) as client:
        return {str(scan_id): _sha256(client.get(f"/scans/{scan_id}").raise_for_status().content) for scan_id in ids}


def read_back(scans: Mapping[str, str], world: World, folder: Path) -> dict[str, Tally]:
    """Each destination's tally."""
    copies: dict[str, Iterable[Copy]] = {}
    if world.cloud:
        copies["archive"] = (_copy(data) for data in _versions(world.cloud.s3, ARCHIVE_PREFIX))
        copies["lake"] = (_copy(line) for data in _versions(world.cloud.s3, LAKE_PREFIX) for line in _lines(data))
    copies["files"] = (_copy(path.read_bytes()) for path in sorted((folder / FILES_FOLDER).rglob("*.json")))
    return {name: tally(scans, found) for name, found in copies.items()}


def tally(scans: Mapping[str, str], copies: Iterable[Copy]) -> Tally:
    """Compare copies with the scans that there should be."""
    found: dict[str, list[str]] = defaultdict(list)
    for scan_id, sha256 in copies:
        found[scan_id].append(sha256)
    delivered = frozenset(scan_id for scan_id, sha256 in scans.items() if sha256 in found.get(scan_id, ()))
    return Tally(
        delivered=delivered,
        lost=frozenset(scans) - delivered,
        doubled=frozenset(scan_id for scan_id, each in found.items() if scan_id in scans and len(each) > 1),
        foreign=sum(len(each) for scan_id, each in found.items() if scan_id not in scans),
    )


def archived(cloud: Cloud) -> int:
    """How many objects the archive holds."""
    pages = cloud.s3.get_paginator("list_objects_v2").paginate(Bucket=BUCKET, Prefix=ARCHIVE_PREFIX)
    return sum(page["KeyCount"] for page in pages)


def newest_in_archive(cloud: Cloud) -> str:
    """The id of the scan whose object the archive got last."""
    pages = cloud.s3.get_paginator("list_objects_v2").paginate(Bucket=BUCKET, Prefix=ARCHIVE_PREFIX)
    newest = max((item for page in pages for item in page.get("Contents", [])), key=lambda item: item["LastModified"])
    return _copy(cloud.s3.get_object(Bucket=BUCKET, Key=newest["Key"])["Body"].read())[0]


def _versions(s3: "S3Client", prefix: str) -> Iterator[bytes]:
    pages = s3.get_paginator("list_object_versions").paginate(Bucket=BUCKET, Prefix=prefix)
    listed = [(version["Key"], version["VersionId"]) for page in pages for version in page.get("Versions", [])]

    def read(version: tuple[str, str]) -> bytes:
        return s3.get_object(Bucket=BUCKET, Key=version[0], VersionId=version[1])["Body"].read()

    with ThreadPoolExecutor(4) as readers:
        yield from readers.map(read, listed)


def _lines(data: bytes) -> list[bytes]:
    plain = zstandard.ZstdDecompressor().stream_reader(io.BytesIO(data), read_across_frames=True).read()
    return plain.removesuffix(b"\n").split(b"\n")


def _copy(data: bytes) -> Copy:
    return str(json.loads(data)["scan_id"]), _sha256(data)


def _sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()
