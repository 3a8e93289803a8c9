"""Which material a scan's features speak of, by spectral match against those that are known."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import combinations
from typing import Any

import numpy as np

from scribe_local.config import ScanConfig
from scribe_local.features import by_band, levels, power_spectra
from scribe_local.materials import MATERIALS, Floats, nominal_modes
from scribe_local.resonance import RECORD_SAMPLES, respond

_SHARPNESS = 14.0
"""How fast belief falls with similarity: a lead of 0.1 makes a material four times as likely as the next."""

_LEARNING = 0.15
"""How far one correction moves a material's pattern towards what was heard."""

_SHOWN = 3


@dataclass(frozen=True, slots=True)
class Adaptation:
    """What one correction taught: the band levels heard of a material, and where they could be heard."""

    material: str
    levels: Sequence[float]
    coverage: Sequence[float]


class Patterns:
    """The band levels by which each material is known, as corrections have moved them."""

    def __init__(self, adaptations: Iterable[Adaptation] = ()) -> None:
        self._patterns = {name: levels(_transfer(name)) for name in MATERIALS}
        for adaptation in adaptations:
            self.adapt(adaptation)

    def adapt(self, adaptation: Adaptation) -> None:
        """Move a material's pattern a little towards what was heard, where it could be heard."""
        known = self._patterns[adaptation.material]
        step = _LEARNING * np.array(adaptation.coverage)
        self._patterns[adaptation.material] = known + step * (np.array(adaptation.levels) - known)

    def similarities(self, heard: Sequence[float], coverage: Sequence[float]) -> dict[str, float]:
        """Each material's likeness, 0 to 1, most alike first."""
        found = {name: _likeness(np.array(heard), known, np.array(coverage)) for name, known in self._patterns.items()}
        return dict(sorted(found.items(), key=lambda item: -item[1]))


def interpret(config: ScanConfig, features: dict[str, Any], patterns: Patterns) -> dict[str, Any]:
    """The document's `interpretation`. Every confidence is from 0 to 1."""
    frequencies = features["frequency_domain"]
    coverage = frequencies["band_coverage"]
    likeness = patterns.similarities(frequencies["band_levels"], coverage)
    best = next(iter(likeness.values()))
    weights = {name: float(np.exp(_SHARPNESS * (value - best))) for name, value in likeness.items()}
    belief = {name: weight / sum(weights.values()) for name, weight in weights.items()}
    quality = float(np.mean(coverage))
    overall = next(iter(belief.values())) * best * (0.5 + 0.5 * quality)
    return {
        "confidence_scores": {
            "overall": round(overall, 4),
            "signal_quality": round(quality, 4),
            "materials": {name: round(value, 4) for name, value in belief.items()},
        },
        "pattern_matches": {
            "materials": [
                {"material": name, "confidence": round(belief[name], 4), "similarity": round(value, 4)}
                for name, value in list(likeness.items())[:_SHOWN]
            ]
        },
        "insights": _insights(config, features, belief, quality),
    }


def compare(scans: dict[int, dict[str, Any]]) -> list[dict[str, Any]]:
    """How alike each pair of scans is, 0 to 1, from their features; pairs without band levels are left at None."""
    pairs = []
    for first, second in combinations(scans, 2):
        heard = [scans[scan].get("frequency_domain", {}) for scan in (first, second)]
        alike = None
        if all("band_levels" in features and "band_coverage" in features for features in heard):
            shared = np.min([features["band_coverage"] for features in heard], axis=0)
            one, other = (np.array(features["band_levels"]) for features in heard)
            alike = round(_likeness(one, other, shared), 4)
        pairs.append({"scan_ids": [first, second], "similarity": alike})
    return pairs


@lru_cache
def typical() -> Floats:
    """The usual transfer function by band: the geometric mean of the known materials'."""
    return np.asarray(np.exp(np.mean([np.log(_transfer(name)) for name in MATERIALS], axis=0)), dtype=np.float64)


@lru_cache
def _transfer(name: str) -> Floats:
    # A pulse of one sample plays all frequencies alike, so what is heard is the transfer function itself.
    pulse = ScanConfig("pulse", frequency=20_000.0, duration=0.01, amplitude=1.0)
    recording = respond(pulse, nominal_modes(name), np.random.default_rng(0), noise=0.0, samples=RECORD_SAMPLES)
    played, heard = (by_band(power) for power in power_spectra(recording))
    return heard / played


def _likeness(one: Floats, other: Floats, weight: Floats) -> float:
    """The correlation of two lists of levels, weighted, from 0 (none or opposite) to 1."""
    total = max(float(weight.sum()), 1e-9)
    first, second = one - (weight * one).sum() / total, other - (weight * other).sum() / total
    spread = float(np.sqrt((weight * first**2).sum() * (weight * second**2).sum()))
    return float(np.clip((weight * first * second).sum() / max(spread, 1e-9), 0.0, 1.0))


def _insights(config: ScanConfig, features: dict[str, Any], belief: dict[str, float], quality: float) -> list[str]:
    (best, sure), (second, less) = list(belief.items())[:2]
    found = [f"The resonances match {best} best ({sure:.0%})."]
    if sure - less < 0.25:
        found.append(
            f"{second.capitalize()} is nearly as likely ({less:.0%}): scan again with a sweep to tell them apart."
        )
    if quality < 0.5:
        found.append(f"Only {quality:.0%} of the bands rise above the noise: raise the amplitude or the duration.")
    peaks = features["frequency_domain"]["dominant_peaks"]
    free = [peak for peak in peaks if abs(peak["frequency"] - config.frequency) > 0.03 * config.frequency]
    if free:
        strongest = max(free, key=lambda peak: float(peak["amplitude"]))
        found.append(f"The strongest free resonance is at {strongest['frequency']:.0f} Hz with Q {strongest['q']:.0f}.")
    return found
