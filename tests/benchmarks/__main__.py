"""`make bench`: the figures, each beside others of the same run, and the report that is made of them.

Nothing here passes or fails. `BENCH_ROUNDS` says how many rounds, `BENCH_ONLY` which parts, such as ``files,s3``; the
other parts keep the figures they had. ``BENCH_ONLY=page`` measures nothing and only writes the report anew.
"""

import importlib
import json
import os
import platform
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from benchmarks import page

PARTS = ("core", "files", "s3", "clouds", "stages")


def main() -> None:
    """Measure what is asked for, keep the figures, write the report."""
    asked = [name for name in os.environ.get("BENCH_ONLY", ",".join(PARTS)).split(",") if name != "page"]
    if unknown := set(asked) - set(PARTS):
        sys.exit(f"BENCH_ONLY: {', '.join(sorted(unknown))} is none of {', '.join((*PARTS, 'page'))}")
    figures: dict[str, Any] = dict(page.load()) if page.FIGURES.exists() else {"parts": {}}
    for name in asked:
        print(f"== {name}", file=sys.stderr)
        measured = importlib.import_module(f"benchmarks.{name}").measure()
        figures["parts"][name] = {"date": f"{datetime.now(UTC):%Y-%m-%d}", "machine": machine(), **measured}
        page.FIGURES.parent.mkdir(exist_ok=True)
        page.FIGURES.write_text(json.dumps(figures, indent=1) + "\n", "utf-8")
    if missing := set(PARTS) - set(figures["parts"]):
        sys.exit(f"no report yet, for it lacks {', '.join(sorted(missing))}")
    for path, text in page.written(figures).items():
        path.write_text(text, "utf-8")
        print(f"wrote {path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path}")


def machine() -> str:
    """What it was measured on."""
    try:
        lines = Path("/proc/cpuinfo").read_text("utf-8").splitlines()
    except OSError:
        lines = []
    model = next((line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), platform.machine())
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    system = f"{platform.system()} {'.'.join(platform.release().split('.')[:2])}"
    return f"{os.cpu_count()} cores of {model}, {memory:.0f} GiB, {system}, Python {platform.python_version()}"


if __name__ == "__main__":
    main()
