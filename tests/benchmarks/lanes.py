"""Routing and lanes: a whole exporter with seven destinations that take everything at once, its two threads apart."""

import json
import os
import sys
import tempfile
import threading
import time
from collections.abc import AsyncIterator
from pathlib import Path

import anyio
from benchmarks.scans import bodies

from scribe_export import config, logs, registry
from scribe_export.exporter import Exporter
from scribe_export.interface import Checkpoint, Sink, Source
from scribe_export.model import BatchLimits, Delivery, Encoded, Incoming

DESTINATIONS = 7
SCANS = 20_000
GROUP = 100
SOURCE = bodies(SCANS)


class Taking(Sink):
    """Takes everything and keeps nothing."""

    limits = BatchLimits(max_records=GROUP)

    async def write(self, encoded: Encoded) -> str | None:
        return "taken"


class Giving(Source):
    """Gives what is in memory, in groups."""

    async def deliveries(self, checkpoint: Checkpoint) -> AsyncIterator[Delivery]:
        for start in range(0, SCANS, GROUP):
            yield Delivery([Incoming(body) for body in SOURCE[start : start + GROUP]])


async def measure(path: Path) -> dict[str, float]:
    """CPU microseconds a scan of the loop's thread and of the store's."""
    async with Exporter(config.load(path), once=True) as exporter:
        store = next(thread for thread in threading.enumerate() if thread.name == "store")
        assert store.ident is not None
        clock = time.pthread_getcpuclockid(store.ident)
        loop_started, store_started = time.thread_time(), time.clock_gettime(clock)
        await exporter.until_idle(300)
        loop, stored = time.thread_time() - loop_started, time.clock_gettime(clock) - store_started
    return {
        "loop": loop / SCANS * 1e6,
        "store": stored / SCANS * 1e6,
    }


def main() -> None:
    """Print the figures."""
    logs.configure("error")
    registry.register_sink("taking", Taking)
    registry.register_source("giving", Giving)
    with tempfile.TemporaryDirectory(dir=os.environ.get("BENCH_DIR")) as folder:
        path = Path(folder) / "export.yaml"
        destinations = "".join(f"  d{number}: {{type: taking}}\n" for number in range(DESTINATIONS))
        path.write_text(f"sources: {{all: {{type: giving}}}}\ndestinations:\n{destinations}", encoding="utf-8")
        json.dump(anyio.run(measure, path), sys.stdout)


if __name__ == "__main__":
    main()
