"""The guide's WebSocket client and a running `scribe_websocket` source, told of the same scans."""

import asyncio
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import anyio
import httpx
import pytest
from support.eventually import eventually
from support.filed import FILES, filed
from support.guide import load
from support.guide_program import started
from support.guide_verdicts import expected_failure, promised
from support.loop import in_loop
from support.pipeline import Pipeline
from support.scripted_events import ScriptedEvents

from scribe_local.servers import Simulator

TITLE = "Real-time Monitoring"
FAINT = {"signal_type": "sine", "frequency": 20_000, "duration": 0.001, "amplitude": 0.001}
"""Drowns in noise, which raises an alert."""


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory, simulator: Simulator) -> Iterator[Path]:
    """The folder of a run that files what it hears of."""
    source = {"type": "scribe_websocket", "url": simulator.url, "poll_interval": "1h"}
    with Pipeline(tmp_path_factory.mktemp("live") / "it", FILES, sources={"live": source}) as pipeline:
        run = pipeline.start()
        run.wait_for("subscribed")
        yield pipeline.folder
        run.terminate()
        assert run.ended() == 0


def address(server: Simulator) -> str:
    return f"ws://{server.address}/ws"


def perform(server: Simulator, **config: Any) -> dict[str, Any]:
    found: dict[str, Any] = httpx.post(f"{server.url}/scan", json=config, timeout=30).raise_for_status().json()
    return found


@in_loop
async def test_the_client_prints_the_events_whose_scans_are_archived(simulator: Simulator, archive: Path) -> None:
    lines: list[str] = []
    client = load(TITLE, print=lines.append).ScribeWebSocketClient(address(simulator))
    await client.connect()
    await client.subscribe_to_scans()
    listening = asyncio.create_task(client.listen_for_updates())
    # By handle_message to handle_system_status, handle_scan_completed and handle_alert.
    await eventually(lambda: any(line.startswith("System status: ready, Load: ") for line in lines))
    performed = await anyio.to_thread.run_sync(lambda: perform(simulator, **FAINT))
    confidence = performed["interpretation"]["confidence_scores"]["overall"]
    await eventually(lambda: any(line.startswith("ALERT [alert]: scan ") for line in lines))
    begin = lines.index(f"Scan {performed['scan_id']} completed:")
    material = performed["interpretation"]["pattern_matches"]["materials"][0]["material"]
    assert lines[begin + 1 : begin + 3] == [f"  Confidence: {confidence:.1%}", f"  Material: {material}"]
    await client.websocket.close()
    await asyncio.wait_for(listening, 10)
    assert await anyio.to_thread.run_sync(filed, archive, performed["scan_id"]) == performed


def test_its_main_prints_what_is_archived_and_is_not_there_to_disconnect_when_it_is_interrupted(
    simulator: Simulator, archive: Path
) -> None:
    """asyncio.run cancels the task on Ctrl-C, so that no KeyboardInterrupt is raised within it.

    https://docs.python.org/3.11/library/asyncio-runner.html#handling-keyboard-interruption
    """
    with started(TITLE, defaults={"ScribeWebSocketClient": {"ws_url": address(simulator)}}) as process:
        try:
            assert process.stdout
            assert process.stdout.readline() == "Connected to SCRIBE WebSocket\n"
            assert process.stdout.readline() == "Subscribed to scan updates\n"
            assert process.stdout.readline().startswith("System status: ready")
            performed = perform(simulator, signal_type="sweep", amplitude=0.9)
            # The status comes again every ten seconds.
            assert f"Scan {performed['scan_id']} completed:\n" in iter(process.stdout.readline, "")
            assert process.stdout.readline().startswith("  Confidence: ")
            assert process.stdout.readline().startswith("  Material: ")
            assert filed(archive, performed["scan_id"]) == performed
            process.send_signal(signal.SIGINT)
            out, error = process.communicate(timeout=30)
        finally:
            process.kill()
    with expected_failure("Real-time Monitoring: main: it is interrupted"):
        promised("Disconnecting..." in out, instead=error.splitlines()[-1])


def test_ours_says_goodbye_when_it_is_interrupted(simulator: Simulator, tmp_path: Path) -> None:
    source = {"type": "scribe_websocket", "url": simulator.url}
    with Pipeline(tmp_path / "it", FILES, sources={"live": source}) as pipeline:
        run = pipeline.start()
        run.wait_for("subscribed")
        run.process.send_signal(signal.SIGINT)
        assert run.ended() == 0
        assert "Traceback" not in run.log.read_text()


@in_loop
async def test_the_client_cannot_give_the_key_that_the_api_wants(keyed: Simulator) -> None:
    with expected_failure("ScribeWebSocketClient.connect: the API wants a key"):
        await load(TITLE).ScribeWebSocketClient(address(keyed)).connect()


@in_loop
async def test_the_client_stops_listening_when_the_connection_breaks() -> None:
    lines: list[str] = []
    with ScriptedEvents() as events:
        client = load(TITLE, print=lines.append).ScribeWebSocketClient(events.url)
        await client.subscribe_to_scans()
        listening = asyncio.create_task(client.listen_for_updates())
        await eventually(lambda: events.subscribers)
        events.drop()
        with expected_failure("ScribeWebSocketClient.listen_for_updates: the connection breaks"):
            done, _ = await asyncio.wait([listening], timeout=5)
            promised(not done, instead=f"it ended: {lines[-1]}")


@in_loop
async def test_the_client_stops_listening_at_an_event_without_a_confidence() -> None:
    with ScriptedEvents() as events:
        client = load(TITLE).ScribeWebSocketClient(events.url)
        await client.subscribe_to_scans()
        await eventually(lambda: events.subscribers)
        events.say({"type": "scan_completed", "scan_id": 7})
        with expected_failure("ScribeWebSocketClient.handle_scan_completed: the event has only the id"):
            await asyncio.wait_for(client.listen_for_updates(), 10)
        await client.websocket.close()
