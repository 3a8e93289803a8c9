"""What a demo found out."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from scribe_local.demo.readback import Tally


@dataclass(frozen=True, slots=True)
class Result:
    """`tallies` and the totals come from the read-back alone; `dead` is the exporter's own list of dead letters.

    `skipped` names the destinations left out, each with why. Times are in seconds.
    """

    scans: int
    tallies: Mapping[str, Tally]
    dead: Mapping[str, int]
    skipped: Mapping[str, str]
    restart_seconds: float
    seconds: float

    @property
    def lost(self) -> int:
        """Scans that are missing from at least one destination."""
        return len(frozenset[str]().union(*(tally.lost for tally in self.tallies.values())))

    @property
    def doubled(self) -> int:
        """Scans that at least one destination holds more than once, of those destinations that must not."""
        tallies = [tally for tally in self.tallies.values() if not tally.may_repeat]
        return len(frozenset[str]().union(*(tally.doubled for tally in tallies)))

    def document(self) -> dict[str, Any]:
        """For programs."""
        return {
            "scans": self.scans,
            "destinations": {
                name: {
                    "delivered": len(tally.delivered),
                    "dead": self.dead.get(name, 0),
                    "lost": len(tally.lost),
                    "doubled": len(tally.doubled),
                    "foreign": tally.foreign,
                }
                for name, tally in self.tallies.items()
            },
            "lost": self.lost,
            "doubled": self.doubled,
            "restart_seconds": round(self.restart_seconds, 3),
            "seconds": round(self.seconds, 1),
            "skipped": dict(self.skipped),
        }
