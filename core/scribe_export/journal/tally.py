"""What became of scans and requests for good, counted as it is committed; the counts begin at 0 with the process."""

import functools
from collections import Counter
from collections.abc import Callable, Iterable

MAX_CLASSES = 100
"""Destinations and classes told apart; what comes after them is counted as class ``other``."""


class Tally:
    """`dead` counts the dead letters that were made, by destination (-1 for none) and class, `requests` those that
    ended, by how, and `refused` the requests that can never be performed, by source."""

    def __init__(self) -> None:
        self.dead: Counter[tuple[int, str]] = Counter()
        self.requests: Counter[str] = Counter()
        self.refused: Counter[str] = Counter()

    def buried(self, destination: int, kinds: Iterable[str], times: int = 1) -> Callable[[], None]:
        """To be called after the commit: for each of these classes, `times` more."""
        return functools.partial(self._bury, destination, Counter(kinds), times)

    def ended(self, how: str) -> Callable[[], None]:
        """To be called after the commit: a request was ``done``, or has ``failed``."""
        return functools.partial(self.requests.update, (how,))

    def turned_away(self, source: str) -> Callable[[], None]:
        """To be called after the commit: a source brought what can never be performed."""
        return functools.partial(self.refused.update, (source,))

    def _bury(self, destination: int, kinds: Counter[str], times: int) -> None:
        for kind, count in kinds.items():
            known = (destination, kind) in self.dead or len(self.dead) < MAX_CLASSES
            self.dead[destination, kind if known else "other"] += count * times
