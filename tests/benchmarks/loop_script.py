"""The least script that keeps scans as files, in the manner of the guide's functions, which has none for files:
``python loop_script.py FOLDER DIRECTORY THREADS``. A file a scan, nothing synced."""

import json
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path


def store(directory: Path, line: str) -> None:
    """Store scan data in a file."""
    scan = json.loads(line)
    (directory / f"scan-{scan['scan_id']}.json").write_text(json.dumps(scan))


def main(folder: str, directory: str, threads: str) -> None:
    """One after another, or in threads."""
    Path(directory).mkdir(parents=True)
    with (Path(folder) / "scans.jsonl").open() as lines:
        if int(threads) == 1:
            for line in lines:
                store(Path(directory), line)
            return
        with ThreadPoolExecutor(int(threads)) as pool:
            list(pool.map(lambda line: store(Path(directory), line), lines))


if __name__ == "__main__":
    main(*sys.argv[1:])
