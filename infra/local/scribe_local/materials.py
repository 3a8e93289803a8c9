"""The specimens on the simulated bench, as modes computed from their material's constants.

Each is a free-free bar in bending. Euler and Bernoulli's beam gives its resonances,
``f = (beta L)^2 / (2 pi L^2) * sqrt(E / rho) * t / sqrt(12)``; the loss factor, with what the supports add, gives their
damping. The constants are the usual handbook values; wood is taken along the grain.
"""

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

_SUPPORT_LOSS = 0.003
_BETA_L = (4.73004, 7.85320, 10.99561, 14.13717, 17.27876, 20.42035, 23.56194, 26.70354)
_SENSOR_AT = 0.31  # of the length: no node of the modes above lies there


@dataclass(frozen=True, slots=True)
class Material:
    """`modulus` in pascals, `density` in kg/m3, `loss` the material's own loss factor, lengths in metres."""

    name: str
    modulus: float
    density: float
    loss: float
    length: float
    thickness: float

    @property
    def wave_speed(self) -> float:
        """Of longitudinal waves along the bar, metres a second."""
        return float((self.modulus / self.density) ** 0.5)


@dataclass(frozen=True, slots=True)
class Modes:
    """One specimen's resonances: hertz, damping ratios (of critical), and gains from the exciter to the sensor."""

    frequency: Floats
    damping: Floats
    gain: Floats


MATERIALS = {
    material.name: material
    for material in (
        Material("oak", 11.5e9, 700.0, 0.011, 0.24, 0.012),
        Material("pine", 9.5e9, 480.0, 0.014, 0.30, 0.018),
        Material("steel", 205e9, 7850.0, 0.0004, 0.20, 0.005),
        Material("aluminium", 69e9, 2700.0, 0.0006, 0.16, 0.004),
        Material("brass", 105e9, 8500.0, 0.0008, 0.20, 0.008),
        Material("glass", 70e9, 2500.0, 0.0012, 0.18, 0.010),
        Material("acrylic", 3.2e9, 1190.0, 0.045, 0.22, 0.008),
        Material("ceramic", 300e9, 3800.0, 0.0005, 0.14, 0.006),
    )
}


@lru_cache
def nominal_modes(name: str) -> Modes:
    """The modes of a specimen exactly as its drawing says. Raises KeyError for an unknown material."""
    material = MATERIALS[name]
    beta_l = np.array(_BETA_L)
    stiffness = material.wave_speed * material.thickness / 12**0.5
    frequency = beta_l**2 / (2 * np.pi * material.length**2) * stiffness
    damping = np.full(beta_l.size, (material.loss + _SUPPORT_LOSS) / 2)
    return Modes(frequency, damping, _shape(beta_l, 0.0) * _shape(beta_l, _SENSOR_AT) / 4)


def specimen(name: str, rng: np.random.Generator) -> Modes:
    """A specimen as the workshop made it: stiffness, damping and gains off by a few per cent."""
    nominal = nominal_modes(name)
    count = nominal.frequency.size
    return Modes(
        nominal.frequency * rng.normal(1.0, 0.012) * rng.normal(1.0, 0.003, count),
        nominal.damping * rng.lognormal(0.0, 0.12, count),
        nominal.gain * rng.lognormal(0.0, 0.08, count),
    )


def _shape(beta_l: Floats, place: float) -> Floats:
    """Mode shapes of a free-free beam at a place from 0 to 1, 2 at its ends."""
    sigma = (np.cosh(beta_l) - np.cos(beta_l)) / (np.sinh(beta_l) - np.sin(beta_l))
    x = beta_l * place
    # cosh - sigma * sinh, written so that two large numbers are not subtracted.
    hyperbolic = (np.exp(x) * (1 - sigma) + np.exp(-x) * (1 + sigma)) / 2
    return np.asarray(hyperbolic + np.cos(x) - sigma * np.sin(x), dtype=np.float64)
