"""The tables of metrics in the documentation, made from the catalogue."""

import re
from collections.abc import Mapping, Sequence

from scribe_export.endpoint import of_destinations, of_sources, of_the_journal
from scribe_export.endpoint.exposition import PREFIX, Metric

SECTIONS: Mapping[str, Sequence[Metric]] = {
    "destinations": of_destinations.METRICS,
    "sources": of_sources.METRICS,
    "journal": of_the_journal.METRICS,
}
MARKED = re.compile(r"<!-- metrics: ([a-z]+) -->\n(.*?)<!-- end -->", re.DOTALL)


def with_metrics(page: str) -> str:
    """A page with each marked place filled anew."""
    return MARKED.sub(lambda found: f"<!-- metrics: {found[1]} -->\n{table(found[1])}<!-- end -->", page)


def table(section: str) -> str:
    """The Markdown table of one section."""
    lines = ["| metric | type | labels | meaning |", "|---|---|---|---|"]
    for metric in SECTIONS[section]:
        labels = ", ".join(f"`{label}`" for label in metric.labels) or "-"
        lines.append(f"| `{PREFIX}{metric.name}` | {metric.kind} | {labels} | {metric.meaning} |")
    return "\n".join(lines) + "\n"
