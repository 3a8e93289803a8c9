"""A clock that moves only when told to, or when somebody sleeps on it."""

import anyio.lowlevel


class SteppedClock:
    """`sleep` passes at once and moves both clocks on; `slept` keeps each wait."""

    def __init__(self, now: float = 1_750_000_000.0) -> None:
        self.wall = now
        self.ticks = 1000.0
        self.slept: list[float] = []

    def now(self) -> float:
        return self.wall

    def monotonic(self) -> float:
        return self.ticks

    def pass_time(self, seconds: float) -> None:
        self.wall += seconds
        self.ticks += seconds

    def sleep_now(self, seconds: float) -> None:
        """The blocking form."""
        self.slept.append(seconds)
        self.pass_time(seconds)

    async def sleep(self, seconds: float) -> None:
        self.sleep_now(seconds)
        await anyio.lowlevel.checkpoint()
