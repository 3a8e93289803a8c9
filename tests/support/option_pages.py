"""The tables of options in the documentation, made from the models."""

import re

from scribe_export import registry
from scribe_export.cli.option_table import option_rows
from scribe_export.config.outer import Outer
from scribe_export.options import Options, ScannerOptions, SinkOptions, SourceOptions

COMMON: dict[str, type[Options]] = {
    "top": Outer,
    "destination": SinkOptions,
    "source": SourceOptions,
    "scanner": ScannerOptions,
}
SHARED: dict[str, type[Options]] = {"sinks": SinkOptions, "sources": SourceOptions, "scanners": ScannerOptions}
MARKED = re.compile(r"<!-- options: ([a-z0-9_ ]+) -->\n(.*?)<!-- end -->", re.DOTALL)


def with_tables(page: str) -> str:
    """A page with each marked place filled anew."""
    return MARKED.sub(lambda found: f"<!-- options: {found[1]} -->\n{table(found[1])}<!-- end -->", page)


def table(what: str) -> str:
    """The Markdown table for ``top`` or ``sinks aws_s3``."""
    if what in COMMON:
        rows = option_rows(COMMON[what])
    else:
        kind, name = what.split()
        model = registry.find(kind, name).options_type  # type: ignore[arg-type]  # a page's mark is text
        rows = option_rows(model, without=SHARED[kind])
    lines = ["| option | value | default | meaning |", "|---|---|---|---|"]
    for row in rows:
        assert row.meaning, f"{what}: {row.option} has no docstring in its model"
        meaning = row.meaning.replace("|", "\\|")
        lines.append(f"| `{row.option}` | {row.value} | {row.default} | {meaning} |")
    return "\n".join(lines) + "\n"
