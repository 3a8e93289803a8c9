"""The guide's circuit breaker, retries and cache, around its REST client and an API that fails on command."""

import asyncio
import time
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest
from support.guide import load
from support.guide_verdicts import expected_failure, promised
from support.scripted_scribe import Answer, ScriptedScribe

from scribe_connectors.scribe.client import ScanConfig, ScribeClient
from scribe_export.errors import BreakerOpen, Rejected, Transient
from scribe_export.patterns import CacheAside, RetryPolicy

BREAKER, RETRY, CACHE = "Circuit Breaker Pattern", "Retry Pattern", "Cache-Aside Pattern"


@pytest.fixture
def api() -> Iterator[ScriptedScribe]:
    with ScriptedScribe() as server:
        yield server


@pytest.fixture
def client(api: ScriptedScribe) -> Iterator[Any]:
    """The guide's."""
    made = load("Python Client Library").ScribeClient(api.url)
    yield made
    made.session.close()


def down(_: str, __: str) -> Answer:
    return Answer(503)


def fail() -> None:
    raise OSError("down")


def fails(breaker: Any, times: int) -> None:
    for _ in range(times):
        with pytest.raises(OSError, match="down"):
            breaker.call(fail)


def test_the_breaker_opens_and_after_its_time_one_success_closes_it() -> None:
    guide = load(BREAKER)
    breaker = guide.CircuitBreaker(failure_threshold=3, timeout=0)
    assert breaker.call(divmod, 7, 2) == (3, 1)
    fails(breaker, 3)
    assert breaker.state is guide.CircuitState.OPEN
    breaker.timeout = 60
    with pytest.raises(Exception, match="Circuit breaker is OPEN"):
        breaker.call(pytest.fail, "must not be called")
    breaker.last_failure_time = time.time() - 61
    assert breaker.call(int, "ff", base=16) == 255
    assert breaker.state is guide.CircuitState.CLOSED


def test_successes_between_failures_do_not_keep_its_breaker_closed() -> None:
    breaker = load(BREAKER).CircuitBreaker(failure_threshold=3)
    with expected_failure("CircuitBreaker.call: three failures with successes between them"):
        for _ in range(3):
            fails(breaker, 1)
            breaker.call(int)


def test_its_half_open_breaker_lets_everybody_through() -> None:
    breaker = load(BREAKER).CircuitBreaker(failure_threshold=1, timeout=0)
    fails(breaker, 1)
    breaker.last_failure_time -= 1
    others: list[Any] = []

    def trial() -> None:
        """Others call while it is not known yet how this goes."""
        others.extend(breaker.call(int) for _ in range(5))
        raise OSError("down")

    with expected_failure("CircuitBreaker.call: many callers at a half-open breaker"):
        with pytest.raises(OSError, match="down"):
            breaker.call(trial)
        promised(not others, instead=f"{len(others)} more were let through")


def test_its_resilient_call_scans_and_its_breaker_never_opens(api: ScriptedScribe, client: Any) -> None:
    resilient_scribe_call = load(BREAKER).resilient_scribe_call
    assert resilient_scribe_call(client, ScanConfig())["scan_id"] == 1
    api.script = down
    assert [resilient_scribe_call(client, ScanConfig()) for _ in range(10)] == [None] * 10
    with expected_failure("resilient_scribe_call: the API stays down"):
        promised(len(api.paths("/scan")) <= 4, instead=f"the API was asked {len(api.paths('/scan')) - 1} times")


def test_our_clients_breaker_opens_by_itself(api: ScriptedScribe) -> None:
    api.script = down
    with ScribeClient(api.url) as ours:
        for _ in range(5):
            with pytest.raises(Transient):
                ours.perform_scan(ScanConfig())
        for _ in range(5):
            with pytest.raises(BreakerOpen):
                ours.perform_scan(ScanConfig())
    assert len(api.paths("/scan")) == 5


def test_its_retries_end_with_a_success_or_the_last_error() -> None:
    policy = load(RETRY).RetryPolicy(max_attempts=3, max_delay=0.0)
    errors = iter([OSError("first"), OSError("second")])

    def flaky(value: int) -> int:
        for error in errors:
            raise error
        return value

    assert policy.execute(flaky, 7) == 7
    with pytest.raises(OSError, match="down"):
        policy.execute(fail)


def test_its_retries_ask_again_for_what_can_never_be(api: ScriptedScribe, client: Any) -> None:
    policy = load(RETRY).RetryPolicy(max_attempts=3, max_delay=0.0)
    with pytest.raises(Exception, match="422 Client Error"):
        policy.execute(client.perform_scan, ScanConfig(frequency=-1.0))
    with expected_failure("RetryPolicy.execute: the error is the caller's"):
        promised(len(api.paths("/scan")) == 1, instead=f"it was asked {len(api.paths('/scan'))} times")


def test_its_retries_take_an_async_function_for_a_success() -> None:
    calls = []

    async def flaky() -> int:
        calls.append(1)
        raise Transient("down")

    async def run() -> None:
        await load(RETRY).RetryPolicy(max_attempts=3, max_delay=0.0).execute(flaky)

    with expected_failure("RetryPolicy.execute: an async function"):
        try:
            asyncio.run(run())
        except Transient:
            promised(len(calls) == 3, instead=f"it was tried {len(calls)} time")


def test_its_retried_call_performs_a_scan_twice_when_an_answer_is_lost_and_ours_does_not(
    api: ScriptedScribe, client: Any
) -> None:
    def lost(_: str, target: str) -> Answer | None:
        if target != "/scan" or len(api.paths("/scan")) != 1:
            return None
        api.put(len(api.scans) + 1)
        return Answer(reset=True)

    api.script = lost
    assert load(RETRY).retry_scribe_call(client, ScanConfig())["scan_id"] == 2
    with expected_failure("retry_scribe_call: the answer is lost"):
        promised(len(api.scans) == 1, instead=f"{len(api.scans)} scans were performed for one")

    api.scans.clear()
    api.requests.clear()
    retry = RetryPolicy(max_attempts=3, base_delay=0.0)
    with ScribeClient(api.url, retry=retry) as ours, pytest.raises(Transient) as caught:
        ours.perform_scan(ScanConfig())
    assert caught.value.applied == "unknown"
    assert len(api.scans) == 1


def test_its_cache_keeps_a_value_for_its_time() -> None:
    cache = load(CACHE).CacheAside(ttl=60)
    cache.set("a", 1)
    cache.set("b", 2)
    assert (cache.get("a"), cache.get("b"), cache.get("c")) == (1, 2, None)
    cache.invalidate("a")
    cache.invalidate("a")
    cache.cache["b"]["timestamp"] -= 61
    assert (cache.get("a"), cache.get("b"), cache.cache) == (None, None, {})


def test_its_cached_call_scans_each_time_and_with_our_cache_once(api: ScriptedScribe, client: Any) -> None:
    cached_scribe_call = load(CACHE).cached_scribe_call
    assert [cached_scribe_call(client, ScanConfig())["scan_id"] for _ in range(2)] == [1, 2]
    with expected_failure("cached_scribe_call: it is called twice"):
        promised(len(api.scans) == 1, instead=f"{len(api.scans)} scans were performed")

    cache = CacheAside(ttl=300)
    with ScribeClient(api.url) as ours:
        for _ in range(2):
            found = cache.get("scan_440.0_2.0") or ours.perform_scan(ScanConfig())
            cache.set("scan_440.0_2.0", found)
    assert found["scan_id"] == 3
    assert len(api.scans) == 3


def test_our_client_asks_once_for_what_can_never_be(api: ScriptedScribe) -> None:
    with ScribeClient(api.url) as ours, pytest.raises(Rejected):
        ours.perform_scan(SimpleNamespace(**vars(load("Python Client Library").ScanConfig(frequency=-1.0))))
    assert len(api.paths("/scan")) == 1
