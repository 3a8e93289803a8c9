"""One scan after another, each a pure function of the seed, its number and its configuration."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import numpy as np

from scribe_local.config import SIGNAL_TYPES, ScanConfig
from scribe_local.excitation import SAMPLE_RATE
from scribe_local.features import extract
from scribe_local.interpretation import Patterns, interpret, typical
from scribe_local.materials import MATERIALS, Floats, specimen
from scribe_local.resonance import DEFAULT_NOISE, RECORD_SAMPLES, respond

AUDIO_SAMPLES = 320
"""Samples kept of a recording unless told otherwise: a document is then near 5 KB."""

MAX_AUDIO_SAMPLES = 1_000_000

_EPOCH = datetime(2026, 5, 6, 19, 0, 0, tzinfo=UTC)
_EVERY = 30.0

COLUMNS = ("signals", "response", "features", "interpretation", "config")
"""The parts of a document, in its order, after `scan_id` and `timestamp`."""


@dataclass(frozen=True, slots=True)
class Bench:
    """How scans are made here.

    `material` None puts another specimen under each scan. `audio_samples` is the length of `response.audio_data`: below
    the record's 16,384 samples it holds the strongest of each stretch, above them the record itself is longer. `noise`
    is the sensor's.
    """

    seed: int = 1
    material: str | None = None
    audio_samples: int = AUDIO_SAMPLES
    noise: float = DEFAULT_NOISE

    def __post_init__(self) -> None:
        if self.material is not None and self.material not in MATERIALS:
            raise ValueError(f"unknown material {self.material!r}; known are {', '.join(MATERIALS)}")
        if not 0 <= self.audio_samples <= MAX_AUDIO_SAMPLES:
            raise ValueError(f"audio_samples is {self.audio_samples}; from 0 to {MAX_AUDIO_SAMPLES} are possible")
        if not 0 <= self.noise <= 1:
            raise ValueError(f"noise is {self.noise}; full scale is 1")
        if self.seed < 0:
            raise ValueError(f"seed is {self.seed}; it must not be negative")

    def perform(self, number: int, config: ScanConfig, patterns: Patterns) -> dict[str, bytes]:
        """Scan number `number`: the JSON text of each of `COLUMNS`."""
        rng = np.random.default_rng((self.seed, number))
        material = self.material or list(MATERIALS)[int(rng.integers(len(MATERIALS)))]
        modes = specimen(material, rng)
        samples = max(RECORD_SAMPLES, self.audio_samples)
        recording = respond(config, modes, rng, noise=self.noise, samples=samples)
        features = extract(recording, typical())
        parts: tuple[Any, ...] = (
            [
                {
                    "type": config.signal_type,
                    "frequency": config.frequency,
                    "duration": config.duration,
                    "amplitude": config.amplitude,
                }
            ],
            {
                "audio_data": self._audio(recording.heard),
                "sample_rate": round(SAMPLE_RATE * self.audio_samples / samples, 3),
                "recorded_seconds": round(samples / SAMPLE_RATE, 6),
            },
            features,
            interpret(config, features, patterns),
            config.document(),
        )
        return {name: msgspec.json.encode(part) for name, part in zip(COLUMNS, parts, strict=True)}

    def timestamp(self, number: int) -> str:
        """When scan number `number` was completed, ISO 8601 in UTC: later for each; the seed says from which day on."""
        jitter = float(np.random.default_rng((self.seed, number, 1)).random())
        seconds = _EVERY * (number + 0.8 * jitter) - 86_400.0 * (self.seed % 365)
        return iso(_EPOCH + timedelta(seconds=seconds))

    def any_config(self, number: int) -> ScanConfig:
        """What somebody might have asked of scan number `number`."""
        rng = np.random.default_rng((self.seed, number, 2))
        return ScanConfig(
            signal_type=SIGNAL_TYPES[int(rng.integers(len(SIGNAL_TYPES)))],
            frequency=round(float(np.exp(rng.uniform(np.log(110), np.log(3520)))), 1),
            duration=round(float(rng.uniform(0.5, 4.0)), 1),
            amplitude=round(float(rng.uniform(0.2, 0.9)), 2),
        )

    def _audio(self, heard: Floats) -> list[float]:
        kept = heard
        if self.audio_samples < heard.size:
            # The strongest sample of each stretch, as oscilloscopes do: plain decimation would fold or lose the modes.
            length = heard.size // max(self.audio_samples, 1)
            stretches = heard[: length * self.audio_samples].reshape(self.audio_samples, length)
            kept = np.take_along_axis(stretches, np.abs(stretches).argmax(axis=1)[:, None], axis=1)[:, 0]
        return [float(value) for value in np.round(kept, 5).tolist()]


def generate(
    count: int,
    seed: int = 1,
    audio_samples: int = AUDIO_SAMPLES,
    *,
    material: str | None = None,
    noise: float = DEFAULT_NOISE,
) -> Iterator[bytes]:
    """The documents of scans 1 to `count`, byte for byte as a simulator started with the same seed would serve them."""
    bench = Bench(seed=seed, material=material, audio_samples=audio_samples, noise=noise)
    patterns = Patterns()
    for number in range(1, count + 1):
        yield document(number, bench.timestamp(number), bench.perform(number, bench.any_config(number), patterns))


def document(scan_id: int, timestamp: str, parts: dict[str, bytes]) -> bytes:
    """A scan as the API serves it, from the JSON text of its parts: the same bytes for the same parts."""
    head = b'{"scan_id":%d,"timestamp":%s' % (scan_id, msgspec.json.encode(timestamp))
    return head + b"".join(b',"%s":%s' % (name.encode(), parts[name]) for name in COLUMNS) + b"}"


def iso(moment: datetime) -> str:
    """ISO 8601 with milliseconds and Z, so that text sorts as time does."""
    return moment.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
