"""What would become of scans, told without journalling, opening or sending anything.

The same code identifies, routes, seals, encodes and fits them as when they are delivered; only the network is left out.
"""

from scribe_export.planning.plan import Place, plan
from scribe_export.planning.planned import Fate, Plan, PlannedBatch, PlannedDestination, PlannedRequest, PlannedScan

__all__ = [
    "Fate",
    "Place",
    "Plan",
    "PlannedBatch",
    "PlannedDestination",
    "PlannedRequest",
    "PlannedScan",
    "plan",
]
