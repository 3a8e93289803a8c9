"""Alerts on their way to a webhook that fails."""

import random
from collections.abc import Iterable
from pathlib import Path

import anyio
import msgspec
from structlog.testing import capture_logs
from support.loop import in_loop

from scribe_export.alerts.event import Event
from scribe_export.alerts.options import WebhookOptions
from scribe_export.alerts.outbox import Outbox
from scribe_export.alerts.sending import Sending
from scribe_export.alerts.webhook import Webhook
from scribe_export.errors import Misconfigured, Throttled, Transient
from scribe_export.options import Secret
from scribe_export.testing.clock import SimulatedClock

OPTIONS = WebhookOptions(url=Secret("https://hooks.example/services/T0K3N"))


class Scripted(Webhook):
    """Fails as scripted, then takes all; `taken` are the names of what it took."""

    def __init__(self, *errors: Exception) -> None:
        super().__init__(OPTIONS, Path())
        self.errors, self.taken, self.attempts = list(errors), list[str](), 0

    async def send(self, body: bytes) -> None:
        self.attempts += 1
        if self.errors:
            raise self.errors.pop(0)
        self.taken.append(msgspec.json.decode(body)["name"])


class Sent:
    """A sending under way, on simulated time; `saves` is how many times it told that something changed."""

    def __init__(self, webhook: Scripted) -> None:
        self.clock, self.outbox, self.saves = SimulatedClock(), Outbox(), 0
        rng = random.Random(1)
        self.sending = Sending(webhook, self.outbox, pipeline="lab", clock=self.clock, rng=rng, changed=self._changed)

    async def _changed(self) -> None:
        self.saves += 1

    def put(self, names: Iterable[str]) -> None:
        for name in names:
            self.outbox.put(Event("destination_held", name, "raised", "", 0.0, 0.0))
        self.sending.ring()


@in_loop
async def test_a_webhook_that_fails_is_logged_once_and_gets_everything_in_the_end() -> None:
    webhook = Scripted(*[Transient("answered 503") for _ in range(20)])
    sent = Sent(webhook)
    with capture_logs() as logs:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(sent.sending.run)
            sent.put("ab")
            await sent.clock.advance(60.0)
            assert 2 <= webhook.attempts <= 20
            assert webhook.taken == []
            assert await sent.clock.advance_until(lambda: len(webhook.taken) == 2, within=20 * 300.0)
            sent.put("c")
            await sent.clock.settle()
            assert webhook.taken[2:] == ["c"]
            tasks.cancel_scope.cancel()
    assert sorted(webhook.taken[:2]) == ["a", "b"]
    assert [(entry["event"], entry["log_level"]) for entry in logs] == [
        ("webhook held", "warning"),
        ("webhook goes on", "info"),
    ]
    assert logs[0]["host"] == "hooks.example"
    assert "T0K3N" not in str(logs)
    assert sent.saves == 23


@in_loop
async def test_what_only_an_operator_can_mend_is_an_error_and_goes_on_once_it_is_mended() -> None:
    webhook = Scripted(Misconfigured("answered 401; check url and headers"))
    sent = Sent(webhook)
    with capture_logs() as logs:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(sent.sending.run)
            sent.put("a")
            assert await sent.clock.advance_until(lambda: webhook.taken == ["a"], within=300.0)
            tasks.cancel_scope.cancel()
    assert (logs[0]["event"], logs[0]["log_level"]) == ("webhook held", "error")


@in_loop
async def test_a_bug_on_the_way_is_one_more_failure_and_shows_nothing() -> None:
    webhook = Scripted(ValueError("https://hooks.example/services/T0K3N"))
    sent = Sent(webhook)
    with capture_logs() as logs:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(sent.sending.run)
            sent.put("a")
            assert await sent.clock.advance_until(lambda: webhook.taken == ["a"], within=300.0)
            tasks.cancel_scope.cancel()
    assert logs[0]["reason"] == "ValueError"
    assert "T0K3N" not in str(logs)


@in_loop
async def test_a_webhook_that_asks_for_time_is_given_it() -> None:
    webhook = Scripted(Throttled("429: too many requests", retry_after=600.0))
    sent = Sent(webhook)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(sent.sending.run)
        sent.put("a")
        await sent.clock.advance(599.0)
        assert webhook.attempts == 1
        await sent.clock.advance(2.0)
        assert webhook.taken == ["a"]
        tasks.cancel_scope.cancel()


@in_loop
async def test_one_that_is_refused_does_not_hold_up_the_others() -> None:
    class Picky(Scripted):
        async def send(self, body: bytes) -> None:
            if msgspec.json.decode(body)["name"] == "bad":
                raise Misconfigured("answered 400; check url and headers")
            await super().send(body)

    webhook = Picky()
    sent = Sent(webhook)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(sent.sending.run)
        sent.put(["bad", "a", "b"])
        await sent.clock.advance(600.0)
        assert webhook.taken == ["a", "b"]
        assert [event.name for event in sent.outbox.waiting] == ["bad"]
        tasks.cancel_scope.cancel()
