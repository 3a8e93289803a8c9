"""The signals that the exciter can play."""

import numpy as np

from scribe_local.config import SIGNAL_TYPES, ScanConfig
from scribe_local.materials import Floats

SAMPLE_RATE = 44_100
"""Samples a second of the exciter and the sensor."""

_LONGEST = 0.12
"""Seconds of excitation that are synthesised: the rest of the record is the ring-down. A longer scan repeats the record
and averages it, which lowers its noise (`resonance.respond`)."""


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


def repeats(config: ScanConfig) -> float:
    """How many records of the longest length the duration holds; 1 at least."""
    return max(1.0, config.duration / _LONGEST)
