"""The report of the benchmarks is what the generator makes of the figures that were measured, and nobody's hand's."""

from pathlib import Path
from xml.dom.expatbuilder import parseString

import pytest
from benchmarks import page
from benchmarks.plots import SIZE_LIMIT

FIGURES = page.load()
WRITTEN = page.written(FIGURES)


@pytest.mark.parametrize("path", WRITTEN, ids=lambda path: path.name)
def test_a_page_with_figures_is_what_is_made_of_them(path: Path) -> None:
    assert path.read_text("utf-8") == WRITTEN[path], "run `make bench BENCH_ONLY=page`"


def test_plots_are_small_and_whole() -> None:
    plots = page.plots(FIGURES["parts"])
    assert len(plots) == 4
    for text in plots.values():
        assert len(text.encode()) < SIZE_LIMIT
        parseString(text)  # noqa: S316 - our own text


def test_every_place_in_the_report_is_filled_and_every_plot_is_shown() -> None:
    report = WRITTEN[page.DOCS / "benchmarks.md"]
    assert all(f"(benchmarks/{name}.svg)" in report for name in page.plots(FIGURES["parts"]))
    assert "nan" not in report.split()


def test_figures_of_the_readme_come_from_the_report() -> None:
    readme = "# Us\n\n<!-- figures -->\nforty times\n<!-- /figures -->\n\nMore.\n"
    made = page.in_readme(FIGURES, readme)
    assert made is not None
    assert "forty times" not in made
    assert made.startswith("# Us\n\n<!-- figures -->\n- ")
    assert made.endswith("\n<!-- /figures -->\n\nMore.\n")
    assert page.in_readme(FIGURES, made) == made
    assert page.in_readme(FIGURES, "# Us\n") is None
