"""A load by dlt, as its documentation writes one: ``python dlt_load.py FOLDER URL WORK [unnest]``.

It reads pages of 1,000 lines with dlt's own reader, and keeps each scan whole: with ``unnest`` it does what dlt does
unless told otherwise, which is a row for each number of the audio. https://dlthub.com/docs/reference/performance
"""

import sys
from typing import Any

import dlt
from dlt.sources.filesystem import filesystem, read_jsonl


def main(folder: str, destination: str, work: str, unnest: str = "") -> None:
    """Extract, normalize and load."""
    scans: Any = (filesystem(bucket_url=folder, file_glob="*.jsonl") | read_jsonl(chunksize=1000)).with_name("scans")
    if not unnest:
        scans.max_table_nesting = 0
    place = dlt.destinations.filesystem(bucket_url=destination)
    pipeline = dlt.pipeline("bench", pipelines_dir=work, destination=place, dataset_name="scans")
    pipeline.run(scans, loader_file_format="jsonl").raise_on_failed_jobs()


if __name__ == "__main__":
    main(*sys.argv[1:])
