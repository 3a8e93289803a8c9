"""What is measured on a recording, in time and in frequency."""

from functools import lru_cache
from typing import Any

import numpy as np
from scipy.signal import find_peaks, peak_widths

from scribe_local.excitation import SAMPLE_RATE
from scribe_local.materials import Floats
from scribe_local.resonance import Recording

BANDS = 48
"""Bands of equal ratio from 80 Hz to 18 kHz in which the transfer function is compared with a material's."""

_LOWEST, _HIGHEST = 80.0, 18_000.0
_FLOOR_DB = 60.0
_PEAKS = 5


def extract(recording: Recording, reference: Floats) -> dict[str, Any]:
    """The document's `features`; `reference` is the usual transfer function by band (`interpretation.typical`)."""
    return {
        "time_domain": _time_domain(recording),
        "frequency_domain": _frequency_domain(recording, reference),
    }


def power_spectra(recording: Recording) -> tuple[Floats, Floats]:
    """The power played and the power heard, a bin each."""
    return np.abs(np.fft.rfft(recording.played)) ** 2, np.abs(np.fft.rfft(recording.heard)) ** 2


def by_band(power: Floats) -> Floats:
    """A power spectrum of a real record, summed up in `BANDS`."""
    starts = _band_starts(2 * (power.size - 1))
    return np.add.reduceat(power[: starts[-1]], starts[:-1])


def levels(transfer: Floats) -> Floats:
    """A transfer function by band (power ratios) as levels from 0 (60 dB or more below its peak) to 1."""
    smooth = np.convolve(np.pad(transfer, 1, mode="edge"), [0.25, 0.5, 0.25], mode="valid")
    decibels = 10 * np.log10(np.maximum(smooth, 1e-30) / max(float(smooth.max()), 1e-30))
    return np.asarray(np.clip(1 + decibels / _FLOOR_DB, 0.0, 1.0), dtype=np.float64)


def _time_domain(recording: Recording) -> dict[str, Any]:
    heard = recording.heard
    rms = float(np.sqrt(np.mean(heard**2)))
    peak = float(np.abs(heard).max())
    crossings = int(np.count_nonzero(np.signbit(heard[1:]) != np.signbit(heard[:-1])))
    return {
        "rms": round(rms, 6),
        "peak": round(peak, 6),
        "crest_factor": round(peak / max(rms, 1e-12), 4),
        "zero_crossings": crossings,
        "zero_crossing_rate": round(crossings * SAMPLE_RATE / heard.size, 2),
        "decay_time": _decay_time(recording),
    }


def _decay_time(recording: Recording) -> float | None:
    """Seconds for the ring-down to fall by 60 dB, by Schroeder's backward integration; None if noise hides the slope."""
    end = int(np.flatnonzero(recording.played)[-1]) + 1
    tail = recording.heard[end:] ** 2
    if tail.size < SAMPLE_RATE // 100:
        return None
    energy = np.cumsum((tail - recording.noise**2)[::-1])[::-1]
    if energy[0] <= 0:
        return None
    fallen = energy / energy[0]
    first, last = int(np.argmax(fallen < 10**-0.1)), int(np.argmax(fallen < 10**-1.1))
    return round(6.0 * (last - first) / SAMPLE_RATE, 5) if last > first > 0 else None


def _frequency_domain(recording: Recording, reference: Floats) -> dict[str, Any]:
    played, heard = power_spectra(recording)
    floor = np.full(heard.size, recording.noise**2 * recording.heard.size)
    power = np.maximum(heard - floor, 0.0)
    total = max(float(power.sum()), 1e-30)
    step = SAMPLE_RATE / recording.heard.size
    frequency = np.arange(power.size) * step
    centroid = float((frequency * power).sum() / total)
    noise = by_band(floor)
    excited = by_band(played)
    transfer = np.maximum(by_band(heard) - noise, noise * 1e-3 + 1e-30) / np.maximum(excited, 1e-30)
    expected = excited * reference
    return {
        "centroid": round(centroid, 2),
        "bandwidth": round(float(np.sqrt(((frequency - centroid) ** 2 * power).sum() / total)), 2),
        "rolloff": round(float(frequency[int(np.argmax(np.cumsum(power) >= 0.85 * total))]), 2),
        "dominant_peaks": _peaks(np.sqrt(heard), step),
        "band_levels": np.round(levels(transfer), 3).tolist(),
        "band_coverage": np.round(expected / (expected + noise + 1e-30), 2).tolist(),
    }


def _peaks(magnitude: Floats, step: float) -> list[dict[str, float]]:
    strongest = max(float(magnitude.max()), 1e-30)
    found, _ = find_peaks(magnitude, height=strongest * 0.02, distance=max(1, int(60 / step)))
    found = np.sort(found[np.argsort(magnitude[found])[::-1][:_PEAKS]])
    # The half-power points are where the power has fallen by half from the peak.
    widths = peak_widths(magnitude**2, found, rel_height=0.5)[0] * step
    return [
        {
            "frequency": round(float(index * step), 2),
            "amplitude": round(float(magnitude[index] / strongest), 4),
            "q": round(float(index * step / max(width, step / 2)), 1),
        }
        for index, width in zip(found, widths, strict=True)
    ]


@lru_cache
def _band_starts(samples: int) -> tuple[int, ...]:
    edges = np.geomspace(_LOWEST, _HIGHEST, BANDS + 1) * samples / SAMPLE_RATE
    return tuple(int(edge) for edge in np.round(edges))
