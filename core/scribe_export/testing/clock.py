"""Time that passes when told to."""

import heapq
import time
from collections.abc import Callable
from itertools import count

import anyio
import anyio.lowlevel
import anyio.to_thread

_START = 1_778_068_800.0  # 2026-05-06 12:00 UTC
_ROUNDS = 25
_LOOK = 0.0005
_LONGEST_LOOK = 2.0


class SimulatedClock:
    """A `Clock` whose sleepers are parked until `advance` passes their moment, in the order of their moments.

    Between two wake-ups everything that can run without time passing does: the event loop turns some rounds, and
    worker threads under anyio's default limiter finish. A thread that takes longer than 2 real seconds is taken to hang
    and not waited for again. For threads of another making, `busy` tells whether one of them still works.
    `anyio.sleep` and timeouts of the event loop itself keep to real time.
    """

    def __init__(self, start: float = _START, *, busy: Callable[[], bool] = lambda: False) -> None:
        self._start = start
        self._elapsed = 0.0
        self._jumped = 0.0
        self._busy = busy
        self._parked: list[tuple[float, int, anyio.Event]] = []
        self._order = count()
        self._hanging = 0
        self._busy_hangs = False

    def now(self) -> float:
        """Seconds since the epoch, with all jumps."""
        return self._start + self._elapsed + self._jumped

    def monotonic(self) -> float:
        """Seconds advanced so far; `jump` does not move it."""
        return self._elapsed

    @property
    def sleepers(self) -> int:
        """How many are parked."""
        return len(self._parked)

    async def sleep(self, seconds: float) -> None:
        """Park until so much time was advanced; at once if it is none."""
        if seconds <= 0:
            await anyio.lowlevel.checkpoint()
            return
        entry = (self._elapsed + seconds, next(self._order), anyio.Event())
        heapq.heappush(self._parked, entry)
        try:
            await entry[2].wait()
        finally:
            if not entry[2].is_set():
                self._parked.remove(entry)
                heapq.heapify(self._parked)

    def jump(self, seconds: float) -> None:
        """Set the wall clock forward or back, as an operator or NTP does."""
        self._jumped += seconds

    async def advance(self, seconds: float) -> None:
        """Let so much time pass, waking every sleeper whose moment comes, also those who park meanwhile."""
        if seconds < 0:
            raise ValueError("time does not go back; use jump for the wall clock")
        end = self._elapsed + seconds
        await self.settle()
        while self._parked and self._parked[0][0] <= end:
            await self._wake_next()
        self._elapsed = end
        await self.settle()

    async def advance_until(self, reached: Callable[[], bool], *, within: float) -> bool:
        """Go from one wake-up to the next until `reached` or `within` seconds have passed; say if it was reached."""
        end = self._elapsed + within
        await self.settle()
        while not reached() and self._parked and self._parked[0][0] <= end:
            await self._wake_next()
        if not reached():
            await self.advance(max(0.0, end - self._elapsed))
        return reached()

    async def settle(self) -> None:
        """Let everything run that waits for no time."""
        quiet = 0
        while quiet < _ROUNDS:
            await anyio.lowlevel.checkpoint()
            quiet = 0 if await self._threads_worked() else quiet + 1

    async def _wake_next(self) -> None:
        moment, _, event = heapq.heappop(self._parked)
        self._elapsed = max(self._elapsed, moment)
        event.set()
        await self.settle()

    async def _threads_worked(self) -> bool:
        limiter = anyio.to_thread.current_default_thread_limiter()
        self._hanging = min(self._hanging, limiter.borrowed_tokens)
        self._busy_hangs = self._busy_hangs and self._busy()
        given_up = time.monotonic() + _LONGEST_LOOK
        worked = False
        while limiter.borrowed_tokens > self._hanging or (not self._busy_hangs and self._busy()):
            worked = True
            await anyio.sleep(_LOOK)
            if time.monotonic() > given_up:
                self._hanging, self._busy_hangs = limiter.borrowed_tokens, self._busy()
                return False
        return worked
