"""What waits in the outbox goes to the webhook, for as long as it takes."""

from collections.abc import Awaitable, Callable
from random import Random

import structlog

from scribe_export.alerts.event import Event
from scribe_export.alerts.outbox import Outbox
from scribe_export.alerts.webhook import Webhook
from scribe_export.clock import Clock
from scribe_export.errors import Misconfigured, SinkError, Transient
from scribe_export.lane.waiting import Bell
from scribe_export.patterns import RetryPolicy

log = structlog.get_logger()
_LONGEST_DELAY = 300.0


class Sending:
    """One event at a time, each again until it is confirmed, with backoff and jitter.

    It never gives up: what waits says how things are now, and there is one of each. That the webhook fails is logged
    once, and once that it works again. `changed` is awaited after each attempt.
    """

    def __init__(
        self,
        webhook: Webhook,
        outbox: Outbox,
        *,
        pipeline: str,
        clock: Clock,
        rng: Random,
        changed: Callable[[], Awaitable[None]],
    ) -> None:
        self._webhook, self._outbox, self._pipeline = webhook, outbox, pipeline
        self._clock, self._changed = clock, changed
        self._retry = RetryPolicy(max_attempts=1, base_delay=1.0, max_delay=_LONGEST_DELAY, rng=rng, clock=clock)
        self._bell = Bell()
        self._failures = 0

    def ring(self) -> None:
        """There may be something to send."""
        self._bell.ring()

    async def run(self) -> None:
        """For ever."""
        try:
            while True:
                if self._outbox.waiting:
                    await self._send_next()
                else:
                    await self._bell.wait(self._clock, None)
        finally:
            await self._webhook.close()

    async def _send_next(self) -> None:
        event = self._outbox.begin()
        error = await self._attempt(event)
        if error:
            self._outbox.failed(event, perhaps_told=error.applied == "unknown")
            await self._changed()
            await self._back_off(error)
            return
        self._outbox.sent(event)
        if self._failures:
            log.info("webhook goes on", host=self._webhook.host)
        self._failures = 0
        await self._changed()

    async def _attempt(self, event: Event) -> SinkError | None:
        try:
            await self._webhook.send(event.body(self._pipeline))
        except SinkError as error:
            return error
        except Exception as error:  # noqa: BLE001 - a bug must not stop what delivers; its text could hold the address
            return Transient(type(error).__name__)
        return None

    async def _back_off(self, error: SinkError) -> None:
        self._failures += 1
        if self._failures == 1:
            say = log.error if isinstance(error, Misconfigured) else log.warning
            say("webhook held", host=self._webhook.host, reason=str(error))
        after = error.retry_after if isinstance(error, Transient) else None
        await self._clock.sleep(self._retry.delay(self._failures, after))
