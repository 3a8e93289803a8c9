"""Scans to measure with: JSON of a scan's usual shape and size, with text that compresses as scans do."""

import hashlib
import json
import random
from collections.abc import Sequence

from scribe_export.journal.ingest import Ingested, NewScan
from scribe_export.model import Record

SIZE = 4700


def bodies(count: int, seed: int = 1, distinct: int = 50) -> list[bytes]:
    """Documents of about `SIZE` bytes with ids from 1.

    They share `distinct` different recordings to save time; where bodies are compressed that would flatter, so there
    each has its own.
    """
    draw = random.Random(seed)
    audio = [[round(draw.gauss(0, 0.1), 6) for _ in range(420)] for _ in range(distinct)]
    tails = [
        json.dumps(
            {
                "timestamp": f"2026-05-{draw.randint(1, 28):02}T19:00:00Z",
                "config": {"signal_type": "sine", "frequency": 440.0, "duration": 2.0, "amplitude": 0.5},
                "response": {"audio_data": samples},
                "features": {"time_domain": {"rms": draw.random()}},
                "interpretation": {
                    "confidence_scores": {"overall": round(draw.random(), 3)},
                    "pattern_matches": {"materials": [{"material": draw.choice(["oak", "steel"]), "score": 0.9}]},
                },
            },
            separators=(",", ":"),
        )[1:].encode()
        for samples in audio
    ]
    return [b'{"scan_id":%d,' % number + tails[number % len(tails)] for number in range(1, count + 1)]


def incoming(count: int, mask: int) -> list[NewScan]:
    """As the intake prepares them."""
    found = []
    for number, body in enumerate(bodies(count), 1):
        sha256 = hashlib.sha256(body).hexdigest()
        record = Record(seq=0, scan_id=str(number), sha256=sha256, body=body)
        found.append(NewScan(record.scan_id, sha256, body, "bench", mask, record=record))
    return found


def numbered(scans: Sequence[NewScan], results: Sequence[Ingested]) -> list[Record]:
    """The records of scans that were journalled."""
    records = []
    for scan, result in zip(scans, results, strict=True):
        assert scan.record is not None
        scan.record.seq = result.seq
        records.append(scan.record)
    return records
