"""The simulator's WebSocket, talked to as the integration guide's client does."""

import asyncio
import json
from typing import Any

import httpx
import pytest
import uvicorn
import websockets
from starlette.applications import Starlette
from starlette.routing import WebSocketRoute
from support.eventually import eventually
from support.loop import in_loop
from websockets.asyncio.client import ClientConnection

from scribe_local import servers
from scribe_local.live import Live

FAINT = {"signal_type": "sine", "frequency": 20_000, "duration": 0.001, "amplitude": 0.001}


def ws_url(server: servers.Simulator) -> str:
    return f"ws://{server.address}/ws"


async def subscribed(socket: ClientConnection) -> dict[str, Any]:
    """Subscribe; the status that comes first."""
    await socket.send(json.dumps({"type": "subscribe", "channel": "scans"}))
    return await event(socket)


async def event(socket: ClientConnection) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(await asyncio.wait_for(socket.recv(), 30))
    return found


async def scan(server: servers.Simulator, **config: Any) -> dict[str, Any]:
    async with httpx.AsyncClient(base_url=server.url, timeout=30) as client:
        answer = await client.post("/scan", json=config)
        found: dict[str, Any] = answer.raise_for_status().json()
        return found


@in_loop
async def test_subscribers_learn_of_each_scan_with_what_the_guide_reads(simulator: servers.Simulator) -> None:
    async with websockets.connect(ws_url(simulator)) as first, websockets.connect(ws_url(simulator)) as second:
        for socket in (first, second):
            status = await subscribed(socket)
            assert (status["type"], status["status"]) == ("system_status", "ready")
            assert 0 <= status["load"] <= 1
        performed = [await scan(simulator, signal_type="sweep", amplitude=0.9) for _ in range(3)]
        for socket in (first, second):
            told = [await event(socket) for _ in performed]
            assert [one["type"] for one in told] == ["scan_completed"] * 3
            assert [one["scan_id"] for one in told] == [one["scan_id"] for one in performed]
            assert [one["timestamp"] for one in told] == [one["timestamp"] for one in performed]
            assert told[0]["confidence"] == performed[0]["interpretation"]["confidence_scores"]["overall"]
            assert told[0]["material"] == performed[0]["interpretation"]["pattern_matches"]["materials"][0]["material"]


@in_loop
async def test_a_scan_that_drowns_in_noise_raises_an_alert(simulator: servers.Simulator) -> None:
    async with websockets.connect(ws_url(simulator)) as socket:
        await subscribed(socket)
        performed = await scan(simulator, **FAINT)
        assert (await event(socket))["type"] == "scan_completed"
        alert = await event(socket)
        assert (alert["type"], alert["severity"]) == ("alert", "warning")
        assert alert["message"].startswith(f"scan {performed['scan_id']}: only ")


@in_loop
async def test_who_has_not_subscribed_is_told_nothing(simulator: servers.Simulator) -> None:
    async with websockets.connect(ws_url(simulator)) as silent, websockets.connect(ws_url(simulator)) as other:
        await subscribed(other)
        await scan(simulator)
        await event(other)
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(silent.recv(), 0.2)


@pytest.mark.parametrize(
    ("message", "words"),
    [
        ("{", "not JSON"),
        ("[]", "the only message known"),
        ('{"type":"unsubscribe"}', "the only message known"),
        ('{"type":"subscribe","channel":"news"}', "channel is 'news'; known is scans"),
    ],
)
@in_loop
async def test_a_message_that_makes_no_sense_is_answered_why(
    simulator: servers.Simulator, message: str, words: str
) -> None:
    async with websockets.connect(ws_url(simulator)) as socket:
        await socket.send(message)
        answer = await event(socket)
        assert answer["type"] == "error"
        assert words in answer["message"]


@in_loop
async def test_the_key_is_wanted_as_by_the_rest_api() -> None:
    with servers.simulator(api_key="s3cret") as server:
        for headers in ({}, {"X-API-Key": "wrong"}):
            with pytest.raises(websockets.InvalidStatus) as refused:
                await websockets.connect(ws_url(server), additional_headers=headers)
            assert refused.value.response.status_code == 401
        async with websockets.connect(ws_url(server), additional_headers={"X-API-Key": "s3cret"}) as socket:
            assert (await subscribed(socket))["type"] == "system_status"


@in_loop
async def test_who_falls_behind_is_closed_and_told_why() -> None:
    live = Live(lambda: 0.0)
    config = uvicorn.Config(Starlette(routes=[WebSocketRoute("/ws", live.serve)]), log_level="warning", port=0)
    server = uvicorn.Server(config)
    serving = asyncio.create_task(server.serve())
    await eventually(lambda: server.started)
    port = server.servers[0].sockets[0].getsockname()[1]
    async with websockets.connect(f"ws://127.0.0.1:{port}/ws") as socket:
        await subscribed(socket)
        for _ in range(2000):
            live.alert("info", "a burst without a pause")
        received: list[dict[str, Any]] = []
        with pytest.raises(websockets.ConnectionClosed) as closed:
            await collect(socket, received)
        assert closed.value.rcvd
        assert closed.value.rcvd.code == 1013
        assert 0 < len(received) < 2000
    server.should_exit = True
    await serving


async def collect(socket: ClientConnection, received: list[dict[str, Any]]) -> None:
    while True:
        received.append(await event(socket))
