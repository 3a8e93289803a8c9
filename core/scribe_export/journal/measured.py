"""What the journal's commits take, counted while they are made; the counts begin at 0 with the process."""

import time
from collections.abc import Callable

from scribe_export.histogram import Histogram

COMMIT_BOUNDS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0)


class StoreMeter:
    """`commits` are seconds a commit that changed something, with its sync to the disk."""

    def __init__(self) -> None:
        self.commits = Histogram(COMMIT_BOUNDS)

    def time(self, commit: Callable[[], None]) -> None:
        """Commit, and see how long it takes; one that raises is not counted."""
        started = time.perf_counter()
        commit()
        self.commits.observe(time.perf_counter() - started)
