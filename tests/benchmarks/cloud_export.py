"""A whole exporter on the local cloud: scans from memory, journalled, to seven destinations in batches.

Run with the local cloud's destinations as JSON; prints CPU microseconds a scan, of all threads, and scans a second until
the last destination has confirmed its last scan. With ``stages`` it prints the microseconds of each stage instead,
and with ``behind`` of reading back alone.
"""

import json
import os
import sys
import tempfile
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import anyio
from benchmarks.memory import most_resident
from benchmarks.scans import bodies
from benchmarks.stopwatch import Stopwatch

from scribe_export import config, logs, registry
from scribe_export.exporter import Exporter
from scribe_export.interface import Checkpoint, Source
from scribe_export.journal.status import journal_status
from scribe_export.model import Delivery, Incoming

GROUP = 500
WARM = 50
FOUND: list[bytes] = []
WARMED = anyio.Event()


class Giving(Source):
    """Gives what is in memory: a few scans, and once these are delivered the others, in groups."""

    async def deliveries(self, checkpoint: Checkpoint) -> AsyncIterator[Delivery]:
        yield Delivery([Incoming(body) for body in FOUND[:WARM]])
        await WARMED.wait()
        for start in range(WARM, len(FOUND), GROUP):
            yield Delivery([Incoming(body) for body in FOUND[start : start + GROUP]])


async def measure(path: Path, stopwatch: Stopwatch | None) -> dict[str, Any]:
    """The figures of one run, after clients and connections were made."""
    async with Exporter(config.load(path), once=True) as exporter:
        await _warm(exporter)
        if stopwatch:
            stopwatch.start(exporter)
        cpu, wall = time.process_time(), time.monotonic()
        WARMED.set()
        done = await exporter.until_idle(300)
        cpu, wall = time.process_time() - cpu, time.monotonic() - wall
        stages = stopwatch.stop(len(FOUND) - WARM) if stopwatch else {}
        status = await exporter.store.do(lambda db: journal_status(db.connection, db.clock.now()))
        assert done, [(one.name, one.pending, one.last_error) for one in status.destinations]
        assert not any(one.dead for one in status.destinations)
    count = len(FOUND) - WARM
    return stages or {"cpu": cpu / count * 1e6, "rate": count / wall, "peak": most_resident()}


async def measure_behind(path: Path, stopwatch: Stopwatch) -> dict[str, Any]:
    """What reading back costs when everything was journalled before the lanes began, as after a restart."""
    WARMED.set()
    async with Exporter(config.load(path), once=True, lanes=False) as exporter:
        assert await exporter.until_idle(300)
    count = len(FOUND)
    FOUND.clear()
    async with Exporter(config.load(path), once=True) as exporter:
        stopwatch.start(exporter)
        assert await exporter.until_idle(300)
        return {"read back": stopwatch.stop(count)["read back"]}


async def _warm(exporter: Exporter) -> None:
    exporter.flush()
    deadline = time.monotonic() + 120
    while not all(lane.idle for lane in exporter.lanes.values()):
        assert time.monotonic() < deadline
        await exporter.clock.sleep(0.05)
    for lane in exporter.lanes.values():
        lane.flush = False


def main() -> None:
    """Print the figures."""
    asked = json.loads(sys.argv[1])
    FOUND.extend(bodies(asked["scans"], seed=asked["seed"], distinct=asked["scans"]))
    logs.configure("error")
    registry.register_source("giving", Giving)
    stopwatch = Stopwatch() if asked["stages"] else None
    if stopwatch:
        stopwatch.wrap_all()
    with tempfile.TemporaryDirectory(dir=os.environ.get("BENCH_DIR")) as folder:
        path = Path(folder) / "export.yaml"
        document = {"sources": {"all": {"type": "giving"}}, "destinations": asked["destinations"]}
        path.write_text(json.dumps(document | {"connections": asked["connections"]}), encoding="utf-8")
        if stopwatch and asked["behind"]:
            json.dump(anyio.run(measure_behind, path, stopwatch), sys.stdout)
        else:
            json.dump(anyio.run(measure, path, stopwatch), sys.stdout)


if __name__ == "__main__":
    main()
