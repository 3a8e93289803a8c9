"""The guide's function for S3, by itself: ``python -m benchmarks.guide_s3 FOLDER BUCKET THREADS``.

The endpoint comes from the environment, as for any program of boto3.
"""

import json
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from benchmarks.guide_script import silent
from support.guide import load


def main(folder: str, bucket: str, threads: str) -> None:
    """Upload every scan of the folder's file."""
    aws = load("AWS Integration", print=silent).ScribeAWSIntegration("us-east-1")

    def upload(line: str) -> None:
        scan = json.loads(line)
        aws.upload_scan_to_s3(scan, bucket, f"scans/scan-{scan['scan_id']}.json")

    with (Path(folder) / "scans.jsonl").open() as lines:
        if int(threads) == 1:
            for line in lines:
                upload(line)
            return
        with ThreadPoolExecutor(int(threads)) as pool:
            list(pool.map(upload, lines))


if __name__ == "__main__":
    main(*sys.argv[1:])
