"""Where the demo's scans come from: a person at the scanner, and another program in its database."""

import json
import random
import sqlite3
import threading
import time
from contextlib import closing
from pathlib import Path
from types import TracebackType
from typing import Self

import httpx

from scribe_local.config import SIGNAL_TYPES

NOTE = (
    "oak (I think), left side panel of the 1911 sideboard, measured twice: once dry and once after the humidifier had "
    "run all night; the veneer is loose in the upper corner, so do not trust the decay times, ask Maria before using it"
)
"""What somebody typed where the material's name belongs."""


class Scanning:
    """Asks the scanner for one scan after another, from a thread of its own, while the block lasts."""

    def __init__(self, url: str, rate: float, seed: int) -> None:
        self.failure: Exception | None = None
        self._url, self._rate = url, rate
        self._choice = random.Random(seed)  # noqa: S311 - which scans are asked for is no secret
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run, name="scanning", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.end()

    def end(self) -> None:
        """The last scan is complete when this returns. Safe twice."""
        self._over.set()
        self._thread.join()

    def _run(self) -> None:
        try:
            with httpx.Client(base_url=self._url, timeout=30, trust_env=False) as client:
                due = time.monotonic()
                while not self._over.wait(max(0.0, due - time.monotonic())):
                    client.post("/scan", json=self._request()).raise_for_status()
                    due = max(due + 1 / self._rate, time.monotonic() - 0.5)
        except httpx.HTTPError as error:
            self.failure = error

    def _request(self) -> dict[str, str | float]:
        return {
            "signal_type": self._choice.choice(SIGNAL_TYPES),
            "frequency": round(110 * 2 ** self._choice.uniform(0, 5), 1),
            "duration": round(self._choice.uniform(0.5, 4.0), 1),
            "amplitude": round(self._choice.uniform(0.2, 0.9), 2),
        }


def add_scan_with_note(database: Path) -> int:
    """Add a scan as another program, in the way of the integration guide: the last one once more, with `NOTE` for its
    material. Returns its id."""
    columns = "timestamp, signals, response, features, interpretation, config"
    with closing(sqlite3.connect(database, timeout=10)) as connection, connection:
        row = list(
            connection.execute(f"SELECT {columns} FROM scan_results ORDER BY id DESC LIMIT 1").fetchone()  # noqa: S608 - constant
        )
        interpretation = json.loads(row[4])
        interpretation["pattern_matches"]["materials"][0]["material"] = NOTE
        row[4] = json.dumps(interpretation)
        added = connection.execute(f"INSERT INTO scan_results ({columns}) VALUES (?, ?, ?, ?, ?, ?)", row)  # noqa: S608 - constant
        return int(added.lastrowid or 0)
