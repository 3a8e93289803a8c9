"""The way into a running exporter: a socket in its state folder that only its owner can open.

One request a connection: a line of JSON with ``op`` and its arguments, answered by a line of JSON with ``result`` or
with ``error`` and its ``kind``.
"""

import base64
import contextlib
import os
import socket
from collections.abc import Awaitable, Callable, Iterator, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import anyio
import msgspec
import structlog
from anyio.abc import SocketStream
from anyio.streams.buffered import BufferedByteReceiveStream

from scribe_export import config as configuration
from scribe_export.errors import InvalidScan, JournalError, ScribeExportError
from scribe_export.exporter import Exporter
from scribe_export.journal.dead import Selection
from scribe_export.model import ScanRequest
from scribe_export.operations.backup import backup
from scribe_export.operations.forgetting import forget
from scribe_export.operations.leaving import discard, drain
from scribe_export.operations.letters import give_up, replay
from scribe_export.operations.pausing import pause
from scribe_export.source_states import source_states

log = structlog.get_logger()
SOCKET = "control.sock"
MAX_REQUEST = 512 * 2**20

Operation = Callable[[Exporter, Mapping[str, Any]], Awaitable[Any]]


async def perform(exporter: Exporter, op: str, arguments: Mapping[str, Any]) -> Any:
    """Do one operation; the answer is JSON values."""
    return await OPERATIONS[op](exporter, arguments)


async def serve(exporter: Exporter) -> None:
    """Answer until cancelled."""
    path = exporter.config.state_folder / SOCKET
    path.unlink(missing_ok=True)
    with reachable(path) as address:
        listener = await anyio.create_unix_listener(address, mode=0o600)
    try:
        async with listener:
            await listener.serve(lambda stream: _answer(exporter, stream))
    finally:
        path.unlink(missing_ok=True)


def ask(folder: Path, op: str, arguments: Mapping[str, Any], timeout: float = 120.0) -> Any:
    """Ask the exporter that runs on a state folder; raises ConnectionError if none answers, or its error."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as client:
        client.settimeout(timeout)
        try:
            with reachable(folder / SOCKET) as address:
                client.connect(address)
            client.sendall(msgspec.json.encode({"op": op, **arguments}) + b"\n")
            answer = msgspec.json.decode(b"".join(iter(lambda: client.recv(65536), b"")) or b"{}")
        except TimeoutError:
            raise ScribeExportError(
                f"the exporter that runs on {folder} did not answer within {timeout:.0f} s"
            ) from None
        except (OSError, msgspec.DecodeError) as error:
            raise ConnectionError(str(error)) from None
    if "error" in answer:
        if answer["error"] == f"KeyError: {op!r}":
            raise ScribeExportError(
                f"the exporter that runs on {folder} is of another release and cannot do this; start it anew"
            )
        raise _ERRORS.get(answer["kind"], ScribeExportError)(answer["error"])
    if "result" not in answer:
        raise ConnectionError("the exporter stopped before it answered")
    return answer["result"]


@contextlib.contextmanager
def reachable(path: Path) -> Iterator[str]:
    """A socket's address that fits the 108 bytes the system allows (unix(7)), whatever the folder's length."""
    if len(os.fsencode(path)) < 100:
        yield str(path)
        return
    handle = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        yield f"/proc/self/fd/{handle}/{path.name}"
    finally:
        os.close(handle)


async def _answer(exporter: Exporter, stream: SocketStream) -> None:
    async with stream:
        answer: dict[str, Any]
        try:
            line = await BufferedByteReceiveStream(stream).receive_until(b"\n", MAX_REQUEST)
            answer = {"result": await perform(exporter, *parsed(line))}
        except ScribeExportError as error:
            answer = {"error": str(error), "kind": type(error).__name__}
        except (anyio.EndOfStream, anyio.IncompleteRead, anyio.BrokenResourceError):
            return
        except Exception as error:
            log.exception("control request failed")
            answer = {"error": f"{type(error).__name__}: {error}", "kind": "ScribeExportError"}
        with contextlib.suppress(anyio.BrokenResourceError):
            await stream.send(msgspec.json.encode(answer) + b"\n")


def parsed(line: bytes) -> tuple[str, dict[str, Any]]:
    """The operation that a line asks for, and its arguments. Raises `ScribeExportError`."""
    try:
        request = msgspec.json.decode(line, type=dict[str, Any])
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise ScribeExportError(f"no request, which is a line of JSON: {error}") from None
    op = request.pop("op", None)
    if not isinstance(op, str) or op not in OPERATIONS:
        raise ScribeExportError(f"the exporter that runs does not know {op!r:.80}; it may be of another release")
    return op, request


async def _send(exporter: Exporter, arguments: Mapping[str, Any]) -> Any:
    bodies = [base64.b64decode(text) for text in arguments["bodies"]]
    return [asdict(accepted) for accepted in await exporter.accept(bodies, source=arguments.get("source", "send"))]


async def _replay(exporter: Exporter, arguments: Mapping[str, Any]) -> Any:
    return asdict(await replay(exporter, _selection(arguments), reroute=bool(arguments.get("reroute"))))


async def _discard(exporter: Exporter, arguments: Mapping[str, Any]) -> Any:
    return {"discarded": await give_up(exporter, _selection(arguments))}


async def _scan(exporter: Exporter, arguments: Mapping[str, Any]) -> Any:
    if exporter.requests is None:
        raise ScribeExportError("the config has no scanner; add one, like  scanner: {type: scribe_api, url: …}")
    request = msgspec.convert(arguments["request"], ScanRequest)
    return asdict(await exporter.requests.perform(request, arguments.get("request_id")))


async def _pause(exporter: Exporter, arguments: Mapping[str, Any]) -> Any:
    return {"changed": await pause(exporter, arguments["destination"], paused=arguments["paused"])}


async def _drain(exporter: Exporter, arguments: Mapping[str, Any]) -> Any:
    old = configuration.load(Path(arguments["old"]))
    return asdict(await drain(exporter, arguments["destination"], old, within=arguments["within"]))


async def _leave(exporter: Exporter, arguments: Mapping[str, Any]) -> Any:
    return {"discarded": await discard(exporter, arguments["destination"])}


async def _backup(exporter: Exporter, arguments: Mapping[str, Any]) -> Any:
    return asdict(await backup(exporter, Path(arguments["target"])))


async def _forget(exporter: Exporter, arguments: Mapping[str, Any]) -> Any:
    return msgspec.to_builtins(await forget(exporter, arguments["scan_id"]))


def _selection(arguments: Mapping[str, Any]) -> Selection:
    return Selection(
        destination=arguments.get("destination"),
        kind=arguments.get("kind"),
        scan_ids=frozenset(arguments.get("scan_ids", ())),
    )


async def _sources(exporter: Exporter, _: Mapping[str, Any]) -> Any:
    return [asdict(state) for state in source_states(exporter.feeds, exporter.clock)]


OPERATIONS: dict[str, Operation] = {
    "send": _send,
    "replay": _replay,
    "discard": _discard,
    "scan": _scan,
    "pause": _pause,
    "drain": _drain,
    "discard destination": _leave,
    "backup": _backup,
    "forget": _forget,
    "sources": _sources,
}
_ERRORS: dict[str, type[ScribeExportError]] = {"InvalidScan": InvalidScan, "JournalFull": JournalError}
