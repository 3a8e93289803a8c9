from collections.abc import Mapping
from typing import get_args

import anyio
import pytest

from scribe_export.errors import Misconfigured, PartialFailure, Rejected, SinkError, Throttled, Transient
from scribe_export.interface import Context
from scribe_export.testing.clock import SimulatedClock
from scribe_export.testing.flaky import Fate, FlakySink
from scribe_export.testing.memory import MemoryDestination, MemoryService, MemorySink, MemorySinkOptions
from scribe_export.testing.records import make_records
from scribe_export.testing.sealing import seal_one, send


def _effects(flaky: FlakySink) -> Mapping[str, int]:
    assert isinstance(flaky.inner, MemorySink)
    return MemoryDestination(flaky.inner.service).effects()


def _memory(options: MemorySinkOptions | None = None) -> MemorySink:
    context = Context("flaky", clock=SimulatedClock())
    return MemorySink(options or MemorySinkOptions(keeps="log"), context, service=MemoryService())


@pytest.mark.parametrize(
    ("fate", "error", "applied", "effects"),
    [
        ("refused", Transient, "no", 0),
        ("rejected", Rejected, "no", 0),
        ("lost_request", Transient, "unknown", 0),
        ("lost_answer", Transient, "unknown", 2),
        ("throttled", Throttled, "no", 0),
        ("misconfigured", Misconfigured, "no", 0),
    ],
)
def test_each_failing_fate_has_its_error_and_its_effect(
    fate: Fate, error: type[SinkError], applied: str, effects: int
) -> None:
    flaky = FlakySink(_memory(), [fate], retry_after=7.0)
    with pytest.raises(error) as caught:
        anyio.run(send, flaky, seal_one(flaky, make_records(2)))
    assert type(caught.value) is error
    assert caught.value.applied == applied
    assert sum(_effects(flaky).values()) == effects
    if isinstance(caught.value, Throttled):
        assert caught.value.retry_after == 7.0


def test_a_bug_is_no_error_of_the_closed_set() -> None:
    flaky = FlakySink(_memory(), ["bug"])
    with pytest.raises(RuntimeError):
        anyio.run(send, flaky, seal_one(flaky, make_records(1)))


def test_a_partial_failure_acks_what_is_written_and_names_the_rest() -> None:
    flaky = FlakySink(_memory(), ["partial"], seed=3)
    batch = seal_one(flaky, make_records(6))
    with pytest.raises(PartialFailure) as caught:
        anyio.run(send, flaky, batch)
    assert set(_effects(flaky)) == {batch.records[index].scan_id for index in caught.value.acked}
    assert caught.value.acked
    assert caught.value.acked | set(caught.value.errors) == set(range(6))
    assert caught.value.acked.isdisjoint(caught.value.errors)


def test_a_batch_with_poison_always_fails_and_the_others_go() -> None:
    flaky = FlakySink(_memory(), poison={"2"})
    records = make_records(3)
    for members in (records, records[1:2]):
        with pytest.raises(Transient):
            anyio.run(send, flaky, seal_one(flaky, members))
    anyio.run(send, flaky, seal_one(flaky, [records[0], records[2]]))
    assert set(_effects(flaky)) == {"1", "3"}


def test_a_hanging_write_goes_on_when_it_is_released() -> None:
    async def check() -> None:
        flaky = FlakySink(_memory(), ["hang"])
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(send, flaky, seal_one(flaky, make_records(1)))
            await SimulatedClock().settle()
            assert flaky.hanging == 1
            assert not _effects(flaky)
            flaky.release()
        assert _effects(flaky) == {"1": 1}
        assert flaky.hanging == 0

    anyio.run(check)


def test_fates_by_chance_are_the_same_for_the_same_seed_and_differ_for_another() -> None:
    def fates(seed: int) -> list[Fate]:
        flaky = FlakySink(_memory(), ["ok"], chances={"ok": 1, "refused": 1, "lost_answer": 1}, seed=seed)
        for record in make_records(30):
            try:
                anyio.run(send, flaky, seal_one(flaky, [record]))
            except Transient:
                continue
        return [attempt.fate for attempt in flaky.attempts]

    assert fates(1) == fates(1)
    assert fates(1) != fates(2)
    assert set(fates(1)) == {"ok", "refused", "lost_answer"}


def test_an_unknown_fate_is_refused_with_those_known() -> None:
    with pytest.raises(ValueError, match="no such fate: lost; known are ok"):
        FlakySink(_memory(), ["lost"])  # type: ignore[list-item]  # the mistake under test


def test_every_fate_can_be_met() -> None:
    async def check() -> None:
        for fate in get_args(Fate):
            flaky = FlakySink(_memory(), [fate])
            with anyio.move_on_after(0.05 if fate == "hang" else 10):
                try:
                    await send(flaky, seal_one(flaky, make_records(2)))
                except (SinkError, RuntimeError):
                    continue

    anyio.run(check)
