"""Waiting for something to happen, but not for ever."""

import anyio

from scribe_export.clock import Clock


class Bell:
    """Rung by anyone, heard once: rings that nobody waited for are heard by the next wait."""

    def __init__(self) -> None:
        self._event = anyio.Event()

    def ring(self) -> None:
        """Wake the one who waits."""
        self._event.set()

    async def wait(self, clock: Clock, seconds: float | None) -> None:
        """Until rung, or until `seconds` have passed on the clock."""
        if seconds is None:
            await self._event.wait()
        elif seconds > 0 and not self._event.is_set():
            async with anyio.create_task_group() as group:
                group.start_soon(self._sleep, clock, seconds, group.cancel_scope)
                await self._event.wait()
                group.cancel_scope.cancel()
        if self._event.is_set():
            self._event = anyio.Event()

    @staticmethod
    async def _sleep(clock: Clock, seconds: float, scope: anyio.CancelScope) -> None:
        await clock.sleep(seconds)
        scope.cancel()
