"""A specimen's answer to an excitation, as the sensor records it."""

from dataclasses import dataclass

import numpy as np
from scipy.signal import lfilter

from scribe_local.config import ScanConfig
from scribe_local.excitation import SAMPLE_RATE, repeats, synthesise
from scribe_local.materials import Floats, Modes

RECORD_SAMPLES = 16_384
"""The shortest record: a third of a second, excitation and ring-down."""

DEFAULT_NOISE = 0.002
"""Standard deviation of the sensor's noise in one record, where full scale is 1."""

_SENSITIVITY = 0.004


@dataclass(frozen=True, slots=True)
class Recording:
    """What went in and what came out, sample for sample, and the noise that is known to be in it."""

    played: Floats
    heard: Floats
    noise: float


def respond(
    config: ScanConfig,
    modes: Modes,
    rng: np.random.Generator,
    *,
    noise: float = DEFAULT_NOISE,
    samples: int = RECORD_SAMPLES,
) -> Recording:
    """Play `config` on a specimen and record `samples`, averaged over as many repeats as the duration holds.

    Each mode is a resonator whose impulse response is ``gain * exp(-damping * w * t) * cos(w * t)``: a velocity.
    """
    played = np.zeros(samples)
    wave = synthesise(config, rng)[:samples]
    played[: wave.size] = wave
    heard = np.zeros(samples)
    for frequency, damping, gain in zip(modes.frequency, modes.damping, modes.gain, strict=True):
        angle = 2 * np.pi * frequency / SAMPLE_RATE
        if angle >= np.pi:
            continue  # above what the sensor can tell
        decay = np.exp(-damping * angle)
        turn = decay * np.cos(angle * np.sqrt(1 - damping**2))
        heard += lfilter([gain, -gain * turn], [1.0, -2 * turn, decay**2], played)
    level = noise / np.sqrt(repeats(config))
    return Recording(played, heard * _SENSITIVITY + rng.normal(0.0, level, samples), float(level))
