"""Trying again, later and later, at moments that differ between callers."""

import copy
import random
import time
from collections.abc import Awaitable, Callable
from typing import Any, ParamSpec, TypeVar

from tenacity import AsyncRetrying, RetryCallState, Retrying, retry_if_exception

from scribe_export.clock import Clock, SystemClock
from scribe_export.errors import BreakerOpen, SinkError, Transient
from scribe_export.patterns._calls import refuse_async, refuse_awaitable

P = ParamSpec("P")
T = TypeVar("T")


def worth_retrying(error: BaseException) -> bool:
    """Whether another try may help: yes for all but an open breaker and what only the caller or an operator can mend."""
    if isinstance(error, SinkError):
        return isinstance(error, Transient) and not isinstance(error, BreakerOpen)
    return isinstance(error, Exception)


class RetryPolicy:
    """At most `max_attempts` tries; between them exponential backoff with full jitter.

    The wait after try n is drawn from 0 to min(`max_delay`, `base_delay` * 2**(n-1)) seconds, so that callers that failed
    together do not come back together (https://aws.amazon.com/builders-library/timeouts-retries-and-backoff-with-jitter/).
    A `retry_after` that the error carries is the least wait; where it exceeds `max_delay`, `execute` gives up at once and
    the error tells the caller when to come again. `retry_on` says which exceptions are worth another try.
    """

    def __init__(
        self,
        max_attempts: int = 3,
        base_delay: float = 1.0,
        max_delay: float = 60.0,
        *,
        retry_on: Callable[[BaseException], bool] = worth_retrying,
        rng: random.Random | None = None,
        clock: Clock | None = None,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        """Raise ValueError for a setting that makes no sense. `execute` waits by `sleep`, `aexecute` by the clock."""
        if max_attempts < 1:
            raise ValueError("max_attempts must be at least 1")
        if not base_delay >= 0 or not max_delay >= 0:
            raise ValueError("base_delay and max_delay must not be negative")
        self.max_attempts = max_attempts
        self.base_delay = base_delay
        self.max_delay = max_delay
        self._retry_on = retry_on
        self._rng = rng or random.Random()  # noqa: S311 - spreads load, guards nothing
        self._clock = clock or SystemClock()
        self._sleep = sleep

    def delay(self, attempt: int, retry_after: float | None = None) -> float:
        """Seconds to wait after the failed try number `attempt`, counted from 1; never less than `retry_after`."""
        # 2.0 ** 1024 overflows; no ceiling needs more than 64 doublings.
        ceiling = min(self.max_delay, self.base_delay * 2.0 ** min(max(attempt, 1) - 1, 64))
        return max(self._rng.uniform(0.0, ceiling), retry_after or 0.0)

    def narrowed(self, retry_on: Callable[[BaseException], bool]) -> "RetryPolicy":
        """The same policy for calls of which fewer failures may be repeated: those that `retry_on` agrees to as well."""
        policy, before = copy.copy(self), self._retry_on
        policy._retry_on = lambda error: before(error) and retry_on(error)  # noqa: SLF001 - a copy of its own class
        return policy

    def execute(self, func: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Call a plain function until it returns; raise its last exception."""
        refuse_async(func, "policy.aexecute")
        result = Retrying(sleep=self._sleep, **self._settings())(func, *args, **kwargs)
        refuse_awaitable(result, "policy.aexecute")
        return result

    async def aexecute(self, func: Callable[P, Awaitable[T]], *args: P.args, **kwargs: P.kwargs) -> T:
        """Await an async function until it returns; raise its last exception."""
        return await AsyncRetrying(sleep=self._clock.sleep, **self._settings())(func, *args, **kwargs)

    def _settings(self) -> dict[str, Any]:
        def wait(state: RetryCallState) -> float:
            error = state.outcome.exception() if state.outcome else None
            return self.delay(state.attempt_number, getattr(error, "retry_after", None))

        def stop(state: RetryCallState) -> bool:
            return state.attempt_number >= self.max_attempts or state.upcoming_sleep > self.max_delay

        return {
            "stop": stop,
            "wait": wait,
            "retry": retry_if_exception(self._retry_on),
            "reraise": True,
        }
