"""`docs/benchmarks.md`, its plots and the README's figures, all made of `docs/benchmarks/figures.json` alone."""

import json
import re
from pathlib import Path
from statistics import median
from string import Template

from benchmarks.fields import fields, stages_of
from benchmarks.names import ALL, DESTINATIONS, STAGES
from benchmarks.plots import bars, stacks
from benchmarks.tables import Part, Row, late, number

HERE = Path(__file__).parent
DOCS = HERE.parents[1] / "docs"
FIGURES = DOCS / "benchmarks" / "figures.json"
README = DOCS.parent / "README.md"
MARKED = re.compile(r"(<!-- figures -->\n).*?(<!-- /figures -->)", re.DOTALL)
"""Where the README has its figures."""


def load() -> Part:
    """The figures as they were measured last."""
    found: Part = json.loads(FIGURES.read_text("utf-8"))
    return found


def written(figures: Part) -> dict[Path, str]:
    """Every file that the report is made of, with its text; the README only if it has a place for figures."""
    made = {DOCS / "benchmarks.md": _filled("report.md", figures)}
    made |= {DOCS / "benchmarks" / f"{name}.svg": text for name, text in plots(figures["parts"]).items()}
    readme = in_readme(figures, README.read_text("utf-8"))
    return made if readme is None else made | {README: readme}


def in_readme(figures: Part, readme: str) -> str | None:
    """The README with its figures between the markers; None if it has no markers."""
    if not MARKED.search(readme):
        return None
    block = _filled("readme.md", figures)
    return MARKED.sub(lambda found: found[1] + block + found[2], readme)


def _filled(template: str, figures: Part) -> str:
    return Template((HERE / template).read_text("utf-8")).substitute(fields(figures["parts"]))


def plots(parts: Part) -> dict[str, str]:
    """SVG by name."""
    stages = {name: [max(stages_of(parts, name, stage), 0.0) for stage in STAGES] for name in (*DESTINATIONS, ALL)}
    cloud = "CPU microseconds a scan, answers at once, in powers of ten"
    return {
        "files": _cpu("Local files: CPU microseconds a scan, in powers of ten", parts["files"]["rows"]),
        "s3": _cpu(f"S3: {cloud}", late(parts["s3"], 0)),
        "seven": _cpu(f"Seven cloud services: {cloud}", late(parts["clouds"], 0)),
        "stages": stacks("CPU microseconds a scan, stage by stage", STAGES, stages),
    }


def _cpu(title: str, rows: list[Row]) -> str:
    values = {row["who"]: median(row["cpu"]) for row in rows}
    return bars(title, values, ours="scribe-export", told={who: number(value) for who, value in values.items()})
