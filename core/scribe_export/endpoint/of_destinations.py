"""Metrics of each destination; those that the journal keeps count on over a restart."""

from collections.abc import Callable, Iterator

from scribe_export.endpoint.exposition import Metric, Sample, Value
from scribe_export.endpoint.snapshot import DestinationView, Snapshot
from scribe_export.lane.measured import OUTCOMES, LaneMeter
from scribe_export.patterns import CircuitState

_LABELS = ("destination",)


def _each(read: Callable[[DestinationView], Value]) -> Callable[[Snapshot], Iterator[Sample]]:
    return lambda snapshot: (((view.kept.name,), read(view)) for view in snapshot.destinations)


def _sent(read: Callable[[LaneMeter], Value]) -> Callable[[Snapshot], Iterator[Sample]]:
    """Of destinations in the config alone: to no other anything is sent."""
    return lambda snapshot: (
        ((view.kept.name,), read(view.meter)) for view in snapshot.destinations if view.meter is not None
    )


def _attempts(snapshot: Snapshot) -> Iterator[Sample]:
    for view in snapshot.destinations:
        if view.meter is not None:
            yield from (((view.kept.name, outcome), view.meter.attempts[outcome]) for outcome in OUTCOMES)


def _breakers(snapshot: Snapshot) -> Iterator[Sample]:
    for view in snapshot.destinations:
        yield from (((view.kept.name, state.value), int(view.breaker == state.value)) for state in CircuitState)


def _buried(snapshot: Snapshot) -> Iterator[Sample]:
    yield from (((name, kind), count) for (name, kind), count in sorted(snapshot.journal.buried.items()) if name)


METRICS = (
    Metric("delivered_scans_total", "counter", "Scans that the destination confirmed. Kept in the journal.",
           _LABELS, _each(lambda view: view.kept.delivered)),
    Metric("delivered_bytes_total", "counter", "Bytes of the raw bodies of those scans. Kept in the journal.",
           _LABELS, _each(lambda view: view.kept.delivered_bytes)),
    Metric("pending_scans", "gauge", "Scans that are neither delivered nor dead there.",
           _LABELS, _each(lambda view: view.pending)),
    Metric("pending_bytes", "gauge", "Bytes of the raw bodies of those scans.",
           _LABELS, _each(lambda view: view.pending_bytes)),
    Metric("oldest_pending_age_seconds", "gauge",
           "How long ago the oldest of those scans was journalled; 0 if none waits.",
           _LABELS, _each(lambda view: view.kept.oldest or 0.0)),
    Metric("dead_letters", "gauge", "Scans that are dead letters there now, until somebody replays or discards them.",
           _LABELS, _each(lambda view: view.kept.dead)),
    Metric("dead_lettered_scans_total", "counter",
           "Scans that became dead letters there, by the class that dlq list shows. From 0 at a start.",
           ("destination", "class"), _buried),
    Metric("attempts_total", "counter",
           "Attempts at a batch that are over, by outcome; refused and claim_waits ended before anything was written. "
           "From 0 at a start.",
           ("destination", "outcome"), _attempts),
    Metric("retries_total", "counter",
           "Attempts after which the batch, or a part of it, waits for another one. From 0 at a start.",
           _LABELS, _sent(lambda meter: meter.retries)),
    Metric("unknown_outcomes_total", "counter",
           "Attempts of which nobody knows whether they were applied, as after a lost answer. From 0 at a start.",
           _LABELS, _sent(lambda meter: meter.unknown)),
    Metric("write_seconds", "histogram",
           "How long the destination took for one batch, whether it confirmed it or not. From 0 at a start.",
           _LABELS, _sent(lambda meter: meter.writes)),
    Metric("delivery_age_seconds", "histogram",
           "How long after they were journalled scans were confirmed. From 0 at a start.",
           _LABELS, _sent(lambda meter: meter.ages)),
    Metric("in_flight_batches", "gauge", "Batches on their way to it now.", _LABELS, _each(lambda view: view.in_flight)),
    Metric("concurrency_limit", "gauge",
           "Batches that may be on their way at once: max_in_flight, or fewer where it asked for less; 0 if it is not in "
           "the config.",
           _LABELS, _each(lambda view: view.width)),
    Metric("breaker_state", "gauge",
           "1 for the state that its breaker is in, 0 for the others: closed lets batches through, open holds them, "
           "half_open tries one.",
           ("destination", "state"), _breakers),
    Metric("misconfigured", "gauge",
           "1 if it is held until somebody mends credentials, a name or rights; nothing is dead-lettered meanwhile.",
           _LABELS, _each(lambda view: int(view.misconfigured))),
    Metric("paused", "gauge", "1 if an operator holds it.", _LABELS, _each(lambda view: int(view.kept.paused))),
    Metric("orphaned", "gauge", "1 if it is not in the config, and its backlog is kept until it is back or discarded.",
           _LABELS, _each(lambda view: int(view.kept.state != "active"))),
)  # fmt: skip
