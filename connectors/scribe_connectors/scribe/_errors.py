"""What went wrong between us and the SCRIBE API, in the project's own errors."""

import ssl
import time
from collections.abc import Mapping
from datetime import UTC
from email.utils import parsedate_to_datetime
from typing import Any

import httpx
import msgspec

from scribe_connectors.scribe._endpoints import Call
from scribe_export.causes import causes, system_words
from scribe_export.errors import Misconfigured, Rejected, SinkError, Throttled, Transient

_LONGEST_RETRY_AFTER = 3600.0
"""Seconds; a longer one is a wrong clock rather than a wish."""
_NOT_SENT = (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout, httpx.ProxyError)


def no_answer(error: httpx.HTTPError | httpx.InvalidURL, call: Call[Any], base_url: str) -> SinkError:
    """The error for a request that drew no complete answer; `applied` is "no" if no connection came about."""
    what = f"{call.method} {base_url}{call.path}"
    behind = causes(error)
    for certificate in (cause for cause in behind if isinstance(cause, ssl.SSLCertVerificationError)):
        return Misconfigured(f"{what}: certificate not trusted ({certificate.verify_message}); set tls.ca_file")
    if isinstance(error, httpx.UnsupportedProtocol | httpx.LocalProtocolError | httpx.InvalidURL):
        return Misconfigured(f"{what}: {error}")
    if isinstance(error, httpx.TimeoutException):
        waited = {httpx.ConnectTimeout: "connecting", httpx.PoolTimeout: "waiting for a free connection"}
        message = f"{what}: timed out {waited.get(type(error), 'waiting for the answer')}"
    else:
        message = f"{what}: {system_words(behind) or str(error) or type(error).__name__}"
    return Transient(message, applied="no" if isinstance(error, _NOT_SENT) else "unknown")


def too_late(call: Call[Any], base_url: str, timeout: float) -> Transient:
    """The error for an answer that was not complete in time."""
    return Transient(f"{call.method} {base_url}{call.path}: no complete answer within {timeout:g} s")


def too_large(call: Call[Any], base_url: str, limit: int) -> SinkError:
    """The error for an answer of more than `limit` bytes: it will not be smaller next time, but a scan was performed."""
    message = f"{call.method} {base_url}{call.path}: the answer is larger than {limit} bytes; raise max_response"
    return Rejected(message, kind="too_large") if call.repeatable else Transient(message)


def unreadable(call: Call[Any], base_url: str, error: Exception) -> Transient:
    """The error for an answer that is not in the guide's form."""
    return Transient(f"{call.method} {base_url}{call.path}: the answer is not what the guide says: {error}")


def refused(
    call: Call[Any], base_url: str, status: int, headers: Mapping[str, str], body: bytes, *, now: float | None = None
) -> SinkError:
    """The error for an answer whose status is not 2xx (https://www.rfc-editor.org/rfc/rfc9110#section-15)."""
    message = f"{call.method} {base_url}{call.path}: {status}{_detail(body)}"
    if status in {401, 403, 407}:
        return Misconfigured(f"{message}; check api_key")
    if 300 <= status < 400:
        return Misconfigured(f"{message}: redirected; set url to the address itself")
    if status in {404, 405} and not (status == 404 and call.names_scan):
        return Misconfigured(f"{message}; is url the root of the SCRIBE API?")
    retry_after = _retry_after(headers.get("retry-after"), time.time() if now is None else now)
    if status == 429:
        return Throttled(message, retry_after=retry_after, applied="no")
    if status >= 500 or status in {408, 425} or status < 200:
        return Transient(message, retry_after=retry_after)
    return Rejected(message, kind="not_found" if status == 404 else "rejected")


def _retry_after(value: str | None, now: float) -> float | None:
    if not value:
        return None
    try:
        seconds = (
            float(value)
            if value.strip().isdecimal()
            else parsedate_to_datetime(value).astimezone(UTC).timestamp() - now
        )
    except (ValueError, OverflowError):
        return None
    return min(max(seconds, 0.0), _LONGEST_RETRY_AFTER)


def _detail(body: bytes) -> str:
    """What the server says of it: FastAPI's ``detail`` or a plain ``error``, or the text, made safe to print."""
    try:
        decoded = msgspec.json.decode(body)
        found = decoded.get("detail", decoded.get("error", "")) if isinstance(decoded, dict) else ""
        text = found if isinstance(found, str) else msgspec.json.encode(found).decode()
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        text = body[:1000].decode("utf-8", "replace")
    shown = " ".join("".join(char if char.isprintable() else " " for char in text).split())[:200]
    return f" {shown}" if shown else ""
