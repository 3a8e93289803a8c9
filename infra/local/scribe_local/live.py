"""The scanner's events as they happen, over the WebSocket of the SCRIBE integration guide."""

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import anyio
import msgspec
from anyio.abc import TaskGroup
from anyio.streams.memory import MemoryObjectSendStream
from starlette.websockets import WebSocket, WebSocketDisconnect

from scribe_local.scans import iso

MAX_MESSAGE = 64 * 1024
"""The largest message taken from a client, in bytes: subscriptions are short."""
_MOST_UNSENT = 1000
"""Events that may wait for a slow client; one that falls further behind is closed with 1013."""
_STATUS_EVERY = 10.0
_TRY_AGAIN_LATER = 1013
_BUSY = 0.9
_FAINT = 0.2
"""A scan in which a smaller share of the bands rises above the noise raises an alert."""

Events = MemoryObjectSendStream[bytes]


class Live:
    """Sends events to whoever has subscribed: `scan_completed`, `alert`, and `system_status` at once and every 10 s.

    `load` is the share of time the scanner was busy of late, 0 to 1. To be used in one event loop.
    """

    def __init__(self, load: Callable[[], float]) -> None:
        self._load = load
        self._subscribers: set[Events] = set()

    async def serve(self, socket: WebSocket) -> None:
        """Talk with one client until it or the server goes."""
        await socket.accept()
        send, receive = anyio.create_memory_object_stream[bytes](_MOST_UNSENT)
        try:
            async with send, receive, anyio.create_task_group() as tasks:
                tasks.start_soon(self._read, socket, send, tasks)
                async for event in receive:
                    await socket.send_text(event.decode())
                # It fell behind and its stream was closed: what it missed is in the history.
                await socket.close(_TRY_AGAIN_LATER, "too slow: events were dropped")
                tasks.cancel_scope.cancel()
        except* WebSocketDisconnect:
            pass
        finally:
            self._subscribers.discard(send)

    def completed(self, document: bytes) -> None:
        """A scan is complete and kept; its subscribers learn of it."""
        scan = msgspec.json.decode(document)
        scores, matches = scan["interpretation"]["confidence_scores"], scan["interpretation"]["pattern_matches"]
        scan_id, quality = scan["scan_id"], scores["signal_quality"]
        event = {"type": "scan_completed", "scan_id": scan_id, "timestamp": scan["timestamp"]}
        self._publish({**event, "confidence": scores["overall"], "material": matches["materials"][0]["material"]})
        if quality < _FAINT:
            self.alert("warning", f"scan {scan_id}: only {quality:.0%} of the bands rise above the noise")

    def alert(self, severity: str, message: str) -> None:
        """Somebody should look at this."""
        self._publish({"type": "alert", "severity": severity, "message": message, "timestamp": _now()})

    async def _read(self, socket: WebSocket, send: Events, tasks: TaskGroup) -> None:
        """Take subscriptions; ends with WebSocketDisconnect, which ends the writing too."""
        while True:
            refusal = _refusal(await socket.receive_text())
            if refusal:
                self._put(send, {"type": "error", "message": refusal})
            elif send not in self._subscribers:
                self._subscribers.add(send)
                tasks.start_soon(self._report, send)

    async def _report(self, send: Events) -> None:
        while send in self._subscribers:
            load = self._load()
            status = "busy" if load > _BUSY else "ready"
            self._put(send, {"type": "system_status", "status": status, "load": round(load, 4), "timestamp": _now()})
            await anyio.sleep(_STATUS_EVERY)

    def _publish(self, event: dict[str, Any]) -> None:
        for subscriber in list(self._subscribers):
            self._put(subscriber, event)

    def _put(self, send: Events, event: dict[str, Any]) -> None:
        try:
            send.send_nowait(msgspec.json.encode(event))
        except anyio.WouldBlock:
            self._subscribers.discard(send)
            send.close()
        except (anyio.ClosedResourceError, anyio.BrokenResourceError):
            self._subscribers.discard(send)


def _refusal(message: str) -> str:
    """Why this is no subscription; empty if it is one."""
    try:
        asked = msgspec.json.decode(message)
    except (msgspec.DecodeError, RecursionError):
        return "the message is not JSON"
    if not isinstance(asked, dict) or asked.get("type") != "subscribe":
        return 'the only message known is {"type": "subscribe", "channel": "scans"}'
    if asked.get("channel") != "scans":
        return f"channel is {asked.get('channel')!r:.40}; known is scans"
    return ""


def _now() -> str:
    return iso(datetime.now(UTC))
