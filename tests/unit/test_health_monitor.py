import anyio
import pytest
from support.stepped_clock import SteppedClock

from scribe_export.patterns import HealthMonitor

pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


class Service:
    def __init__(self, *, healthy: bool = True) -> None:
        self.healthy = healthy
        self.asked = 0

    async def check(self) -> bool:
        self.asked += 1
        return self.healthy


async def broken() -> bool:
    raise ConnectionRefusedError("nobody listens")


async def silent() -> bool:
    await anyio.sleep_forever()
    return True


async def test_the_guides_methods_tell_who_is_unhealthy() -> None:
    monitor = HealthMonitor()
    monitor.register_integration("scribe", Service().check)
    monitor.register_integration("redis", Service(healthy=False).check)
    monitor.register_integration("plain", lambda: True)
    assert monitor.get_unhealthy_integrations() == []
    assert await monitor.check_all_health() == {"scribe": True, "redis": False, "plain": True}
    assert monitor.get_unhealthy_integrations() == ["redis"]
    assert monitor.health_status["redis"] is False


async def test_a_check_that_raises_or_never_answers_is_unhealthy_and_delays_no_other() -> None:
    reasons: dict[str, str] = {}
    monitor = HealthMonitor(timeout=0.05, on_change=lambda name, _, reason: reasons.update({name: reason}))
    for number in range(20):
        monitor.register_integration(f"silent-{number}", silent)
    monitor.register_integration("broken", broken)
    monitor.register_integration("well", Service().check)
    with anyio.fail_after(0.9):  # twenty deadlines one after another would take a second
        answers = await monitor.check_all_health()
    assert [name for name, healthy in answers.items() if healthy] == ["well"]
    assert reasons["broken"] == "ConnectionRefusedError: nobody listens"
    assert reasons["silent-0"] == "no answer within 0.05 s"


async def test_monitoring_goes_on_at_its_interval_and_tells_each_change_once() -> None:
    clock = SteppedClock()
    service = Service()
    told: list[tuple[int, bool]] = []
    monitor = HealthMonitor(clock=clock, on_change=lambda _, healthy, __: told.append((service.asked, healthy)))
    monitor.register_integration("scribe", service.check)
    async with anyio.create_task_group() as group:
        group.start_soon(monitor.monitor_continuously, 5)
        for healthy, until in [(True, 3), (False, 6), (True, 9)]:
            service.healthy = healthy
            while service.asked < until:
                await anyio.lowlevel.checkpoint()
        group.cancel_scope.cancel()
    assert told == [(4, False), (7, True)]
    assert set(clock.slept) == {5}


async def test_a_first_answer_is_told_only_when_it_is_bad() -> None:
    told: list[str] = []
    monitor = HealthMonitor(on_change=lambda name, _, __: told.append(name))
    monitor.register_integration("good", Service().check)
    monitor.register_integration("bad", Service(healthy=False).check)
    await monitor.check_all_health()
    await monitor.check_all_health()
    assert told == ["bad"]
