"""What runs around the exporter: the scanner, the cloud, and the gate through which the archive is reached."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, cast

from scribe_local.cloud.cloud import LocalCloud, local_cloud
from scribe_local.proxy import Proxy
from scribe_local.servers import Simulator, simulator

if TYPE_CHECKING:
    from scribe_local.cloud.s3 import S3

SEED = 1
FIRST_SCANS = 40


@dataclass(frozen=True, slots=True)
class Archive:
    """S3. `gate` is the exporter's own way to it, so that this can be closed."""

    gate: Proxy
    s3: "S3"


@dataclass(frozen=True, slots=True)
class World:
    """`archive` is None where S3 cannot be had."""

    scanner: Simulator
    cloud: LocalCloud
    archive: Archive | None


@contextmanager
def world() -> Iterator[World]:
    """Start it; all of it ends with the block. Raises `ServerFailed`."""
    with ExitStack() as stack:
        scanner = stack.enter_context(simulator(seed=SEED, scans=FIRST_SCANS))
        cloud = stack.enter_context(local_cloud())
        s3 = cast("S3 | None", cloud.services.get("archive"))
        if s3 is None:
            yield World(scanner, cloud, None)
            return
        gate = stack.enter_context(Proxy(cloud.servers[0].port))
        yield World(scanner, cloud, Archive(gate, s3))
