"""Watching the health of everything one depends on."""

import inspect
from collections.abc import Awaitable, Callable

import anyio
import structlog

from scribe_export.clock import Clock, SystemClock
from scribe_export.redaction import redacted

HealthCheck = Callable[[], Awaitable[bool] | bool]
_log = structlog.get_logger(__name__)


class HealthMonitor:
    """Asks every registered check, all at once; one that raises or takes longer than `timeout` seconds is unhealthy.

    `on_change(name, healthy, reason)` is called once for each change, and once for a first answer that is bad. It must
    not block, and what it raises ends the monitoring.
    """

    def __init__(
        self,
        *,
        timeout: float = 10.0,
        on_change: Callable[[str, bool, str], None] | None = None,
        clock: Clock | None = None,
        log: bool = True,
    ) -> None:
        """`log` False leaves telling to `on_change` alone. Raises ValueError for a timeout that makes no sense."""
        if not timeout > 0:
            raise ValueError("timeout must be above 0 seconds")
        self.timeout = timeout
        self.health_status: dict[str, bool] = {}
        self._checks: dict[str, HealthCheck] = {}
        self._on_change = on_change
        self._clock = clock or SystemClock()
        self._log = log

    def register_integration(self, name: str, health_check_func: HealthCheck) -> None:
        """Have `name` checked from now on by an async function; a plain one must be quick, for it blocks the others."""
        self._checks[name] = health_check_func

    async def check_all_health(self) -> dict[str, bool]:
        """Run all checks at once; the answer of each by its name, in the order of registration."""
        answers: dict[str, tuple[bool, str]] = {}

        async def check(name: str, health_check: HealthCheck) -> None:
            answers[name] = await self._check(health_check)

        checks = dict(self._checks)
        async with anyio.create_task_group() as group:
            for name, health_check in checks.items():
                group.start_soon(check, name, health_check)
        before, self.health_status = self.health_status, {name: answers[name][0] for name in checks}
        for name in checks:
            healthy, reason = answers[name]
            if healthy != before.get(name, True):
                self._tell(name, reason, healthy=healthy)
        return dict(self.health_status)

    async def monitor_continuously(self, interval: float = 60.0) -> None:
        """Check for ever, `interval` seconds after the end of the last round; ends when cancelled."""
        while True:
            await self.check_all_health()
            await self._clock.sleep(interval)

    def get_unhealthy_integrations(self) -> list[str]:
        """The names whose last answer was bad."""
        return [name for name, healthy in self.health_status.items() if not healthy]

    async def _check(self, health_check: HealthCheck) -> tuple[bool, str]:
        try:
            with anyio.fail_after(self.timeout):
                answer = health_check()
                healthy = bool(await answer if inspect.isawaitable(answer) else answer)
        except TimeoutError as error:
            return False, str(error) or f"no answer within {self.timeout:g} s"
        except Exception as error:  # noqa: BLE001 - whatever a check raises is its answer
            return False, redacted(f"{type(error).__name__}: {error}")[:200]
        return healthy, "" if healthy else "the check said no"

    def _tell(self, name: str, reason: str, *, healthy: bool) -> None:
        if not self._log:
            pass
        elif healthy:
            _log.info("healthy again", integration=name)
        else:
            _log.warning("unhealthy", integration=name, reason=reason)
        if self._on_change:
            self._on_change(name, healthy, reason)
