"""Metrics of each source of the config, and of what came without one: ``send``, ``python``, ``scanner`` and others."""

from collections.abc import Callable, Iterator

from scribe_export.arrivals import Arrived
from scribe_export.endpoint.exposition import Metric, Sample
from scribe_export.endpoint.snapshot import Snapshot, SourceView
from scribe_export.source_states import STATES

_LABELS = ("source",)


def _each(read: Callable[[SourceView], float | None]) -> Callable[[Snapshot], Iterator[Sample]]:
    def samples(snapshot: Snapshot) -> Iterator[Sample]:
        for view in snapshot.sources:
            value = read(view)
            if value is not None:
                yield (view.state.name,), value

    return samples


def _all(
    of_source: Callable[[SourceView], float], of_others: Callable[[Arrived], float]
) -> Callable[[Snapshot], Iterator[Sample]]:
    def samples(snapshot: Snapshot) -> Iterator[Sample]:
        yield from (((view.state.name,), of_source(view)) for view in snapshot.sources)
        yield from (((name,), of_others(arrived)) for name, arrived in snapshot.others.items() if arrived.taken)

    return samples


def _states(snapshot: Snapshot) -> Iterator[Sample]:
    for view in snapshot.sources:
        yield from (((view.state.name, state), int(view.state.state == state)) for state in STATES)


METRICS = (
    Metric("source_taken_total", "counter",
           "Bodies journalled, and so acknowledged, whatever they turned out to be; requests too. From 0 at a start.",
           _LABELS, _all(lambda view: view.state.taken, lambda arrived: arrived.taken)),
    Metric("source_duplicates_total", "counter", "Of those, scans that came before, with equal JSON. From 0 at a start.",
           _LABELS, _all(lambda view: view.arrived.duplicates, lambda arrived: arrived.duplicates)),
    Metric("source_conflicts_total", "counter",
           "Of those, scans whose id came before with other content. From 0 at a start.",
           _LABELS, _all(lambda view: view.arrived.conflicts, lambda arrived: arrived.conflicts)),
    Metric("source_rejected_total", "counter",
           "Of those, bodies that are no scans, or requests that can never be performed. From 0 at a start.",
           _LABELS, _all(lambda view: view.arrived.invalid + view.refused, lambda arrived: arrived.invalid)),
    Metric("source_lag_seconds", "gauge",
           "How old the newest scan was, by its own timestamp, when it was taken; none for one without a timestamp.",
           _LABELS, _each(lambda view: view.arrived.lag)),
    Metric("source_last_taken_timestamp_seconds", "gauge",
           "When it last brought something, in seconds since the epoch; none before the first since the start.",
           _LABELS, _each(lambda view: view.last_taken)),
    Metric("source_failures_total", "counter", "Times that it could not be read, each tried again. From 0 at a start.",
           _LABELS, _each(lambda view: view.failures)),
    Metric("source_gaps_total", "counter",
           "Times that it found scans missed which cannot be got any more. From 0 at a start.",
           _LABELS, _each(lambda view: view.gaps)),
    Metric("source_state", "gauge",
           "1 for what it is doing, 0 for the others: reading; held, and tried again; stopped, until something is "
           "mended; ended, all is read.",
           ("source", "state"), _states),
)  # fmt: skip
