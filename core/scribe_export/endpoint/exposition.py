"""Metrics as Prometheus reads them (https://prometheus.io/docs/instrumenting/exposition_formats/)."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import Literal

from scribe_export.endpoint.snapshot import Snapshot
from scribe_export.histogram import Histogram

PREFIX = "scribe_export_"
CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
OPEN_CONTENT_TYPE = "application/openmetrics-text; version=1.0.0; charset=utf-8"

Value = float | Histogram
Sample = tuple[tuple[str, ...], Value]
"""The labels' values, and its own."""


@dataclass(frozen=True, slots=True)
class Metric:
    """`name` is without the prefix, a counter's with ``_total``; `read` gives the samples that there are."""

    name: str
    kind: Literal["counter", "gauge", "histogram"]
    meaning: str
    labels: Sequence[str]
    read: Callable[[Snapshot], Iterable[Sample]]


def exposed(metrics: Iterable[Metric], snapshot: Snapshot, *, openmetrics: bool = False) -> str:
    """All of them; as OpenMetrics (https://prometheus.io/docs/specs/om/open_metrics_spec/) if that is asked for."""
    lines: list[str] = []
    for metric in metrics:
        name = PREFIX + metric.name
        family = name.removesuffix("_total") if openmetrics and metric.kind == "counter" else name
        lines += [f"# HELP {family} {_help(metric.meaning)}", f"# TYPE {family} {metric.kind}"]
        for values, value in metric.read(snapshot):
            labels = dict(zip(metric.labels, values, strict=True))
            if isinstance(value, Histogram):
                lines += _buckets(name, labels, value)
            else:
                lines.append(_line(name, labels, value))
    return "\n".join([*lines, *(["# EOF"] if openmetrics else []), ""])


def _buckets(name: str, labels: Mapping[str, str], histogram: Histogram) -> Iterator[str]:
    counts = list(accumulate(histogram.counts))
    for bound, count in zip((*histogram.bounds, float("inf")), counts, strict=True):
        yield _line(f"{name}_bucket", {**labels, "le": _number(float(bound))}, count)
    yield _line(f"{name}_sum", labels, histogram.total)
    yield _line(f"{name}_count", labels, counts[-1])


def _line(name: str, labels: Mapping[str, str], value: float) -> str:
    inside = ",".join(f'{label}="{_label(text)}"' for label, text in labels.items())
    return f"{name}{{{inside}}} {_number(value)}" if inside else f"{name} {_number(value)}"


def _number(value: float) -> str:
    return "+Inf" if value == float("inf") else repr(value)


def _label(text: str) -> str:
    return text.replace("\\", "\\\\").replace("\n", "\\n").replace('"', '\\"')


def _help(text: str) -> str:
    return text.replace("\\", "\\\\").replace("\n", "\\n")
