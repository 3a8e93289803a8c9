"""Resident memory of an exporter whose only destination is down while scans pile up in the journal."""

import json
import os
import sys
import tempfile
from pathlib import Path

import anyio

from scribe_export import config, logs, registry
from scribe_export.errors import Transient
from scribe_export.exporter import Exporter
from scribe_export.interface import Sink
from scribe_export.model import BatchLimits, Encoded

GROUP = 500


class Down(Sink):
    """Refuses every connection."""

    limits = BatchLimits(max_records=100)

    async def write(self, encoded: Encoded) -> str | None:
        raise Transient("connection refused", applied="no")


async def measure(path: Path, waiting: int) -> float:
    """MiB resident once that many scans wait."""
    async with Exporter(config.load(path)) as exporter:
        for start in range(0, waiting, GROUP):
            await exporter.accept([_small(number) for number in range(start, start + GROUP)], source="bench")
        return resident()


def _small(number: int) -> bytes:
    return b'{"scan_id":%d,"features":"%s"}' % (number, b"x" * 200)


def resident() -> float:
    """MiB of this process, now."""
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20


def most_resident() -> float:
    """MiB of this process, at its largest."""
    status = Path("/proc/self/status").read_text(encoding="ascii")
    return int(status.split("VmHWM:")[1].split()[0]) / 1024


def main(waiting: int) -> dict[str, float]:
    """Print the figure."""
    logs.configure("error")
    registry.register_sink("down", Down)
    with tempfile.TemporaryDirectory(dir=os.environ.get("BENCH_DIR")) as folder:
        path = Path(folder) / "export.yaml"
        path.write_text("destinations: {gone: {type: down}}\n", encoding="utf-8")
        return {"rss": anyio.run(measure, path, waiting)}


if __name__ == "__main__":
    json.dump(main(int(sys.argv[1])), sys.stdout)
