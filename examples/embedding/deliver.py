"""Hands scans over from a program: when `deliver` returns, a scan is on the disk, and its destinations will have it."""

import sys

import anyio

from scribe_export import Exporter


async def main(config: str, scans: list[str]) -> None:
    """Deliver each file, and wait until everything has arrived."""
    async with Exporter.from_file(config) as exporter:
        for path in scans:
            accepted = await exporter.deliver(await anyio.Path(path).read_bytes())
            print(f"scan {accepted.scan_id} is {accepted.outcome}, on its way to {', '.join(accepted.destinations)}")
        if not await exporter.until_idle(max_wait=60):
            print("not everything could be delivered; the next run goes on with it")


if __name__ == "__main__":
    anyio.run(main, sys.argv[1], sys.argv[2:])
