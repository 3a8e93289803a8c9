"""The circuit breaker: a service that keeps failing is left alone for a while, then tried with one call."""

import threading
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from enum import Enum
from typing import ParamSpec, TypeVar

from scribe_export.clock import Clock, SystemClock
from scribe_export.errors import BreakerOpen, Rejected
from scribe_export.patterns._calls import refuse_async, refuse_awaitable
from scribe_export.patterns._window import OutcomeWindow

P = ParamSpec("P")
T = TypeVar("T")


class CircuitState(Enum):
    """`CLOSED` lets calls through, `OPEN` none, `HALF_OPEN` one at a time until it is known better."""

    CLOSED = "closed"
    OPEN = "open"
    HALF_OPEN = "half_open"


@dataclass(frozen=True, slots=True)
class BreakerSnapshot:
    """What outlives a restart: `opened_at` in seconds since the epoch (None while closed), and the failures in a row."""

    state: str = "closed"
    opened_at: float | None = None
    failures: int = 0
    reason: str = ""


class CircuitBreaker:
    """Opens after `failure_threshold` failures in a row, or when within `window` seconds at least `failure_rate` of at
    least `minimum_calls` calls failed. `timeout` seconds later it lets one call through, whose outcome closes or reopens
    it.

    `failure_rate` None counts failures in a row only. `counts` says which exceptions speak against the service; by
    default all but `Rejected`, which is a service's healthy answer. `on_change` gets the new state and the reason, once a
    change. Thread-safe; nothing is locked while a call runs.

    Use it around a call (`call`, `acall`), or step by step: `allow` or `acquire`, then exactly one of `record_success`,
    `record_failure`, `trip` and `release`. Outcomes of calls let through before it opened may arrive late: while it is
    open they change nothing, while it is half-open they count as the probe's.
    """

    def __init__(
        self,
        failure_threshold: int = 5,
        timeout: float = 60.0,
        *,
        failure_rate: float | None = 0.5,
        window: float = 60.0,
        minimum_calls: int = 10,
        counts: Callable[[Exception], bool] = lambda error: not isinstance(error, Rejected),
        on_change: Callable[[CircuitState, str], None] | None = None,
        clock: Clock | None = None,
    ) -> None:
        """Raise ValueError for a setting that makes no sense."""
        if failure_threshold < 1 or minimum_calls < 1:
            raise ValueError("failure_threshold and minimum_calls must be at least 1")
        if not timeout >= 0 or not window > 0:
            raise ValueError("timeout must not be negative and window must be above 0 seconds")
        if failure_rate is not None and not 0 < failure_rate <= 1:
            raise ValueError("failure_rate must be above 0 and at most 1, or None")
        self.failure_threshold = failure_threshold
        self.timeout = timeout
        self.failure_rate = failure_rate
        self.window = window
        self.minimum_calls = minimum_calls
        self._counts = counts
        self._on_change = on_change
        self._clock = clock or SystemClock()
        self._lock = threading.Lock()
        self._outcomes = OutcomeWindow(window)
        self._state = CircuitState.CLOSED
        self._failures = 0
        self._probing = False
        self._reason = ""
        self._opened_at = 0.0
        self._opened_wall = 0.0
        self._left = 0.0

    @property
    def state(self) -> CircuitState:
        """Open until a call is let through, even if `timeout` is over."""
        return self._state

    @property
    def failure_count(self) -> int:
        """Failures in a row."""
        return self._failures

    @property
    def reason(self) -> str:
        """Why it is not closed; empty if it is."""
        return self._reason

    @property
    def not_closed_for(self) -> float:
        """Seconds since it was closed last, over all trial calls; 0 while it is closed."""
        with self._lock:
            return 0.0 if self._state is CircuitState.CLOSED else self._clock.monotonic() - self._left

    def remaining(self) -> float:
        """Seconds until a call may be let through; 0 if one may now."""
        with self._lock:
            return self._remaining()

    def allow(self) -> bool:
        """Whether a call may be made now; a yes is to be followed by its outcome, or by `release`."""
        with self._lock:
            if self._state is CircuitState.CLOSED:
                return True
            if self._remaining() > 0:
                return False
            if self._state is CircuitState.HALF_OPEN and self._probing:
                return False
            changed = self._state is CircuitState.OPEN
            self._state, self._probing = CircuitState.HALF_OPEN, True
        if changed:
            self._tell(CircuitState.HALF_OPEN, "trying one call")
        return True

    def acquire(self) -> None:
        """As `allow`, but raise `BreakerOpen` for a no."""
        if not self.allow():
            left = self.remaining()
            when = f"tried again in {left:.1f} s" if left else "one call is trying it now"
            raise BreakerOpen(f"circuit breaker is open, {when} ({self._reason or 'closing'})", retry_after=left)

    def record_success(self) -> None:
        """A call came back well."""
        with self._lock:
            if self._state is CircuitState.OPEN:
                return
            self._failures = 0
            self._outcomes.add(self._clock.monotonic(), failed=False)
            if self._state is CircuitState.CLOSED:
                return
            self._close()
        self._tell(CircuitState.CLOSED, "a call succeeded")

    def record_failure(self, reason: str = "") -> None:
        """A call failed, and not for a fault of its own."""
        with self._lock:
            if self._state is CircuitState.OPEN:
                return
            self._failures += 1
            moment = self._clock.monotonic()
            self._outcomes.add(moment, failed=True)
            why = self._why_open(moment)
            if not why:
                return
            reason = f"{why}: {reason}" if reason else why
            self._open(reason)
        self._tell(CircuitState.OPEN, reason)

    def trip(self, reason: str) -> None:
        """Open at once, whatever was counted; an open one stays open for the rest of its time, with this reason."""
        with self._lock:
            if self._state is CircuitState.OPEN:
                self._reason = reason
                return
            self._open(reason)
        self._tell(CircuitState.OPEN, reason)

    def release(self) -> None:
        """The call that was let through ended without saying anything of the service (it was cancelled)."""
        with self._lock:
            self._probing = False

    def reset(self) -> None:
        """Close and forget, by an operator's word."""
        with self._lock:
            changed = self._state is not CircuitState.CLOSED
            self._close()
        if changed:
            self._tell(CircuitState.CLOSED, "reset")

    def call(self, func: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Call a plain function; raise what it raises, or `BreakerOpen` without calling it."""
        refuse_async(func, "breaker.acall")
        self.acquire()
        try:
            result = func(*args, **kwargs)
            refuse_awaitable(result, "breaker.acall")
        except BaseException as error:
            self._judge(error)
            raise
        self.record_success()
        return result

    async def acall(self, func: Callable[P, Awaitable[T]], *args: P.args, **kwargs: P.kwargs) -> T:
        """Await an async function; raise what it raises, or `BreakerOpen` without calling it."""
        self.acquire()
        try:
            result = await func(*args, **kwargs)
        except BaseException as error:
            self._judge(error)
            raise
        self.record_success()
        return result

    def snapshot(self) -> BreakerSnapshot:
        """The state to keep over a restart. A probe in flight does not outlive one: half-open is kept as open."""
        with self._lock:
            if self._state is CircuitState.CLOSED:
                return BreakerSnapshot(failures=self._failures)
            return BreakerSnapshot("open", self._opened_wall, self._failures, self._reason)

    def restore(self, state: str, opened_at: float | None = None, failures: int = 0, reason: str = "") -> None:
        """Take up a snapshot's values; `on_change` is not called.

        The wall clock may have jumped since: what is left of `timeout` is clamped between nothing and all of it. Raises
        ValueError for an unknown state.
        """
        known = CircuitState(state)
        with self._lock:
            self._close()
            self._failures = failures
            if known is not CircuitState.CLOSED:
                now = self._clock.now()
                elapsed = min(max(now - (now if opened_at is None else opened_at), 0.0), self.timeout)
                self._open(reason)
                self._opened_at -= elapsed
                self._opened_wall -= elapsed

    def _judge(self, error: BaseException) -> None:
        if not isinstance(error, Exception):
            self.release()
        elif self._counts(error):
            self.record_failure(f"{type(error).__name__}: {error}"[:200])
        else:
            self.record_success()

    def _why_open(self, moment: float) -> str:
        if self._state is CircuitState.HALF_OPEN:
            return "the trial call failed"
        if self._failures >= self.failure_threshold:
            return f"{self._failures} failures in a row"
        calls, failures = self._outcomes.totals(moment)
        if self.failure_rate is not None and calls >= self.minimum_calls and failures >= self.failure_rate * calls:
            return f"{failures} of the last {calls} calls failed"
        return ""

    def _remaining(self) -> float:
        if self._state is not CircuitState.OPEN:
            return 0.0
        return max(0.0, self._opened_at + self.timeout - self._clock.monotonic())

    def _open(self, reason: str) -> None:
        if self._state is CircuitState.CLOSED:
            self._left = self._clock.monotonic()
        self._state, self._probing, self._reason = CircuitState.OPEN, False, reason
        self._opened_at, self._opened_wall = self._clock.monotonic(), self._clock.now()
        self._outcomes.clear()

    def _close(self) -> None:
        self._state, self._probing, self._reason = CircuitState.CLOSED, False, ""
        self._failures = 0
        self._outcomes.clear()

    def _tell(self, state: CircuitState, reason: str) -> None:
        if self._on_change:
            self._on_change(state, reason)
