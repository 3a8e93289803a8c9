from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from threading import Event

import anyio
import pytest
from support.stepped_clock import SteppedClock

from scribe_export.errors import BreakerOpen, Rejected, Transient
from scribe_export.patterns import CircuitBreaker


@pytest.fixture
def clock() -> SteppedClock:
    return SteppedClock()


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


def state(breaker: CircuitBreaker) -> str:
    return breaker.state.value


def fail() -> None:
    raise Transient("down")


def fails(breaker: CircuitBreaker, times: int, func: Callable[[], None] = fail) -> None:
    for _ in range(times):
        with pytest.raises(Transient, match="down"):
            breaker.call(func)


def test_the_guides_call_works_with_the_guides_parameters() -> None:
    breaker = CircuitBreaker(failure_threshold=3, timeout=30)
    assert breaker.call(divmod, 7, 2) == (3, 1)
    assert breaker.call(int, "ff", base=16) == 255
    assert state(breaker) == "closed"


def test_consecutive_failures_open_it_and_an_open_one_calls_nothing(clock: SteppedClock) -> None:
    breaker = CircuitBreaker(3, 30, clock=clock)
    fails(breaker, 3)
    clock.pass_time(10)
    with pytest.raises(BreakerOpen, match=r"tried again in 20\.0 s \(3 failures in a row: Transient: down\)") as caught:
        breaker.call(pytest.fail, "must not be called")
    assert caught.value.retry_after == pytest.approx(20)
    assert caught.value.applied == "no"


def test_a_success_starts_the_count_of_consecutive_failures_anew(clock: SteppedClock) -> None:
    breaker = CircuitBreaker(3, 30, failure_rate=None, clock=clock)
    for _ in range(10):
        fails(breaker, 2)
        breaker.call(int)
    assert state(breaker) == "closed"


def test_half_open_lets_exactly_one_call_through_and_its_success_closes(clock: SteppedClock) -> None:
    breaker = CircuitBreaker(1, 30, clock=clock)
    fails(breaker, 1)
    clock.pass_time(30)
    assert [breaker.allow() for _ in range(3)] == [True, False, False]
    assert state(breaker) == "half_open"
    breaker.record_success()
    assert state(breaker) == "closed"
    assert all(breaker.allow() for _ in range(3))


def test_half_open_reopens_for_the_whole_time_when_its_call_fails(clock: SteppedClock) -> None:
    breaker = CircuitBreaker(5, 30, clock=clock)
    fails(breaker, 5)
    clock.pass_time(31)
    fails(breaker, 1)
    assert state(breaker) == "open"
    assert breaker.remaining() == pytest.approx(30)


def test_it_tells_for_how_long_nothing_got_through_over_all_trial_calls(clock: SteppedClock) -> None:
    breaker = CircuitBreaker(1, 30, clock=clock)
    clock.pass_time(100)
    assert breaker.not_closed_for == 0
    fails(breaker, 1)
    for trial in range(1, 5):
        clock.pass_time(40)
        assert breaker.not_closed_for == 40 * trial
        fails(breaker, 1)
    clock.pass_time(30)
    breaker.call(int)
    assert breaker.not_closed_for == 0
    fails(breaker, 1)
    clock.pass_time(7)
    breaker.trip("denied")
    assert breaker.not_closed_for == 7


def test_a_failure_rate_opens_it_only_once_enough_calls_were_made(clock: SteppedClock) -> None:
    breaker = CircuitBreaker(100, failure_rate=0.5, window=60, minimum_calls=10, clock=clock)
    for _ in range(4):
        breaker.call(int)
        fails(breaker, 1)
    breaker.call(int)
    assert state(breaker) == "closed"
    fails(breaker, 1)
    assert state(breaker) == "open"
    assert "5 of the last 10 calls failed" in breaker.reason


def test_failures_that_left_the_window_do_not_count_towards_the_rate(clock: SteppedClock) -> None:
    breaker = CircuitBreaker(100, failure_rate=0.5, window=60, minimum_calls=10, clock=clock)
    fails(breaker, 9)
    clock.pass_time(67)
    fails(breaker, 9)
    assert state(breaker) == "closed"
    fails(breaker, 1)
    assert state(breaker) == "open"


def test_a_rejected_record_does_not_speak_against_the_service(clock: SteppedClock) -> None:
    breaker = CircuitBreaker(2, 30, clock=clock)

    def reject() -> None:
        raise Rejected("too large")

    fails(breaker, 1)
    for _ in range(20):
        with pytest.raises(Rejected):
            breaker.call(reject)
    fails(breaker, 1)
    assert state(breaker) == "closed"


def test_an_interrupted_trial_call_gives_its_place_back(clock: SteppedClock) -> None:
    breaker = CircuitBreaker(1, 30, clock=clock)
    fails(breaker, 1)
    clock.pass_time(30)

    def interrupted() -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        breaker.call(interrupted)
    assert state(breaker) == "half_open"
    assert breaker.call(int) == 0
    assert state(breaker) == "closed"


def test_trip_opens_at_once_and_late_outcomes_of_earlier_calls_do_not_close_it(clock: SteppedClock) -> None:
    breaker = CircuitBreaker(5, 30, clock=clock)
    assert breaker.allow()
    breaker.trip("credentials are wrong")
    clock.pass_time(10)
    breaker.record_success()
    breaker.record_failure()
    assert (state(breaker), breaker.reason) == ("open", "credentials are wrong")
    breaker.trip("bucket is missing")
    assert breaker.remaining() == pytest.approx(20)
    assert breaker.reason == "bucket is missing"


def test_on_change_is_told_every_change_once(clock: SteppedClock) -> None:
    changes: list[str] = []
    breaker = CircuitBreaker(2, 30, clock=clock, on_change=lambda state, _: changes.append(state.value))
    fails(breaker, 2)
    clock.pass_time(30)
    fails(breaker, 1)
    clock.pass_time(30)
    breaker.call(int)
    breaker.call(int)
    breaker.trip("x")
    breaker.reset()
    breaker.reset()
    assert changes == ["open", "half_open", "open", "half_open", "closed", "open", "closed"]


def test_a_snapshot_keeps_what_is_left_of_the_time_over_a_restart(clock: SteppedClock) -> None:
    breaker = CircuitBreaker(1, 30, clock=clock)
    fails(breaker, 1)
    kept = breaker.snapshot()
    again = SteppedClock(clock.wall + 12)
    again.ticks = 5.0
    restored = CircuitBreaker(1, 30, clock=again)
    restored.restore(kept.state, kept.opened_at, kept.failures, kept.reason)
    assert state(restored) == "open"
    assert restored.remaining() == pytest.approx(18)
    assert restored.reason == breaker.reason
    assert restored.snapshot().opened_at == pytest.approx(kept.opened_at)
    again.pass_time(18)
    assert restored.allow()


@pytest.mark.parametrize(("jump", "left"), [(-86_400, 30), (86_400, 0)])
@pytest.mark.fault("F-28")
def test_a_wall_clock_that_jumped_neither_holds_it_longer_nor_breaks_it(
    clock: SteppedClock, jump: float, left: float
) -> None:
    restored = CircuitBreaker(1, 30, clock=clock)
    restored.restore("open", clock.wall - jump)
    assert restored.remaining() == pytest.approx(left)


def test_a_trial_call_in_flight_is_not_kept_over_a_restart(clock: SteppedClock) -> None:
    breaker = CircuitBreaker(1, 30, clock=clock)
    fails(breaker, 1)
    clock.pass_time(30)
    assert breaker.allow()
    kept = breaker.snapshot()
    restored = CircuitBreaker(1, 30, clock=clock)
    restored.restore(kept.state, kept.opened_at)
    assert restored.allow()
    assert not restored.allow()


def test_failures_in_a_row_are_kept_over_a_restart(clock: SteppedClock) -> None:
    breaker = CircuitBreaker(3, 30, clock=clock)
    fails(breaker, 2)
    kept = breaker.snapshot()
    restored = CircuitBreaker(3, 30, clock=clock)
    restored.restore(kept.state, kept.opened_at, kept.failures, kept.reason)
    fails(restored, 1)
    assert state(restored) == "open"


def test_an_async_function_is_never_taken_for_a_success(clock: SteppedClock) -> None:
    breaker = CircuitBreaker(1, 30, clock=clock)

    async def work() -> None: ...

    with pytest.raises(TypeError, match=r"await breaker\.acall"):
        _ = breaker.call(work)
    with pytest.raises(TypeError, match=r"await breaker\.acall"):
        _ = breaker.call(lambda: work())  # noqa: PLW0108 - a plain function that gives back a coroutine


@pytest.mark.anyio
async def test_async_calls_are_judged_and_a_cancelled_one_says_nothing(clock: SteppedClock) -> None:
    breaker = CircuitBreaker(1, 30, clock=clock)

    async def broken() -> None:
        raise Transient("down")

    async def answer(value: int) -> int:
        return value

    with pytest.raises(Transient):
        await breaker.acall(broken)
    clock.pass_time(30)
    with anyio.move_on_after(0.01):
        await breaker.acall(anyio.sleep_forever)
    assert state(breaker) == "half_open"
    assert await breaker.acall(answer, 7) == 7
    assert state(breaker) == "closed"


def test_of_many_threads_one_makes_the_trial_call_and_calls_run_side_by_side(clock: SteppedClock) -> None:
    breaker = CircuitBreaker(1, 30, clock=clock)
    fails(breaker, 1)
    clock.pass_time(30)
    with ThreadPoolExecutor(16) as pool:
        assert sum(pool.map(lambda _: breaker.allow(), range(200))) == 1
        breaker.record_success()
        met = Event()
        waiting = pool.submit(breaker.call, met.wait, 10)
        breaker.call(met.set)
        assert waiting.result()


@pytest.mark.parametrize(
    "setting",
    [{"failure_threshold": 0}, {"timeout": -1}, {"window": 0}, {"failure_rate": 1.5}, {"minimum_calls": 0}],
)
def test_settings_that_make_no_sense_are_refused(setting: dict[str, int]) -> None:
    with pytest.raises(ValueError, match="must"):
        CircuitBreaker(**setting)  # type: ignore[arg-type] # the settings are of different types
