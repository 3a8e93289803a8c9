"""S3, by ministack: the same scans from one file of JSON lines, by scribe-export, the guide's function and the others.

Whole programs, from their start to their end, each run with a bucket of its own. With a delay every answer comes 15 ms
late, and the requests are counted on the way.
"""

import sys
import tempfile
from collections.abc import Callable, Mapping
from contextlib import nullcontext
from functools import partial
from itertools import count
from pathlib import Path
from typing import Any

from benchmarks import names, rivals
from benchmarks.counting import CountingProxy
from benchmarks.files import BATCHED, export
from benchmarks.inputs import Inputs
from benchmarks.measure import ROUNDS, Figures, Run, Spent, alternated, marginal, spend
from benchmarks.prices import bill

from scribe_local.cloud.aws import client
from scribe_local.proxy import Mode
from scribe_local.servers import ministack

SCANS = 10_000
FEW = 50
LATE = 0.015

Made = Callable[[Inputs, Path, int, str, str], Run]
"""A run for so many scans, with an empty folder, to a bucket at a URL."""


class Trials:
    """Runs against one server; `proxy` is before it if answers are to be late."""

    def __init__(self, inputs: Inputs, folder: Path, url: str, proxy: CountingProxy | None) -> None:
        self._inputs, self._folder, self._proxy = inputs, folder, proxy
        self._s3 = client(url, "s3")
        self._url = proxy.url if proxy else url
        self._numbers = count()
        self._stored: list[float] = []
        self._writes: list[int] = []

    def turn(self, made: Made, most: int) -> Figures:
        """One entrant's figures of a round."""
        self._stored, self._writes = [], []
        found = marginal(partial(self._run, made), FEW, most)
        further = most - FEW
        found["stored"] = (self._stored[1] - self._stored[0]) / further
        if self._proxy:
            found["writes"] = (self._writes[1] - self._writes[0]) / further
        return found

    def _run(self, made: Made, scans: int) -> Spent:
        bucket = f"bench-{'late' if self._proxy else 'once'}-{next(self._numbers)}"
        self._s3.create_bucket(Bucket=bucket)
        with tempfile.TemporaryDirectory(dir=self._folder) as place:
            program = made(self._inputs, Path(place), scans, bucket, self._url)
            before = self._proxy.writes if self._proxy else 0
            spent = spend(program)
            self._writes.append(self._proxy.writes - before if self._proxy else 0)
        self._stored.append(self._emptied(bucket))
        return spent

    def _emptied(self, bucket: str) -> float:
        size = 0.0
        for page in self._s3.get_paginator("list_objects_v2").paginate(Bucket=bucket):
            found = page.get("Contents", [])
            size += sum(one["Size"] for one in found)
            if found:
                self._s3.delete_objects(Bucket=bucket, Delete={"Objects": [{"Key": one["Key"]} for one in found]})
        return size


def measure() -> dict[str, Any]:
    """The part of the report."""
    versions = [rivals.DLT.version, rivals.SINGER_S3.version]
    rows: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory() as folder, ministack() as server:
        inputs = Inputs(Path(folder) / "in", SCANS)
        for late in (0.0, LATE):
            with CountingProxy(server.port) if late else nullcontext() as proxy:
                if proxy:
                    proxy.set(Mode.DELAY, delay=late)
                trials = Trials(inputs, Path(folder), server.url, proxy)
                turns = {name: partial(trials.turn, made, most) for name, (made, most) in ENTRANTS.items()}
                rows += [{"late": round(late * 1000), **row} for row in alternated(turns)]
    for row in rows:
        if "writes" in row:
            usage = {"aws_s3.put_requests": max(row["writes"]), "aws_s3.stored_bytes": max(row["stored"])}
            row["bill"] = bill(usage)
    return {"rounds": ROUNDS, "versions": versions, "rows": rows}


def _ours(inputs: Inputs, place: Path, scans: int, bucket: str, url: str, *, options: Mapping[str, Any]) -> Run:
    destination = {"type": "aws_s3", "bucket": bucket, "endpoint_url": url, "region": "us-east-1", **options}
    destination["auth"] = {"access_key_id": "test", "secret_access_key": "test"}
    return export(destination, inputs.lines(scans), place)


def _guide(inputs: Inputs, place: Path, scans: int, bucket: str, url: str, threads: int) -> Run:
    command = [sys.executable, "-m", "benchmarks.guide_s3", str(inputs.lines(scans)), bucket, str(threads)]
    keys = {"AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test", "AWS_ENDPOINT_URL": url}
    return Run(command, environment=keys)


def _dlt(inputs: Inputs, place: Path, scans: int, bucket: str, url: str, *, gzip: bool = True) -> Run:
    return rivals.dlt(inputs.lines(scans), f"s3://{bucket}/dlt", place / "work", gzip=gzip, s3=url)


def _singer(inputs: Inputs, place: Path, scans: int, bucket: str, url: str, *, gzip: bool = True) -> Run:
    return rivals.singer_s3(inputs.singer(scans), bucket, url, place, gzip=gzip)


ENTRANTS: Mapping[str, tuple[Made, int]] = {
    names.BATCHES: (partial(_ours, options=BATCHED | {"compression": "zstd"}), SCANS),
    names.BATCHES_GZIP: (partial(_ours, options=BATCHED | {"compression": "gzip"}), 5000),
    names.BATCHES_PLAIN: (partial(_ours, options=BATCHED), SCANS),
    names.OBJECT_EACH: (partial(_ours, options={"key": "scans/scan-{scan_id}.json"}), 800),
    names.GUIDE_S3: (partial(_guide, threads=1), 300),
    names.GUIDE_S3_THREADS: (partial(_guide, threads=32), 800),
    names.DLT_GZIP: (_dlt, 2500),
    names.DLT_PLAIN: (partial(_dlt, gzip=False), SCANS),
    names.SINGER_S3_GZIP: (_singer, 2500),
    names.SINGER_S3_PLAIN: (partial(_singer, gzip=False), 2500),
}
