"""Every metric there is."""

from scribe_export.endpoint import of_destinations, of_sources, of_the_journal
from scribe_export.endpoint.exposition import Metric

CATALOGUE: tuple[Metric, ...] = (*of_destinations.METRICS, *of_sources.METRICS, *of_the_journal.METRICS)
