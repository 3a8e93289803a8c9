"""Scans told of by a WebSocket and fetched by REST: a scripted API with a scripted WebSocket beside it."""

from collections.abc import AsyncGenerator, Iterator, MutableMapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import anyio
import pytest
from structlog.testing import capture_logs
from support.certificates import certificate
from support.eventually import eventually
from support.loop import in_loop
from support.scripted_events import ScriptedEvents
from support.scripted_scribe import Answer, ScriptedScribe
from support.source_run import Notebook, run_source

from scribe_connectors.scribe.options import TlsOptions
from scribe_connectors.scribe.websocket import ScribeWebSocketSource
from scribe_connectors.scribe.websocket_options import ScribeWebSocketOptions
from scribe_export.errors import Misconfigured
from scribe_export.interface import Context

NEVER = 3600.0


@pytest.fixture
def api() -> Iterator[ScriptedScribe]:
    with ScriptedScribe() as server:
        yield server


@pytest.fixture
def events() -> Iterator[ScriptedEvents]:
    with ScriptedEvents() as server:
        server.greeting = '{"type":"heartbeat"}'  # the first frame has the history asked, which is to hide nothing here
        yield server


@asynccontextmanager
async def running(
    api: ScriptedScribe, events: ScriptedEvents, notebook: Notebook, **more: Any
) -> AsyncGenerator[list[MutableMapping[str, Any]]]:
    """A source that runs meanwhile; what it logs. Unless asked for `latest`, it has been started before."""
    if more.get("start") != "latest":
        notebook.values.setdefault("head", '{"slot":0,"postponed":{}}')
    given = {"url": api.url, "ws_url": events.url, "poll_interval": NEVER, "timeout": 5.0, **more}
    source = ScribeWebSocketSource(ScribeWebSocketOptions.model_validate(given), Context("live"))
    await source.open()
    try:
        with capture_logs() as logs:
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(run_source, source, notebook)
                yield logs
                tasks.cancel_scope.cancel()
    finally:
        with anyio.CancelScope(shield=True):
            await source.close()


async def quiet(api: ScriptedScribe, events: ScriptedEvents) -> None:
    """Subscribed, and the look that follows is over."""
    await eventually(lambda: events.subscribers)
    count = -1
    while count != (count := len(api.requests)):  # noqa: ASYNC110 - the scripted API rings no bell
        await anyio.sleep(0.1)


def said(logs: list[MutableMapping[str, Any]], event: str) -> list[MutableMapping[str, Any]]:
    return [entry for entry in logs if entry["event"] == event]


def fetched(api: ScriptedScribe) -> list[str]:
    return [path.rpartition("/")[2] for path in api.paths("/scans/")]


@in_loop
async def test_an_event_has_its_scan_fetched_whole_and_no_list_asked_for(
    api: ScriptedScribe, events: ScriptedEvents
) -> None:
    notebook = Notebook()
    put = api.put(1, 2)
    async with running(api, events, notebook, api_key="s3cret"):
        await eventually(lambda: len(notebook.ids) == 2)
        await quiet(api, events)
        lists = len(api.paths("/scans?"))
        put |= api.put(3, "x/4")
        events.completed(3, "x/4")
        await eventually(lambda: len(notebook.ids) == 4)
        assert notebook.bodies == put
        assert len(api.paths("/scans?")) == lists
    assert events.received == [{"type": "subscribe", "channel": "scans"}]
    assert events.headers[0]["X-API-Key"] == "s3cret"
    assert events.headers[0]["User-Agent"] == "scribe-export"


@in_loop
async def test_an_event_needs_nothing_but_the_scans_id(api: ScriptedScribe, events: ScriptedEvents) -> None:
    notebook = Notebook()
    async with running(api, events, notebook) as logs:
        await quiet(api, events)
        put = api.put(7)
        events.say({"type": "scan_completed", "scan_id": 7})
        await eventually(lambda: notebook.bodies == put)
    assert not said(logs, "event not understood")


@in_loop
async def test_frames_that_come_twice_or_in_another_order_bring_each_scan_once(
    api: ScriptedScribe, events: ScriptedEvents
) -> None:
    notebook = Notebook()
    async with running(api, events, notebook):
        await quiet(api, events)
        api.put(*range(1, 41))
        events.completed(*reversed(range(1, 41)), *range(1, 41), 7, 7)
        await eventually(lambda: len(notebook.ids) >= 40)
        events.completed(*range(1, 41))
        await quiet(api, events)
    assert sorted(map(int, notebook.ids)) == list(range(1, 41))
    assert len(fetched(api)) == 40


@in_loop
async def test_what_is_completed_while_the_socket_is_away_comes_by_the_history(
    api: ScriptedScribe, events: ScriptedEvents
) -> None:
    notebook = Notebook()
    async with running(api, events, notebook) as logs:
        await quiet(api, events)
        events.drop(refuse=503)
        api.put(*range(1, 121))
        await eventually(lambda: any("503" in entry["reason"] for entry in said(logs, "not subscribed")))
        assert notebook.ids == []
        events.refuse = None
        await eventually(lambda: len(notebook.ids) == 120, within=30)
    assert sorted(map(int, notebook.ids)) == list(range(1, 121))
    assert len(said(logs, "subscribed")) == 2
    assert {entry["log_level"] for entry in said(logs, "not subscribed")} == {"warning"}


@in_loop
async def test_a_scan_that_the_history_did_not_list_yet_comes_by_the_event_heard_meanwhile(
    api: ScriptedScribe, events: ScriptedEvents
) -> None:
    notebook = Notebook()
    api.put(1)
    listed = b'{"scans": [' + api.scans[1] + b"]}"
    async with running(api, events, notebook):
        await quiet(api, events)

        def late(_: str, target: str) -> Answer | None:
            if "limit" in target and 2 not in api.scans:
                api.put(2)
                events.completed(2)
                events.completed(2)
            return Answer(body=listed) if "limit" in target else None

        api.script = late
        events.say("?")  # cannot be read, so the history is asked
        await eventually(lambda: notebook.ids == ["1", "2"])


@in_loop
async def test_a_subscription_is_sure_once_the_server_speaks_and_only_then(
    api: ScriptedScribe, events: ScriptedEvents
) -> None:
    events.greeting, notebook = None, Notebook()
    async with running(api, events, notebook):
        await quiet(api, events)
        api.put(1)  # after the look, before the server took the subscription: no event
        events.say({"type": "system_status", "status": "ready", "load": 0.1})
        await eventually(lambda: notebook.ids == ["1"])
        api.put(2)
        events.say({"type": "system_status", "status": "ready", "load": 0.1})
        await quiet(api, events)
        assert notebook.ids == ["1"]


@in_loop
@pytest.mark.fault("F-30")
async def test_a_frame_of_50_mb_is_taken_and_its_size_is_a_limit(api: ScriptedScribe, events: ScriptedEvents) -> None:
    notebook = Notebook()
    async with running(api, events, notebook) as logs:
        await quiet(api, events)
        api.put(1)
        events.completed(1, audio_data="x" * 50_000_000)
        await eventually(lambda: notebook.ids == ["1"], within=30)
        assert not said(logs, "not subscribed")
    async with running(api, events, notebook, max_message=1_000_000) as logs:
        await quiet(api, events)
        api.put(2)
        events.completed(2, audio_data="x" * 1_000_001)
        await eventually(lambda: notebook.ids == ["1", "2"], within=30)
        assert "larger than max_message" in said(logs, "not subscribed")[0]["reason"]


@in_loop
async def test_status_and_alerts_are_logged_by_their_severity(api: ScriptedScribe, events: ScriptedEvents) -> None:
    async with running(api, events, Notebook()) as logs:
        await quiet(api, events)
        for load in (0.1, 0.2):
            events.say({"type": "system_status", "status": "ready", "load": load})
        events.say({"type": "system_status", "status": "busy", "load": "high\x1b[2J"})
        events.say({"type": "alert", "message": "lamp is old"})
        events.say({"type": "alert", "message": "calibrated", "severity": "INFO"})
        events.say({"type": "alert", "message": {"code": 7}, "severity": "critical"})
        events.say({"type": "heartbeat"})
        await eventually(lambda: len(said(logs, "scanner alert")) == 3)
    assert [(one["status"], one["load"]) for one in said(logs, "scanner status")] == [
        ("ready", "0.1"),
        ("busy", "high [2J"),
    ]
    assert [(one["log_level"], one["message"]) for one in said(logs, "scanner alert")] == [
        ("warning", "lamp is old"),
        ("info", "calibrated"),
        ("error", '{"code":7}'),
    ]
    assert not said(logs, "event not understood")


@pytest.mark.parametrize(
    "frame", ["{", "[1]", '{"type":"scan_completed"}', '{"type":"scan_completed","scan_id":[1]}', "\ud7ff", "9" * 5000]
)
@in_loop
async def test_a_frame_that_cannot_be_read_has_the_history_asked(
    api: ScriptedScribe, events: ScriptedEvents, frame: str
) -> None:
    notebook = Notebook()
    async with running(api, events, notebook) as logs:
        await quiet(api, events)
        events.say({"type": "system_status"})
        await quiet(api, events)
        api.put(1)
        events.say(frame)
        await eventually(lambda: notebook.ids == ["1"])
        assert said(logs, "event not understood")
        assert not said(logs, "not subscribed")


@in_loop
async def test_a_scan_whose_document_is_not_there_yet_is_asked_for_again(
    api: ScriptedScribe, events: ScriptedEvents
) -> None:
    notebook = Notebook()
    refusals = iter([Answer(404), Answer(500)])
    async with running(api, events, notebook) as logs:
        await quiet(api, events)
        api.put(1, 2)
        api.script = lambda _, target: next(refusals, None) if target == "/scans/1" else None
        events.completed(1, 2)
        await eventually(lambda: len(notebook.ids) == 2, within=40)
    assert said(logs, "scan not fetched yet")
    assert sorted(notebook.ids) == ["1", "2"]


@pytest.mark.parametrize(("status", "words"), [(401, "check api_key"), (404, "set ws_url"), (302, "set ws_url")])
@in_loop
async def test_without_its_websocket_the_source_lives_on_the_history_and_says_what_to_do(
    api: ScriptedScribe, events: ScriptedEvents, status: int, words: str
) -> None:
    events.refuse = status
    notebook = Notebook()
    async with running(api, events, notebook, poll_interval=0.05) as logs:
        await eventually(lambda: said(logs, "not subscribed"))
        api.put(1)
        await eventually(lambda: notebook.ids == ["1"])
    assert words in said(logs, "not subscribed")[0]["reason"]
    assert said(logs, "not subscribed")[0]["log_level"] == "error"


@in_loop
async def test_a_connection_that_answers_no_ping_is_given_up(api: ScriptedScribe, events: ScriptedEvents) -> None:
    notebook = Notebook()
    async with running(api, events, notebook, ping_interval=0.05, ping_timeout=0.2, timeout=1.0) as logs:
        await quiet(api, events)
        with events.frozen():
            api.put(1)
            await eventually(lambda: said(logs, "not subscribed"), within=20)
        await eventually(lambda: notebook.ids == ["1"], within=20)
    assert "ping timeout" in said(logs, "not subscribed")[0]["reason"]


@in_loop
async def test_events_of_scans_committed_before_a_restart_bring_nothing(
    api: ScriptedScribe, events: ScriptedEvents
) -> None:
    notebook = Notebook()
    api.put(*range(1, 31))
    async with running(api, events, notebook):
        await eventually(lambda: len(notebook.ids) == 30)
    async with running(api, events, notebook):
        await quiet(api, events)
        events.completed(*range(1, 31))
        api.put(31)
        events.completed(31)
        await eventually(lambda: len(notebook.ids) >= 31)
        await quiet(api, events)
    assert sorted(map(int, notebook.ids)) == list(range(1, 32))


@in_loop
async def test_latest_takes_only_what_comes_after_the_first_look(api: ScriptedScribe, events: ScriptedEvents) -> None:
    notebook = Notebook()
    api.put(1, 2)
    async with running(api, events, notebook, start="latest"):
        await quiet(api, events)
        events.completed(1, 2)
        api.put(3)
        events.completed(3)
        await eventually(lambda: notebook.ids)
        await quiet(api, events)
    assert notebook.ids == ["3"]


@in_loop
async def test_tls_needs_the_authority_of_ca_file(tmp_path: Path) -> None:
    made = certificate(tmp_path)
    both = (made.chain, made.key)
    with ScriptedScribe(certificate=both) as api, ScriptedEvents(certificate=both) as events, ScriptedScribe() as plain:
        notebook = Notebook()
        async with running(api, events, notebook, tls={"ca_file": made.chain}):
            await quiet(api, events)
            api.put(1)
            events.completed(1)
            await eventually(lambda: notebook.ids == ["1"])
        async with running(plain, events, notebook) as logs:
            await eventually(lambda: said(logs, "not subscribed"))
        assert "set tls.ca_file" in said(logs, "not subscribed")[0]["reason"]


@in_loop
async def test_a_redirect_is_not_followed_for_it_would_take_the_key_along(
    api: ScriptedScribe, events: ScriptedEvents
) -> None:
    with ScriptedScribe() as elsewhere:
        api.script = lambda _, target: (
            Answer(302, headers={"Location": f"ws://127.0.0.1:{elsewhere.port}/ws"}) if target == "/ws" else None
        )
        async with running(api, events, Notebook(), ws_url=None, api_key="s3cret") as logs:
            await eventually(lambda: said(logs, "not subscribed"))
        assert "302" in said(logs, "not subscribed")[0]["reason"]
        assert elsewhere.requests == []


@in_loop
async def test_an_authority_file_that_is_missing_is_told(api: ScriptedScribe, tmp_path: Path) -> None:
    tls = TlsOptions(ca_file=tmp_path / "no.pem")
    options = ScribeWebSocketOptions(url=api.url, ws_url="wss://127.0.0.1:1/ws", tls=tls)
    source = ScribeWebSocketSource(options, Context("live"))
    await source.open()
    with pytest.raises(Misconfigured, match=r"no\.pem: No such file"):
        await run_source(source, Notebook())
    await source.close()


@pytest.mark.parametrize(
    ("given", "address"),
    [
        ({}, "ws://localhost:8000/ws"),
        ({"url": "https://scribe/api/"}, "wss://scribe/api/ws"),
        ({"ws_url": "wss://events:1/live"}, "wss://events:1/live"),
    ],
)
def test_the_websocket_is_beside_the_api_unless_said_otherwise(given: dict[str, str], address: str) -> None:
    options = ScribeWebSocketOptions.model_validate({"url": "http://localhost:8000", **given})
    assert options.address == address


@pytest.mark.parametrize(
    ("ws_url", "words"),
    [
        ("http://localhost/ws", "must be a ws:// or wss://"),
        ("ws://", "with a host"),
        ("ws://user:pw@host/ws", "user or password"),
        ("ws://169.254.169.254/ws", "metadata"),
    ],
)
def test_an_address_that_cannot_be_is_refused(ws_url: str, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        ScribeWebSocketOptions(url="http://localhost:8000", ws_url=ws_url)
