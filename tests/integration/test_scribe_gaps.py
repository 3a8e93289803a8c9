"""Scans that the SCRIBE API no longer lists or no longer has: told as missed, each time once."""

import anyio
import pytest
from structlog.testing import capture_logs
from support.eventually import eventually
from support.scribe_source import made, taken, text
from support.scripted_scribe import Answer, ScriptedScribe
from support.source_run import Notebook, run_source
from support.stepped_clock import SteppedClock

pytestmark = pytest.mark.anyio


async def test_after_a_long_absence_the_limit_rises_until_known_scans_are_met(api: ScriptedScribe) -> None:
    api.put(*range(1, 101))
    notebook = Notebook()
    await taken(made(api, max_limit=400), notebook)
    api.put(*range(101, 251))
    api.requests.clear()
    source = made(api, max_limit=400)
    await taken(source, notebook)
    assert notebook.ids == text(range(1, 251))
    assert [path.partition("=")[2] for path in api.paths("/scans?")] == ["10", "20", "40", "80", "160"]
    assert source.gaps == 0


async def test_a_list_full_of_unknown_scans_raises_the_alarm_once(api: ScriptedScribe) -> None:
    api.put(*range(1, 11))
    notebook = Notebook()
    await taken(made(api, max_limit=50), notebook)
    api.put(*range(11, 101))
    source = made(api, max_limit=50)
    with capture_logs() as logs:
        await taken(source, notebook)
        await taken(source, notebook)
    assert notebook.ids == [*text(range(1, 11)), *text(range(51, 101))]
    (gap,) = [entry for entry in logs if entry["event"] == "gap"]
    assert (gap["log_level"], gap["asked"], gap["listed"], gap["max_limit"]) == ("error", 50, 50, 50)
    assert (gap["oldest_scan_id"], gap["first_start"], gap["source"]) == (51, False, "api")
    assert source.gaps == 1
    assert source.last_gap is not None
    assert source.last_gap.what == gap["hint"]


async def test_a_full_list_whose_oldest_scan_is_known_is_no_gap(api: ScriptedScribe) -> None:
    api.put(*range(1, 11))
    notebook = Notebook()
    await taken(made(api, max_limit=50), notebook)
    api.put(*range(11, 60))
    source = made(api, max_limit=50)
    await taken(source, notebook)
    assert notebook.ids == text(range(1, 60))
    assert source.gaps == 0


@pytest.mark.parametrize("limit", ["listed_at_most", "limit_at_most"])
async def test_an_api_that_lists_fewer_than_asked_is_a_gap_too(api: ScriptedScribe, limit: str) -> None:
    api.put(*range(1, 11))
    notebook = Notebook()
    await taken(made(api), notebook)
    setattr(api, limit, 40)
    api.put(*range(11, 101))
    source = made(api)
    await taken(source, notebook)
    assert notebook.ids == [*text(range(1, 11)), *text(range(61, 101))]
    assert source.gaps == 1


async def test_a_first_start_tells_when_there_is_more_than_it_may_ask_for(api: ScriptedScribe) -> None:
    api.put(*range(1, 101))
    source, notebook = made(api, max_limit=40), Notebook()
    with capture_logs() as logs:
        await taken(source, notebook)
    assert notebook.ids == text(range(61, 101))
    assert [entry["first_start"] for entry in logs if entry["event"] == "gap"] == [True]


async def test_a_scan_that_is_deleted_before_it_was_fetched_is_missed(api: ScriptedScribe, clock: SteppedClock) -> None:
    api.put(1, 2)
    listed = b'{"scans":[{"scan_id":2,"timestamp":"x"},{"scan_id":1,"timestamp":"x"}]}'
    api.script = lambda _, target: (
        Answer(404) if target == "/scans/1" else Answer(body=listed) if "limit" in target else None
    )
    notebook, source = Notebook(), made(api, clock, once=False)
    await source.open()
    async with anyio.create_task_group() as group:
        group.start_soon(run_source, source, notebook)
        await eventually(lambda: source.gaps)
        group.cancel_scope.cancel()
    await source.close()
    assert notebook.ids == ["2"]
    assert source.last_gap is not None
    assert source.last_gap.what == "scan 1 was listed and is gone"
