"""How values are spread, counted in buckets as they come."""

from bisect import bisect_left
from collections.abc import Sequence


class Histogram:
    """`counts` has one more place than `bounds`, which are inclusive and ascending, for what is above them all."""

    __slots__ = ("bounds", "counts", "total")

    def __init__(self, bounds: Sequence[float]) -> None:
        self.bounds = tuple(bounds)
        self.counts = [0] * (len(self.bounds) + 1)
        self.total = 0.0

    def observe(self, value: float, times: int = 1) -> None:
        """One more, or several of the same value."""
        self.counts[bisect_left(self.bounds, value)] += times
        self.total += value * times

    def copy(self) -> "Histogram":
        """As it is now."""
        other = Histogram(self.bounds)
        other.counts, other.total = list(self.counts), self.total
        return other
