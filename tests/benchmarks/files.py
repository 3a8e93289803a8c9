"""Local files: the same scans from one file of JSON lines, by scribe-export and by the others.

Whole programs, from their start to their end. A script is run with fewer scans where it would only take longer.
"""

import json
import shutil
import sys
import tempfile
from collections.abc import Callable, Mapping
from functools import partial
from itertools import count
from pathlib import Path
from typing import Any

from benchmarks import names, rivals
from benchmarks.inputs import Inputs
from benchmarks.measure import ROUNDS, Figures, Run, alternated, marginal, spend

SCANS = 20_000
FEW = 100
LOOP = Path(__file__).with_name("loop_script.py")

Made = Callable[[Inputs, Path, int], tuple[Run, Path]]
"""A run for so many scans with an empty folder of its own, and where it stores them."""


def measure() -> dict[str, Any]:
    """The part of the report."""
    versions = [rivals.DLT.version, rivals.SINGER.version]
    with tempfile.TemporaryDirectory() as folder:
        inputs, numbers = Inputs(Path(folder) / "in", SCANS), count()
        turns = {
            name: partial(_turn, inputs, Path(folder), numbers, made, most) for name, (made, most) in _ENTRANTS.items()
        }
        rows = alternated(turns)
    return {"rounds": ROUNDS, "versions": versions, "rows": rows}


def _turn(inputs: Inputs, folder: Path, numbers: "count[int]", made: Made, most: int) -> Figures:
    stored = 0.0

    def run(scans: int) -> Any:
        nonlocal stored
        place = folder / f"run-{next(numbers)}"
        place.mkdir()
        program, output = made(inputs, place, scans)
        spent = spend(program)
        stored = sum(path.stat().st_size for path in output.rglob("*") if path.is_file()) / scans
        shutil.rmtree(place)
        return spent

    return marginal(run, FEW, most) | {"stored": stored}


def export(destination: Mapping[str, Any], source: Path, place: Path) -> Run:
    """scribe-export with one destination and a journal, until all is delivered."""
    document = {
        "sources": {"scans": {"type": "file", "path": f"{source}/*.jsonl"}},
        "destinations": {"out": destination},
    }
    config = place / "export.yaml"
    config.write_text(json.dumps(document), "utf-8")
    return Run([sys.executable, "-m", "scribe_export", "run", str(config), "--until-idle"])


def _ours(inputs: Inputs, place: Path, scans: int, *, options: Mapping[str, Any]) -> tuple[Run, Path]:
    destination = {"type": "file", "directory": str(place / "out"), **options}
    return export(destination, inputs.lines(scans), place), place / "out"


def _dlt(inputs: Inputs, place: Path, scans: int, **options: Any) -> tuple[Run, Path]:
    out = place / "out"
    return rivals.dlt(inputs.lines(scans), out.as_uri(), place / "work", **options), out / "scans"


def _singer(inputs: Inputs, place: Path, scans: int) -> tuple[Run, Path]:
    return rivals.singer(inputs.singer(scans), place / "out"), place / "out"


def _loop(inputs: Inputs, place: Path, scans: int, threads: int) -> tuple[Run, Path]:
    command = [sys.executable, "-S", str(LOOP), str(inputs.lines(scans)), str(place / "out"), str(threads)]
    return Run(command), place / "out"


BATCHED: dict[str, Any] = {"key": "scans/{batch_id}.{ext}", "batch": {"max_records": 500}}
_ENTRANTS: Mapping[str, tuple[Made, int]] = {
    names.BATCHES: (partial(_ours, options=BATCHED | {"compression": "zstd"}), SCANS),
    names.BATCHES_GZIP: (partial(_ours, options=BATCHED | {"compression": "gzip"}), 5000),
    names.BATCHES_PLAIN: (partial(_ours, options=BATCHED), SCANS),
    names.FILE_EACH: (partial(_ours, options={"key": "scans/scan-{scan_id}.json"}), 4000),
    names.LOOP: (partial(_loop, threads=1), 4000),
    names.LOOP_THREADS: (partial(_loop, threads=32), 4000),
    names.DLT_GZIP: (_dlt, 4000),
    names.DLT_PLAIN: (partial(_dlt, gzip=False), SCANS),
    names.DLT_UNNESTING: (partial(_dlt, unnest=True), 400),
    names.SINGER: (_singer, 8000),
}
