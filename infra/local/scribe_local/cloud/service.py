"""One service of the local cloud, as a destination of the exporter sees it."""

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from typing import Any, ClassVar


class Service(ABC):
    """A service that runs and has what a destination needs. Its clients are the genuine ones; close it at the end."""

    name: ClassVar[str]
    """Of the destination."""
    connection: ClassVar[str]
    """Which entry under `connections` its destination uses: `aws` or `gcp`."""
    what: ClassVar[str]
    """For a person."""
    keeps_bytes: ClassVar[bool] = True
    """Whether it gives back a scan's very bytes, and not only the same JSON."""
    repeats: ClassVar[str] = ""
    """Why a scan may be there twice after a crash; empty if it must not."""

    @abstractmethod
    def prepare(self) -> None:
        """Make its bucket, queue, table and so on."""

    @abstractmethod
    def destination(self) -> Mapping[str, Any]:
        """The destination's options in an export.yaml, without its connection."""

    @abstractmethod
    def copies(self) -> Iterator[bytes]:
        """The scans that are there now, every copy. Messages are taken out, and told again by the next call."""

    def close(self) -> None:  # noqa: B027 - a service without clients has nothing to close
        """Close its clients."""
