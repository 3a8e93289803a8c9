"""The simulated scanner itself: one bench, one scan at a time, its store and what it has learnt."""

import sqlite3
import threading
import time
from collections import deque
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec

from scribe_export.errors import ScribeExportError
from scribe_local.config import ScanConfig
from scribe_local.interpretation import Adaptation, Patterns, compare
from scribe_local.materials import MATERIALS
from scribe_local.scans import Bench, iso
from scribe_local.store import Store

_SEEDED_AT_ONCE = 100
_LOAD_OVER = 60.0
"""Seconds over which the load is measured."""


class UnknownScan(ScribeExportError):
    """No scan has this id."""


class Refused(ScribeExportError):
    """The request makes no sense; the message says why."""


class SimulatedScanner:
    """Performs and remembers scans; safe to call from several threads.

    `real_clock` stamps scans with the machine's time, otherwise with moments that follow from the seed. Raises
    `ScribeExportError` if the database cannot be used.
    """

    def __init__(self, database: Path, bench: Bench, *, real_clock: bool = False) -> None:
        self._lock = threading.Lock()
        self._bench = bench
        self._real_clock = real_clock
        self._started = time.monotonic()
        self._busy: deque[tuple[float, float]] = deque()
        try:
            self._store = Store(database)
            self._patterns = Patterns(self._store.adaptations())
        except (sqlite3.Error, ValueError, KeyError, TypeError) as error:
            raise ScribeExportError(f"{database}: not usable as the simulator's database: {error}") from None

    def close(self) -> None:
        """Safe twice."""
        with self._lock:
            self._store.close()

    def seed(self, scans: int) -> None:
        """Perform scans of all kinds until the store holds `scans`."""
        while True:
            with self._lock:
                count = min(scans - self._store.count(), _SEEDED_AT_ONCE)
                if count <= 0:
                    return
                self._store.add_scans(lambda number: self._perform(number, self._bench.any_config(number)), count)

    def scan(self, config: ScanConfig) -> bytes:
        """Perform one scan; its document."""
        with self._lock:
            begun = time.monotonic()
            try:
                return self._found(self._store.add_scans(lambda number: self._perform(number, config)))
            finally:
                self._busy.append((begun, time.monotonic()))

    def load(self) -> float:
        """The share of the last minute, or of the time since the start, in which scans were performed: 0 to 1."""
        now = time.monotonic()
        since = max(self._started, now - _LOAD_OVER)
        while self._busy and self._busy[0][1] < since:
            self._busy.popleft()
        return min(1.0, sum(ended - max(begun, since) for begun, ended in list(self._busy)) / max(now - since, 1e-3))

    def details(self, scan_id: int) -> bytes:
        """A scan's document. Raises `UnknownScan`."""
        with self._lock:
            return self._found(scan_id)

    def newest(self, limit: int) -> list[bytes]:
        """The documents of the last scans, the very last first."""
        with self._lock:
            return self._store.newest(limit)

    def feedback(self, scan_id: int, kind: str, data: dict[str, Any]) -> dict[str, Any]:
        """Keep feedback; a `material_correction` shifts later interpretations. Raises `UnknownScan` or `Refused`."""
        with self._lock:
            features = msgspec.json.decode(self._features(scan_id))
            adaptation = _lesson(data, features) if kind == "material_correction" else None
            feedback_id, adaptation_id = self._store.add_feedback(
                self._moment(scan_id), scan_id, kind, msgspec.json.encode(data), adaptation
            )
            if adaptation:
                self._patterns.adapt(adaptation)
        return {
            "feedback_id": feedback_id,
            "scan_id": scan_id,
            "feedback_type": kind,
            "status": "recorded",
            "adaptation_id": adaptation_id,
        }

    def compare(self, scan_ids: list[int]) -> dict[str, Any]:
        """How alike scans are, pair by pair. Raises `UnknownScan`."""
        with self._lock:
            features = {scan_id: msgspec.json.decode(self._features(scan_id)) for scan_id in scan_ids}
        pairs = compare(features)
        known = [pair for pair in pairs if pair["similarity"] is not None]
        best = max(known, key=lambda pair: float(pair["similarity"]), default=None)
        return {"scan_ids": scan_ids, "comparisons": pairs, "most_similar": best and best["scan_ids"]}

    def _perform(self, number: int, config: ScanConfig) -> tuple[str, dict[str, bytes]]:
        return self._moment(number), self._bench.perform(number, config, self._patterns)

    def _found(self, scan_id: int) -> bytes:
        found = self._store.scan(scan_id)
        if found is None:
            raise UnknownScan(f"scan {scan_id} not found")
        return found

    def _features(self, scan_id: int) -> str:
        found = self._store.features(scan_id)
        if found is None:
            raise UnknownScan(f"scan {scan_id} not found")
        return found

    def _moment(self, number: int) -> str:
        return iso(datetime.now(UTC)) if self._real_clock else self._bench.timestamp(number)


def _lesson(data: dict[str, Any], features: Any) -> Adaptation | None:
    material = data.get("correct_material")
    if not isinstance(material, str) or material not in MATERIALS:
        raise Refused(f"correct_material is {material!r:.40}; known are {', '.join(MATERIALS)}")
    heard = features.get("frequency_domain", {}) if isinstance(features, dict) else {}
    if "band_levels" not in heard or "band_coverage" not in heard:
        return None  # a scan added from outside, measured otherwise: nothing to learn from
    return Adaptation(material, heard["band_levels"], heard["band_coverage"])
