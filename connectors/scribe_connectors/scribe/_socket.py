"""Opening the SCRIBE WebSocket, and what it means when that fails or it is lost."""

import os
import ssl
from collections.abc import Callable
from typing import Any

from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed, InvalidStatus, WebSocketException

from scribe_connectors.scribe._transport import trusting
from scribe_connectors.scribe.websocket_options import ScribeWebSocketOptions
from scribe_export.errors import Misconfigured, SinkError, Transient
from scribe_export.interface import Context

_LONGEST_OPEN = 10.0
_CLOSING = 1.0
"""Seconds that a farewell may take: nothing is lost without one."""
_FRAMES = 2
"""Messages read ahead; each may be as large as `max_message`."""
_MESSAGE_TOO_BIG = 1009


class _Here(connect):
    """Follows no redirect: the key goes to the address that was configured, and to no other."""

    def process_redirect(self, exc: Exception) -> Exception | str:
        return exc


def opener(options: ScribeWebSocketOptions, context: Context) -> Callable[[], connect]:
    """Makes connections, each to be entered once. Raises `Misconfigured` for a bad CA file."""
    url, ca_file = options.address, options.tls.ca_file
    given: dict[str, Any] = {"ssl": trusting(context.folder / ca_file)} if ca_file and url.startswith("wss:") else {}
    if options.api_key:
        given["additional_headers"] = {"X-API-Key": options.api_key.reveal()}
    return lambda: _Here(
        url,
        user_agent_header="scribe-export",
        proxy=True if options.trust_env else None,
        open_timeout=min(options.timeout, _LONGEST_OPEN),
        ping_interval=options.ping_interval,
        ping_timeout=options.ping_timeout,
        close_timeout=_CLOSING,
        max_size=options.max_message,
        max_queue=_FRAMES,
        **given,
    )


def lost(error: OSError | WebSocketException, url: str) -> SinkError:
    """The project's error for one of the library's: `Misconfigured` where only an operator can help."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return Misconfigured(f"{url}: certificate not trusted ({error.verify_message}); set tls.ca_file")
    if isinstance(error, InvalidStatus):
        status = error.response.status_code
        if status in {401, 403, 407}:
            return Misconfigured(f"{url}: {status}; check api_key")
        if 300 <= status < 500 and status not in {408, 425, 429}:
            return Misconfigured(f"{url}: {status}; is this the WebSocket of the SCRIBE API? set ws_url")
        return Transient(f"{url}: {status}", applied="no")
    if isinstance(error, ConnectionClosed):
        if error.sent and error.sent.code == _MESSAGE_TOO_BIG:
            return Transient(f"{url}: a message was larger than max_message; raise it, the scan itself is fetched")
        return Transient(f"{url}: closed: {error}")
    if isinstance(error, TimeoutError):
        return Transient(f"{url}: timed out opening", applied="no")
    system = os.strerror(error.errno) if isinstance(error, OSError) and error.errno and error.errno > 0 else ""
    return Transient(f"{url}: {system or str(error) or type(error).__name__}", applied="no")
