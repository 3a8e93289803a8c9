"""The signals that the exciter can play."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from scribe_local.materials import Floats

SAMPLE_RATE = 44_100
"""Samples a second of the exciter and the sensor."""

SIGNAL_TYPES = ("sine", "square", "sweep", "pulse", "noise")

_LONGEST = 0.12
"""Seconds of excitation that are synthesised: the rest of the record is the ring-down. A longer scan repeats the record
and averages it, which lowers its noise (`resonance.respond`)."""


@dataclass(frozen=True, slots=True)
class ScanConfig:
    """What to play: hertz, seconds, and an amplitude above 0 and up to 1."""

    signal_type: str = "sine"
    frequency: float = 440.0
    duration: float = 2.0
    amplitude: float = 0.5

    def document(self) -> dict[str, Any]:
        """As the scan's `config`."""
        return {
            "signal_type": self.signal_type,
            "frequency": self.frequency,
            "duration": self.duration,
            "amplitude": self.amplitude,
        }

    @property
    def repeats(self) -> float:
        """How many records of the longest length the duration holds; 1 at least."""
        return max(1.0, self.duration / _LONGEST)


def synthesise(config: ScanConfig, rng: np.random.Generator) -> Floats:
    """The samples played once. A sweep rises from a quarter of the frequency to four times it, a pulse is half a sine."""
    count = max(16, int(min(config.duration, _LONGEST) * SAMPLE_RATE))
    time = np.arange(count) / SAMPLE_RATE
    phase = 2 * np.pi * config.frequency * time
    match config.signal_type:
        case "sine":
            wave = np.sin(phase)
        case "square":
            wave = np.where(np.sin(phase) >= 0, 1.0, -1.0)
        case "sweep":
            start, stop = config.frequency / 4, min(config.frequency * 4, SAMPLE_RATE * 0.45)
            ratio = np.log(stop / start)
            wave = np.sin(2 * np.pi * start * time[-1] / ratio * (np.exp(time / time[-1] * ratio) - 1))
        case "pulse":
            width = min(count, max(2, int(SAMPLE_RATE / (2 * config.frequency))))
            wave = np.zeros(count)
            wave[:width] = np.sin(np.pi * (np.arange(width) + 0.5) / width)
        case "noise":
            wave = np.clip(rng.normal(0.0, 0.4, count), -1.0, 1.0)
        case unknown:
            raise ValueError(f"unknown signal_type {unknown!r}; known are {', '.join(SIGNAL_TYPES)}")
    return np.asarray(config.amplitude * wave, dtype=np.float64)
