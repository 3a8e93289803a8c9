"""The machine's own speed: a bare SQLite table of bodies, and a file appended and synced, in the same groups."""

import json
import os
import sqlite3
import sys
import tempfile
import time
from pathlib import Path

from benchmarks.scans import bodies

SCANS = 20_000
GROUP = 100


def sqlite_loop(folder: Path) -> float:
    """CPU microseconds a scan: insert, and delete those of ten groups ago, in one commit a group."""
    connection = sqlite3.connect(folder / "raw.db", isolation_level=None)
    for pragma in ("page_size=16384", "journal_mode=WAL", "synchronous=FULL", "secure_delete=OFF"):
        connection.execute(f"PRAGMA {pragma}")
    connection.execute("CREATE TABLE body(seq INTEGER PRIMARY KEY, bytes BLOB)")
    scans = bodies(SCANS)
    started = time.process_time()
    for start in range(0, SCANS, GROUP):
        connection.execute("BEGIN IMMEDIATE")
        connection.executemany("INSERT INTO body VALUES(?, ?)", enumerate(scans[start : start + GROUP], start))
        connection.execute("DELETE FROM body WHERE seq < ?", (start - 10 * GROUP,))
        connection.execute("COMMIT")
    spent = time.process_time() - started
    connection.close()
    return spent / SCANS * 1e6


def sync_loop(folder: Path) -> float:
    """CPU microseconds a scan: append a group to a file, then fdatasync."""
    scans = bodies(SCANS)
    started = time.process_time()
    with (folder / "raw.log").open("wb", buffering=0) as file:
        for start in range(0, SCANS, GROUP):
            file.write(b"".join(scans[start : start + GROUP]))
            getattr(os, "fdatasync", os.fsync)(file.fileno())
    return (time.process_time() - started) / SCANS * 1e6


if __name__ == "__main__":
    with tempfile.TemporaryDirectory(dir=os.environ.get("BENCH_DIR")) as path:
        json.dump(
            {
                "sqlite": sqlite_loop(Path(path)),
                "sync": sync_loop(Path(path)),
            },
            sys.stdout,
        )
