from collections.abc import Callable
from contextlib import suppress

import anyio
import pytest
from support.eventually import eventually
from support.scribe_source import made, taken, text
from support.scripted_scribe import Answer, ScriptedScribe
from support.source_run import Notebook, run_source
from support.stepped_clock import SteppedClock

from scribe_export.errors import Misconfigured, SourceError, Transient
from scribe_export.model import Delivery

pytestmark = pytest.mark.anyio


def failing(*ids: str, status: int = 500) -> Callable[[str, str], Answer | None]:
    return lambda _, target: Answer(status) if target.rpartition("/")[2] in ids else None


def dying_after(requests: int) -> Callable[[str, str], Answer | None]:
    left = iter(range(requests))
    return lambda _, __: Answer(reset=True) if next(left, None) is None else None


async def test_it_yields_everything_oldest_first_by_the_guides_requests_and_byte_for_byte(api: ScriptedScribe) -> None:
    put = api.put(*range(1, 36))
    notebook = Notebook()
    await taken(made(api), notebook)
    assert notebook.ids == text(range(1, 36))
    assert notebook.bodies == put
    assert api.paths("/scans?") == ["/scans?limit=10", "/scans?limit=20", "/scans?limit=40"]
    assert sorted(api.paths("/scans/")) == sorted(f"/scans/{number}" for number in range(1, 36))


async def test_the_list_may_hold_summaries_for_the_documents_are_fetched(api: ScriptedScribe) -> None:
    put = api.put(1, 2)
    summaries = b'{"scans":[{"scan_id":2,"timestamp":"x"},{"scan_id":1}]}'
    api.script = lambda _, target: Answer(body=summaries) if "limit" in target else None
    notebook = Notebook()
    await taken(made(api), notebook)
    assert notebook.bodies == put


async def test_a_later_run_asks_for_few_and_takes_only_what_is_new(api: ScriptedScribe) -> None:
    api.put(*range(1, 51))
    notebook = Notebook()
    await taken(made(api), notebook)
    api.requests.clear()
    await taken(made(api), notebook)
    assert api.paths("/scans") == ["/scans?limit=10"]
    api.put(51, 52)
    api.requests.clear()
    await taken(made(api), notebook)
    assert notebook.ids == text(range(1, 53))
    assert api.paths("/scans?") == ["/scans?limit=10"]
    assert sorted(api.paths("/scans/")) == ["/scans/51", "/scans/52"]


@pytest.mark.parametrize("there", [0, 30])
async def test_starting_at_the_latest_takes_only_what_comes_later_also_after_a_restart(
    api: ScriptedScribe, there: int
) -> None:
    api.put(*range(1, there + 1))
    notebook = Notebook()
    source = made(api, start="latest", max_limit=20)
    await taken(source, notebook)
    assert notebook.ids == []
    assert source.gaps == 0
    api.put(101, 102)
    await taken(made(api, start="latest", max_limit=20), notebook)
    assert notebook.ids == ["101", "102"]


async def test_scans_that_appear_late_below_newer_ones_are_found(api: ScriptedScribe) -> None:
    api.put(*range(1, 31))
    notebook = Notebook()
    await taken(made(api), notebook)
    order = list(api.scans)
    api.put(99)
    api.scans = {scan_id: api.scans[scan_id] for scan_id in [*order[:-4], 99, *order[-4:]]}
    await taken(made(api), notebook)
    assert notebook.ids[-1] == "99"
    assert len(notebook.ids) == 31
    order = list(api.scans)
    api.put(98, *range(40, 49))  # nine newer ones and a known one fill the first list; the late one is below them
    api.scans = {scan_id: api.scans[scan_id] for scan_id in [*order[:-3], 98, *order[-3:], *range(40, 49)]}
    await taken(made(api), notebook)
    assert "98" in notebook.ids
    assert len(notebook.ids) == 41


async def test_ids_need_neither_rise_nor_be_numbers(api: ScriptedScribe) -> None:
    put = api.put(70, 3, "b2c4", 12, "a/b", 71, 2)
    notebook = Notebook()
    await taken(made(api), notebook)
    put |= api.put(1, "0")
    await taken(made(api), notebook)
    assert notebook.ids == ["70", "3", "b2c4", "12", "a/b", "71", "2", "1", "0"]
    assert notebook.bodies == put


@pytest.mark.parametrize(
    "odd", [b"NaN", b'"\\ud800"', b"9" * 5000, b'{"a": "\x01"}'], ids=["NaN", "surrogate", "digits", "control"]
)
async def test_a_document_in_the_list_that_no_decoder_takes_hides_no_other(api: ScriptedScribe, odd: bytes) -> None:
    put = api.put(1, 2)
    notebook = Notebook()
    await taken(made(api), notebook)
    api.scans["odd"] = b'{"scan_id": "odd", "x": ' + odd + b"}"
    put |= api.put(3)
    source = made(api)
    with suppress(Transient):  # it says that one could not be fetched
        await taken(source, notebook)
    assert {scan_id: notebook.bodies[scan_id] for scan_id in put} == put
    assert notebook.ids.count("1") == 1


@pytest.mark.parametrize("scan_id", [b'""', b"null", b"true", b"[1]", b'"\\udc00"', b"1.5"])
async def test_a_scan_that_is_listed_without_an_id_is_told_of_and_hides_no_other(
    api: ScriptedScribe, scan_id: bytes
) -> None:
    api.put(1)
    api.scans["nameless"] = b'{"scan_id": ' + scan_id + b"}"
    api.put(2)
    notebook, source = Notebook(), made(api)
    await taken(source, notebook)
    assert notebook.ids == ["1", "2"]
    assert source.last_gap is not None
    assert "listed without an id" in source.last_gap.what


async def test_a_reset_server_that_gives_ids_again_loses_no_scan(api: ScriptedScribe) -> None:
    api.put(*range(1, 6))
    notebook = Notebook()
    await taken(made(api), notebook)
    api.scans = {
        number: f'{{"scan_id":{number},"timestamp":"2027-01-01T00:00:0{number}Z"}}'.encode() for number in (1, 2)
    }
    source = made(api)
    await taken(source, notebook)
    assert notebook.ids == ["1", "2", "3", "4", "5", "1", "2"]
    assert source.gaps == 1


async def test_deliveries_are_bounded_by_records_and_by_bytes(api: ScriptedScribe) -> None:
    api.put(*range(1, 21))
    notebook = Notebook()
    await taken(made(api, max_records=7), notebook)
    assert notebook.sizes == [7, 7, 6]
    large = b'{"scan_id":%d,"pad":"' + b"x" * 3 * 2**20 + b'"}'
    api.scans |= {number: large % number for number in range(21, 27)}
    notebook.sizes.clear()
    await taken(made(api, max_in_flight=1), notebook)
    assert notebook.sizes == [3, 3]
    assert notebook.ids == text(range(1, 27))


async def test_one_delivery_at_a_time_is_unacked(api: ScriptedScribe) -> None:
    api.put(*range(1, 10))
    source, given = made(api, max_records=3), list[Delivery]()

    async def read() -> None:
        async for delivery in source.deliveries(Notebook()):
            given.append(delivery)

    await source.open()
    async with anyio.create_task_group() as group:
        group.start_soon(read)
        await eventually(lambda: len(api.paths("/scans/")) == 6)  # the next are fetched meanwhile
        assert len(given) == 1
        await given[0].ack()
        await eventually(lambda: len(given) == 2)
        await given[1].ack()
        await eventually(lambda: len(given) == 3)
        await given[2].ack()
    await source.close()


async def test_a_scan_whose_document_cannot_be_fetched_delays_no_other_and_is_not_skipped(
    api: ScriptedScribe, clock: SteppedClock
) -> None:
    api.put(*range(1, 41))
    api.script = failing("7", "38")
    notebook = Notebook()
    with pytest.raises(Transient, match=r"2 scans could not be fetched, first 7: .*500"):
        await taken(made(api), notebook)
    assert notebook.ids == [number for number in text(range(1, 41)) if number not in {"7", "38"}]
    api.put(*range(41, 101))  # far more than the list would show again
    with pytest.raises(Transient):
        await taken(made(api), notebook)
    api.script = lambda _, __: None
    await taken(made(api), notebook)
    assert sorted(notebook.ids, key=int) == text(range(1, 101))


async def test_many_scans_that_draw_a_500_do_not_keep_the_others_behind_the_breaker(api: ScriptedScribe) -> None:
    api.put(*range(1, 61))
    api.script = failing(*text(range(1, 41)))
    notebook, source = Notebook(), made(api, clock := SteppedClock())
    for _ in range(20):
        with pytest.raises(Transient):
            await taken(source, notebook)
        clock.pass_time(60)
    assert notebook.ids == text(range(41, 61))
    api.script = lambda _, __: None
    await taken(source, notebook)
    assert sorted(notebook.ids, key=int) == text(range(1, 61))


async def test_another_scans_document_is_not_taken_for_it(api: ScriptedScribe) -> None:
    api.put(1, 2)
    api.script = lambda _, target: Answer(body=b'{"scan_id":1}') if target == "/scans/2" else None
    notebook = Notebook()
    with pytest.raises(Transient, match="asked for scan 2, got scan 1"):
        await taken(made(api), notebook)
    assert notebook.ids == ["1"]


async def test_a_running_source_polls_at_its_interval_and_tries_postponed_scans_again(
    api: ScriptedScribe, clock: SteppedClock
) -> None:
    put = api.put(1, 2)
    api.script = failing("1")
    notebook, source = Notebook(), made(api, clock, once=False, poll_interval=5)
    await source.open()
    async with anyio.create_task_group() as group:
        group.start_soon(run_source, source, notebook)
        await eventually(lambda: len(api.paths("/scans/1")) >= 3)
        assert notebook.ids == ["2"]
        await eventually(lambda: len(api.paths("/scans?")) >= 60)
        assert len(api.paths("/scans/1")) < 40  # the waits between two tries grow
        api.script = lambda _, __: None
        await eventually(lambda: len(notebook.ids) == 2)
        put |= api.put(3)
        await eventually(lambda: len(notebook.ids) == 3)
        group.cancel_scope.cancel()
    await source.close()
    assert notebook.bodies == put
    assert set(clock.slept) == {5}


async def test_a_nacked_delivery_comes_again_and_nothing_after_it_is_handed_over(api: ScriptedScribe) -> None:
    api.put(*range(1, 10))
    answers = iter([True, False])
    notebook, source = Notebook(), made(api, max_records=3)
    await taken(source, notebook, take=lambda _: next(answers))
    assert notebook.ids == ["1", "2", "3"]
    await taken(source, notebook)
    assert notebook.ids == text(range(1, 10))


async def test_a_running_source_hands_a_nacked_delivery_over_again(api: ScriptedScribe, clock: SteppedClock) -> None:
    api.put(*range(1, 10))
    answers = iter([True, False, False])
    notebook = Notebook()
    await taken(made(api, clock, once=False, max_records=3), notebook, take=lambda _: next(answers, True), until=9)
    assert notebook.ids == text(range(1, 10))
    assert clock.slept[:2] == [5, 5]


async def test_a_crash_before_the_commit_skips_nothing(api: ScriptedScribe) -> None:
    put = api.put(*range(1, 10))
    notebook = Notebook()
    await taken(made(api, max_records=3), notebook, until=3)
    for _ in range(3):
        source = made(api, max_records=3)
        await source.open()
        async for _delivery in source.deliveries(notebook):
            break  # handed over, and neither committed nor acked
        await source.close()
    await taken(made(api), notebook)
    assert notebook.ids == text(range(1, 10))
    assert notebook.bodies == put


async def test_a_server_that_goes_and_comes_back_costs_no_scan(api: ScriptedScribe) -> None:
    put = api.put(*range(1, 31))
    notebook, source = Notebook(), made(api, clock := SteppedClock(), max_records=4)
    rounds = 0
    while len(notebook.ids) < 30:
        rounds += 1
        api.script = dying_after(9)
        try:
            await source.open()
            await run_source(source, notebook)
        except Transient:
            clock.pass_time(60)
        assert rounds < 30
    await source.close()
    assert rounds > 2
    assert notebook.bodies == put
    assert sorted(notebook.ids, key=int) == text(range(1, 31))


async def test_errors_say_who_has_to_act(api: ScriptedScribe) -> None:
    api.put(1)
    notebook = Notebook()
    api.script = lambda _, target: Answer(401) if "limit" in target else None
    with pytest.raises(Misconfigured, match="check api_key"):
        await taken(made(api), notebook)
    api.script = lambda _, target: Answer(403) if target == "/scans/1" else None
    with pytest.raises(Misconfigured, match="check api_key"):
        await taken(made(api), notebook)
    api.script = lambda _, target: Answer(422, b'{"detail":"limit"}') if "limit" in target else None
    with pytest.raises(SourceError, match="list of scans cannot be read"):
        await taken(made(api), notebook)
    for body in (b"<html>", b"{}", b'{"scans":[{"id":1}]}'):
        api.script = lambda _, target, body=body: Answer(body=body) if "limit" in target else None  # type: ignore[misc] # a default binds it
        with pytest.raises(Transient, match="not what the guide says"):
            await taken(made(api), notebook)
    api.script = lambda _, __: Answer(503)
    with pytest.raises(Transient, match="503"):
        await made(api).open()


async def test_closing_is_safe_twice_and_before_opening(api: ScriptedScribe) -> None:
    source = made(api)
    await source.close()
    await source.open()
    await source.close()
    await source.close()
