"""Small scans, of the shape the SCRIBE API serves, made without numpy."""

import functools
import hashlib
import math
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from random import Random
from typing import Any

import msgspec

from scribe_export.model import Record, ScanRequest

_EPOCH = datetime(2026, 5, 6, tzinfo=UTC)
_MODES = {
    "oak": (1.0, 2.71, 5.15, 8.43),
    "steel": (1.0, 2.76, 5.40, 8.93),
    "glass": (1.0, 2.32, 4.25, 6.63),
    "acrylic": (1.0, 2.50, 4.80, 7.20),
}
_DAMPING = {"oak": 28.0, "steel": 3.0, "glass": 9.0, "acrylic": 46.0}
_SAMPLES = 96
_RATE = 8000.0


def scan_document(
    scan_id: int | str, *, seed: int = 0, request: ScanRequest | None = None, moment: datetime | None = None
) -> dict[str, Any]:
    """A completed scan: the damped modes of a material after an excitation, its features and what they were taken for.

    The same arguments give the same scan. `moment` (aware) defaults to a fixed day, a second later for each number.
    """
    rng = Random(f"{seed}/{scan_id}")  # noqa: S311 - simulated noise, not a secret
    asked = request or ScanRequest(frequency=rng.choice([220.0, 440.0, 880.0]))
    material = rng.choice(sorted(_MODES))
    audio = _ringing(material, asked, rng)
    rms = math.sqrt(sum(sample * sample for sample in audio) / len(audio))
    crossings = sum(a * b < 0 for a, b in pairwise(audio))
    score = round(0.6 + 0.39 * rng.random(), 4)
    if moment is None:
        moment = _EPOCH + timedelta(seconds=scan_id % 80000 if isinstance(scan_id, int) else rng.randrange(80000))
    return {
        "scan_id": scan_id,
        "timestamp": moment.isoformat().replace("+00:00", "Z"),
        "config": {
            "signal_type": asked.signal_type,
            "frequency": asked.frequency,
            "duration": asked.duration,
            "amplitude": asked.amplitude,
        },
        "signals": {"sample_rate": _RATE, "samples": _SAMPLES},
        "response": {"audio_data": audio, "sample_rate": _RATE},
        "features": {
            "time_domain": {"rms": round(rms, 6), "zero_crossing_rate": round(crossings / _SAMPLES, 6)},
            "frequency_domain": {"peaks": [round(asked.frequency * ratio, 2) for ratio in _MODES[material]]},
        },
        "interpretation": {
            "confidence_scores": {"overall": score},
            "pattern_matches": {"materials": [{"material": material, "confidence": score}]},
            "insights": [f"Rings like {material}"],
        },
    }


@functools.lru_cache(4096, typed=True)  # a contract asks for the same ones again and again
def scan_body(scan_id: int | str, *, size: int | None = None, seed: int = 0) -> bytes:
    """A scan's JSON; with `size` of exactly so many bytes, which raises ValueError if they are too few."""
    document = scan_document(scan_id, seed=seed)
    if size is None:
        return msgspec.json.encode(document)
    small = {"scan_id": scan_id, "timestamp": document["timestamp"], "notes": ""}
    missing = size - len(msgspec.json.encode(small))
    if missing < 0:
        raise ValueError(f"a scan with this id has at least {size - missing} bytes, {size} were asked for")
    small["notes"] = "n" * missing
    return msgspec.json.encode(small)


def make_record(scan_id: int | str, *, seq: int = 1, body: bytes | None = None, source: str = "contract") -> Record:
    """A journalled scan; `body` defaults to that of `scan_body`."""
    body = scan_body(scan_id) if body is None else body
    digest = hashlib.sha256(body).hexdigest()
    return Record(
        seq=seq, scan_id=str(scan_id), sha256=digest, body=body, source=source, received_at=_EPOCH.timestamp()
    )


def make_records(count: int, *, first: int = 1, seed: int = 0) -> Sequence[Record]:
    """`count` different scans of one day, with the ids and journal numbers from `first` on."""
    return [make_record(n, seq=n, body=scan_body(n, seed=seed)) for n in range(first, first + count)]


def _ringing(material: str, asked: ScanRequest, rng: Random) -> list[float]:
    modes = [(asked.frequency * ratio, 1 / (n + 1)) for n, ratio in enumerate(_MODES[material])]
    samples = []
    for index in range(_SAMPLES):
        at = index / _RATE
        tone = sum(weight * math.sin(2 * math.pi * hertz * at) for hertz, weight in modes)
        samples.append(round(asked.amplitude * tone * math.exp(-_DAMPING[material] * at) + rng.gauss(0, 0.004), 5))
    return samples
