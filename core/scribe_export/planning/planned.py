"""A plan: scans with what becomes of each, and destinations with what each would get."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

from scribe_export.model import Effect, Request

Verdict = Literal["sent", "trimmed", "claim_checked", "refused", "not_matched", "kept"]
Outcome = Literal["new", "duplicate", "conflict", "invalid"]


@dataclass(slots=True)
class Fate:
    """What becomes of one scan at one destination.

    `refused` is a dead letter, of class `kind`. `kept` is a conflict that leaves the destination as it is. `why` says
    what decided, in words. `batch` is the id of the batch that it is in, if it is in one.
    """

    verdict: Verdict
    kind: str = ""
    why: str = ""
    batch: str = ""


@dataclass(slots=True)
class PlannedScan:
    """One body as intake would take it; `kind` and `why` tell of one that is no scan, or is known already."""

    origin: str
    scan_id: str
    size: int
    sha256: str
    outcome: Outcome = "new"
    kind: str = ""
    why: str = ""
    fates: dict[str, Fate] = field(default_factory=dict)

    @property
    def failed(self) -> bool:
        """Whether a dead letter comes of it."""
        return self.outcome == "invalid" or any(fate.verdict == "refused" for fate in self.fates.values())


@dataclass(frozen=True, slots=True)
class PlannedRequest:
    """A request, and the ids of the scans that it carries."""

    request: Request
    scans: Sequence[str] = ()


@dataclass(slots=True)
class PlannedBatch:
    """One sealed batch, and what sending it would send.

    `claims` go to the destination `store` before the others are sent. `problem` says why requests cannot be shown.
    `size` is the bytes of the raw bodies.
    """

    id: str
    name: str
    scans: Sequence[str]
    size: int
    requests: list[PlannedRequest] = field(default_factory=list)
    store: str = ""
    claims: list[PlannedRequest] = field(default_factory=list)
    problem: str = ""


@dataclass(slots=True)
class PlannedDestination:
    """A destination and the batches that it would get, in the order of their first scans."""

    name: str
    type: str
    effect: Effect
    batches: list[PlannedBatch] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Plan:
    """Everything that would happen to some scans that arrive at once at a journal that is new."""

    scans: Sequence[PlannedScan]
    destinations: Sequence[PlannedDestination]

    @property
    def sound(self) -> bool:
        """Whether no scan would be dead and no request is missing."""
        return not any(scan.failed for scan in self.scans) and not any(
            batch.problem for destination in self.destinations for batch in destination.batches
        )
