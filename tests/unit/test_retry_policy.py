import random

import pytest
from support.stepped_clock import SteppedClock

from scribe_export.errors import BreakerOpen, Misconfigured, Rejected, Throttled, Transient
from scribe_export.patterns import RetryPolicy


class Flaky:
    """Raises the given errors one after another, then answers."""

    def __init__(self, *errors: Exception) -> None:
        self.errors = list(errors)
        self.calls = 0

    def __call__(self, value: int = 1) -> int:
        self.calls += 1
        if self.errors:
            raise self.errors.pop(0)
        return value

    async def later(self, value: int = 1) -> int:
        return self(value)


@pytest.fixture
def clock() -> SteppedClock:
    return SteppedClock()


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


def policy(clock: SteppedClock, attempts: int = 3, base: float = 1.0, most: float = 60.0) -> RetryPolicy:
    return RetryPolicy(attempts, base, most, rng=random.Random(1), clock=clock, sleep=clock.sleep_now)


def test_the_guides_execute_works_with_the_guides_parameters() -> None:
    assert RetryPolicy(max_attempts=3, base_delay=0.0, max_delay=0.0).execute(Flaky(OSError("x")), 5) == 5


def test_it_tries_at_most_the_given_times_and_raises_the_last_exception(clock: SteppedClock) -> None:
    flaky = Flaky(OSError("first"), OSError("second"), OSError("third"), OSError("fourth"))
    with pytest.raises(OSError, match="third"):
        policy(clock).execute(flaky)
    assert (flaky.calls, len(clock.slept)) == (3, 2)


def test_waits_are_spread_evenly_below_a_ceiling_that_doubles() -> None:
    retry = RetryPolicy(base_delay=1.0, max_delay=10.0, rng=random.Random(2))
    for attempt, ceiling in [(1, 1.0), (2, 2.0), (3, 4.0), (4, 8.0), (5, 10.0), (2000, 10.0)]:
        waits = sorted(retry.delay(attempt) for _ in range(2000))
        assert 0 <= waits[0] < ceiling * 0.01
        assert ceiling * 0.99 < waits[-1] <= ceiling
        assert waits[1000] == pytest.approx(ceiling / 2, rel=0.1)


def test_the_services_own_delay_is_the_least_wait(clock: SteppedClock) -> None:
    flaky = Flaky(Throttled("slow down", retry_after=7), Transient("x"))
    assert policy(clock).execute(flaky) == 1
    assert clock.slept[0] == 7
    assert clock.slept[1] <= 2
    assert policy(clock).delay(1, 7) == 7


def test_a_delay_beyond_the_ceiling_is_the_callers_to_wait(clock: SteppedClock) -> None:
    flaky = Flaky(Throttled("slow down", retry_after=61))
    with pytest.raises(Throttled):
        policy(clock).execute(flaky)
    assert (flaky.calls, clock.slept) == (1, [])


@pytest.mark.parametrize(
    "error", [Rejected("too large"), Misconfigured("denied"), BreakerOpen("open", retry_after=1), KeyboardInterrupt()]
)
def test_what_another_try_cannot_mend_is_raised_at_once(clock: SteppedClock, error: Exception) -> None:
    flaky = Flaky(error)
    with pytest.raises(type(error)):
        policy(clock).execute(flaky)
    assert flaky.calls == 1


@pytest.mark.anyio
async def test_async_functions_are_retried_on_the_clocks_time(clock: SteppedClock) -> None:
    flaky = Flaky(Transient("x"), Transient("y", retry_after=20))
    assert await policy(clock).aexecute(flaky.later, value=9) == 9
    assert (flaky.calls, clock.slept[1]) == (3, 20)
    with pytest.raises(TypeError, match=r"await policy\.aexecute"):
        _ = policy(clock).execute(flaky.later)
    with pytest.raises(TypeError, match=r"await policy\.aexecute"):
        _ = policy(clock).execute(lambda: flaky.later())  # noqa: PLW0108 - a plain function giving back a coroutine


def test_two_seeds_wait_differently_and_one_seed_the_same() -> None:
    waits = [[RetryPolicy(rng=random.Random(seed)).delay(n) for n in range(1, 9)] for seed in (1, 1, 2)]
    assert waits[0] == waits[1] != waits[2]


@pytest.mark.parametrize("setting", [{"max_attempts": 0}, {"base_delay": -1.0}, {"max_delay": float("nan")}])
def test_settings_that_make_no_sense_are_refused(setting: dict[str, int]) -> None:
    with pytest.raises(ValueError, match="must"):
        RetryPolicy(**setting)  # type: ignore[arg-type] # the settings are of different types
