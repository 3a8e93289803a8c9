import threading
import time
from functools import partial

import anyio
import anyio.to_thread
import pytest

from scribe_export.testing.clock import SimulatedClock


def test_sleepers_wake_in_the_order_of_their_moments_each_at_its_own() -> None:
    async def check() -> list[tuple[str, float]]:
        clock, woken = SimulatedClock(), list[tuple[str, float]]()

        async def sleeper(name: str, seconds: float) -> None:
            await clock.sleep(seconds)
            woken.append((name, clock.monotonic()))

        async with anyio.create_task_group() as tasks:
            for name, seconds in (("late", 30.0), ("early", 10.0), ("same", 10.0), ("never", 100.0)):
                tasks.start_soon(sleeper, name, seconds)
            await clock.advance(60)
            assert clock.sleepers == 1
            assert clock.monotonic() == 60
            tasks.cancel_scope.cancel()
        assert clock.sleepers == 0
        return woken

    assert anyio.run(check) == [("early", 10.0), ("same", 10.0), ("late", 30.0)]


def test_a_loop_that_sleeps_again_and_again_is_woken_each_time_within_one_advance() -> None:
    async def check() -> int:
        clock, beats = SimulatedClock(), 0

        async def loop() -> None:
            nonlocal beats
            while True:
                await clock.sleep(1)
                beats += 1

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(loop)
            await clock.advance(3600)
            tasks.cancel_scope.cancel()
        return beats

    assert anyio.run(check) == 3600


def test_time_waits_for_work_in_threads_before_the_next_sleeper_wakes() -> None:
    async def check() -> list[str]:
        clock, events = SimulatedClock(), list[str]()

        async def works() -> None:
            await clock.sleep(1)
            await anyio.to_thread.run_sync(partial(time.sleep, 0.05))
            events.append(f"worked by {clock.monotonic():g}")

        async def sleeps() -> None:
            await clock.sleep(2)
            events.append("slept")

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(works)
            tasks.start_soon(sleeps)
            await clock.advance(5)
        return events

    assert anyio.run(check) == ["worked by 1", "slept"]


def test_a_thread_that_hangs_does_not_stop_time() -> None:
    async def check() -> None:
        clock, stop = SimulatedClock(), threading.Event()
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(partial(anyio.to_thread.run_sync, stop.wait))
            begun = time.monotonic()
            for _ in range(10):
                await clock.advance(60)
            assert time.monotonic() - begun < 10
            stop.set()

    anyio.run(check)


def test_a_thread_of_another_making_is_waited_for_while_it_says_it_is_busy() -> None:
    async def check() -> None:
        done = threading.Event()
        clock = SimulatedClock(busy=lambda: not done.is_set())
        timer = threading.Timer(0.05, done.set)
        timer.start()
        await clock.advance(1)
        assert done.is_set()
        timer.join()

    anyio.run(check)


def test_one_that_is_busy_for_ever_does_not_stop_time() -> None:
    async def check() -> None:
        clock = SimulatedClock(busy=lambda: True)
        begun = time.monotonic()
        for _ in range(5):
            await clock.advance(60)
        assert time.monotonic() - begun < 10

    anyio.run(check)


@pytest.mark.fault("F-28")
def test_a_jump_moves_the_wall_clock_and_wakes_nobody() -> None:
    async def check() -> None:
        clock = SimulatedClock(1000.0)
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(clock.sleep, 10)
            await clock.settle()
            clock.jump(-86400)
            await clock.settle()
            assert clock.sleepers == 1
            assert (clock.now(), clock.monotonic()) == (1000.0 - 86400, 0.0)
            await clock.advance(10)
            assert clock.sleepers == 0

    anyio.run(check)


def test_advancing_until_a_condition_stops_at_the_wake_up_that_meets_it() -> None:
    async def check() -> None:
        clock, beats = SimulatedClock(), list[float]()

        async def loop() -> None:
            while True:
                await clock.sleep(7)
                beats.append(clock.monotonic())

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(loop)
            assert await clock.advance_until(lambda: len(beats) == 3, within=1000)
            assert clock.monotonic() == 21
            assert not await clock.advance_until(lambda: len(beats) == 99, within=10)
            assert clock.monotonic() == 31
            tasks.cancel_scope.cancel()

    anyio.run(check)


def test_time_does_not_go_back() -> None:
    with pytest.raises(ValueError, match="jump"):
        anyio.run(SimulatedClock().advance, -1)
