"""How the reading of one source goes."""

from dataclasses import dataclass

CALM = 300.0
"""Seconds of reading without a failure after which a source is well, though it may have nothing to deliver."""


@dataclass(slots=True)
class Hearing:
    """Moments are monotonic seconds: when it began, when a delivery was last journalled, when one with bodies in it.

    `failing_since` is the first of the failures in a row, None if there is none; `retry_at` is when the wait after the
    last of them is over, and `reason` why it failed. `taken` counts the bodies journalled, `failures` the failures.
    """

    began: float
    read_at: float | None = None
    took_at: float | None = None
    failing_since: float | None = None
    retry_at: float = 0.0
    reason: str = ""
    taken: int = 0
    failures: int = 0

    def failed(self, moment: float, delay: float, reason: str) -> None:
        """Reading failed, and is tried again in `delay` seconds."""
        if self.failing_since is None or self.calm(moment):
            self.failing_since = moment
        self.retry_at, self.reason = moment + delay, reason
        self.failures += 1

    def took(self, moment: float, count: int) -> None:
        """A delivery of so many bodies was journalled."""
        self.failing_since, self.read_at = None, moment
        self.taken += count
        if count:
            self.took_at = moment

    def calm(self, moment: float) -> bool:
        """Whether it has been read for long without a failure."""
        return moment - max(self.began, self.retry_at) >= CALM
