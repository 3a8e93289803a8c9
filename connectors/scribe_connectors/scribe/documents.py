"""The guide's configuration and documents, as types; a document keeps whatever else its server sends."""

from typing import Any, Protocol, TypedDict

from scribe_export.errors import ScribeExportError
from scribe_export.model import ScanRequest

ScanConfig = ScanRequest
"""The guide's name for what is asked of the scanner."""


class AnyScanConfig(Protocol):
    """Whatever has the four attributes of the guide's `ScanConfig`: hertz, seconds, and an amplitude from 0 to 1."""

    @property
    def signal_type(self) -> str: ...
    @property
    def frequency(self) -> float: ...
    @property
    def duration(self) -> float: ...
    @property
    def amplitude(self) -> float: ...


class Material(TypedDict, total=False):
    """One material that the spectrum resembles; `confidence` is 0 to 1."""

    material: str
    confidence: float


class PatternMatches(TypedDict, total=False):
    """What the spectrum resembles, best first."""

    materials: list[Material]


class ConfidenceScores(TypedDict, total=False):
    """How sure the interpretation is, 0 to 1."""

    overall: float


class Interpretation(TypedDict, total=False):
    """What the scanner makes of a response."""

    confidence_scores: ConfidenceScores
    pattern_matches: PatternMatches


class ScanDocument(TypedDict, total=False):
    """A completed scan."""

    scan_id: int | str
    timestamp: str
    signals: list[dict[str, Any]]
    response: dict[str, Any]
    features: dict[str, Any]
    interpretation: Interpretation
    config: dict[str, Any]


class BatchScansFailed(ScribeExportError):
    """Some scans of a batch failed, after all were tried.

    `results` has the completed scans in the order asked, None where one failed; `errors` has the failures by index.
    """

    def __init__(self, results: list[ScanDocument | None], errors: dict[int, Exception]) -> None:
        index, first = next(iter(sorted(errors.items())))
        super().__init__(f"{len(errors)} of {len(results)} scans failed, first number {index + 1}: {first}")
        self.results = results
        self.errors = errors
