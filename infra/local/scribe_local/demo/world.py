"""What runs around the exporter: the scanner, S3, and the gate through which the archive is reached."""

import importlib.util
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from scribe_local.process import ServerMissing
from scribe_local.proxy import Proxy
from scribe_local.servers import ACCESS_KEY, REGION, SECRET_KEY, LocalServer, Simulator, ministack, simulator

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

BUCKET = "scribe-scans"
SEED = 1
FIRST_SCANS = 40


@dataclass(frozen=True, slots=True)
class Cloud:
    """S3, its bucket keeping every version. `gate` is the archive's own way to it, so that this can be closed."""

    server: LocalServer
    gate: Proxy
    s3: "S3Client"


@dataclass(frozen=True, slots=True)
class World:
    """`cloud` is None where S3 cannot be had; `missing` then says why."""

    scanner: Simulator
    cloud: Cloud | None
    missing: str


@contextmanager
def world() -> Iterator[World]:
    """Start it; all of it ends with the block. Raises `ServerFailed`."""
    with ExitStack() as stack:
        scanner = stack.enter_context(simulator(seed=SEED, scans=FIRST_SCANS))
        if importlib.util.find_spec("boto3") is None:
            yield World(scanner, None, "boto3 is not installed: run `pip install 'scribe-export[aws]'`")
            return
        try:
            server = stack.enter_context(ministack())
        except ServerMissing as error:
            yield World(scanner, None, str(error))
            return
        s3 = versioned_bucket(server.url)
        stack.callback(s3.close)
        yield World(scanner, Cloud(server, stack.enter_context(Proxy(server.port)), s3), "")


def versioned_bucket(url: str) -> "S3Client":
    """A genuine client of S3, which has the bucket; a second write under a key is then seen as a second version."""
    import boto3
    from botocore.config import Config

    s3 = boto3.client(
        "s3",
        endpoint_url=url,
        region_name=REGION,
        aws_access_key_id=ACCESS_KEY,
        aws_secret_access_key=SECRET_KEY,
        config=Config(connect_timeout=10, read_timeout=30, s3={"addressing_style": "path"}),
    )
    s3.create_bucket(Bucket=BUCKET)
    s3.put_bucket_versioning(Bucket=BUCKET, VersioningConfiguration={"Status": "Enabled"})
    return s3
