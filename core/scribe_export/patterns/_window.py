"""How many calls succeeded and failed lately, in constant memory."""

from collections import deque

_SLICES = 10


class OutcomeWindow:
    """Counts of the last `seconds`, kept in ten slices, so that an outcome leaves at most a tenth too late."""

    __slots__ = ("_counts", "_slice")

    def __init__(self, seconds: float) -> None:
        self._slice = seconds / _SLICES
        self._counts: deque[list[int]] = deque()

    def add(self, moment: float, *, failed: bool) -> None:
        """Count one outcome; `moment` is monotonic, in seconds."""
        index = int(moment / self._slice)
        if not self._counts or self._counts[-1][0] != index:
            self._counts.append([index, 0, 0])
        self._counts[-1][2 if failed else 1] += 1
        self._expire(index)

    def totals(self, moment: float) -> tuple[int, int]:
        """Calls and, of these, failures within the window."""
        self._expire(int(moment / self._slice))
        failures = sum(entry[2] for entry in self._counts)
        return failures + sum(entry[1] for entry in self._counts), failures

    def clear(self) -> None:
        """Forget everything."""
        self._counts.clear()

    def _expire(self, index: int) -> None:
        while self._counts and self._counts[0][0] <= index - _SLICES - 1:
            self._counts.popleft()
