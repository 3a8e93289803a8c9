"""The guide's health monitor, its two checks and its example, with the simulator and Redis both well."""

import asyncio
from collections.abc import Callable
from functools import partial
from types import SimpleNamespace
from typing import Any

import pytest
import redis as genuine
from support.guide import load
from support.guide_program import example
from support.guide_verdicts import expected_failure, promised
from support.loop import in_loop
from support.redis_looks import client

from scribe_connectors.scribe.client import AsyncScribeClient
from scribe_export.patterns import HealthMonitor
from scribe_local.servers import LocalServer, Simulator

TITLE = "Integration Health Check"


def guide(simulator: Simulator, **more: Any) -> Any:
    """With the one name that its class does not import."""
    return load(TITLE, defaults={"ScribeClient": {"base_url": simulator.url}}, Callable=Callable, **more)


def test_the_section_ends_at_a_name_that_it_does_not_import() -> None:
    with expected_failure("IntegrationHealthMonitor"):
        load(TITLE)
    with expected_failure("Integration Health Check: main"):
        load(TITLE, name="__main__")


@in_loop
async def test_the_monitor_works_once_the_name_is_there(simulator: Simulator, capsys: Any) -> None:
    section = guide(simulator)
    monitor = section.IntegrationHealthMonitor()
    rounds = asyncio.Event()

    async def broken() -> bool:
        rounds.set()
        raise OSError("unplugged")

    monitor.register_integration("scribe", section.scribe_health_check)
    monitor.register_integration("microphone", broken)
    assert await monitor.check_all_health() == {"scribe": True, "microphone": False}
    assert monitor.get_unhealthy_integrations() == ["microphone"]
    assert capsys.readouterr().out == "Health check failed for microphone: unplugged\n"

    rounds.clear()
    watching = asyncio.create_task(monitor.monitor_continuously(interval=0))
    await asyncio.wait_for(rounds.wait(), 10)
    watching.cancel()
    with pytest.raises(asyncio.CancelledError):
        await watching


@in_loop
async def test_its_check_of_redis_says_no_for_want_of_an_import(simulator: Simulator, redis: LocalServer) -> None:
    there = SimpleNamespace(Redis=partial(genuine.Redis, port=redis.port))
    assert await guide(simulator, redis=there).redis_health_check(), "with the import it works"
    with expected_failure("redis_health_check"):
        promised(await guide(simulator).redis_health_check(), instead="it said no, and Redis answers")


def test_its_main_calls_a_healthy_redis_unhealthy(simulator: Simulator) -> None:
    defaults = {"ScribeClient": {"base_url": simulator.url}}
    ended = example(TITLE, defaults=defaults, imports={"Callable": "typing"})
    assert ended.returncode == 0, ended.stderr
    assert ended.stdout == "Unhealthy integrations: ['redis']\n"


@in_loop
async def test_our_monitor_finds_both_well(simulator: Simulator, redis: LocalServer) -> None:
    monitor = HealthMonitor()
    async with AsyncScribeClient(simulator.url) as scribe:
        with client(redis.port) as looking:
            monitor.register_integration("scribe", scribe.health_check)
            monitor.register_integration("redis", looking.ping)
            assert await monitor.check_all_health() == {"scribe": True, "redis": True}
    assert monitor.get_unhealthy_integrations() == []
