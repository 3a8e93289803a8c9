"""What fixtures give: a look at the service that does not pass through the connector, and the service's faults."""

from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass

from scribe_export.model import Record


class Destination(ABC):
    """An observer of what a destination holds, reading it by its own means and never through the sink.

    Its methods are called in a worker thread and may block.
    """

    @abstractmethod
    def held(self) -> Iterable[tuple[str, bytes]]:
        """Every effect: the scan's id and the body as it reads back, twice if it is there twice."""

    def strays(self) -> Sequence[str]:
        """What lies outside the place the sink was given, by name; for sinks that make names of a scan's content."""
        return ()

    def effects(self) -> Mapping[str, int]:
        """How many effects each scan id has."""
        return Counter(scan_id for scan_id, _ in self.held())

    def bodies(self, scan_id: str) -> Sequence[bytes]:
        """The bodies held of a scan."""
        return [body for found, body in self.held() if found == scan_id]


@dataclass(frozen=True, slots=True)
class Faults:
    """What a fixture can do to the service; a check whose fault is None is skipped, saying so.

    Each fault but `requests` holds inside the context manager it returns and is gone after it. They are entered and
    left in a worker thread and may block. A proxy between connector and service gives most of them.
    """

    down: Callable[[], AbstractContextManager[object]] | None = None
    """The service cannot be reached, or answers every request with a server error, without effect."""
    deny: Callable[[], AbstractContextManager[object]] | None = None
    """The service refuses the credentials or the right."""
    lose_answers: Callable[[], AbstractContextManager[object]] | None = None
    """Requests reach the service and take effect, and their answers never arrive."""
    refuse: Callable[[Record], AbstractContextManager[object]] | None = None
    """The service fails this record and takes the others of the same batch."""
    requests: Callable[[], int] | None = None
    """Requests, or attempts to connect, that were made so far; those that failed count too."""
    withheld: str = ""
    """Why nothing at all can be done to the service, such as that it is the real one; checks that need a fault then skip
    with it, also those that are mandatory otherwise."""
