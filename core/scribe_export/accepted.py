"""What `deliver` and `send` answer."""

from dataclasses import dataclass

from scribe_export.journal.ingest import Outcome


@dataclass(frozen=True, slots=True)
class Accepted:
    """A scan that is in the journal. `outcome` is ``new``, ``duplicate`` or ``conflict``; `destinations` are those that
    will have it because of this call.
    """

    scan_id: str
    seq: int
    outcome: Outcome
    destinations: tuple[str, ...]
