"""A request and its reply as they lie in a queue, in the guide's words.

A request is ``{"request_id": …, "config": {"signal_type", "frequency", "duration", "amplitude"}, "timestamp": …}``, or
the config alone; a reply ``{"request_id": …, "result": the completed scan, "timestamp": …}``. A reply that brings no scan
has ``"result": null`` and ``"error"``; one that was not measured anew says ``"cached": true``.
"""

from typing import Any

import msgspec

from scribe_export.errors import InvalidScan
from scribe_export.journal.requests import NewRequest, RequestRow
from scribe_export.model import Incoming, Reply, ScanRequest
from scribe_export.scan import MAX_ID_LENGTH, decode_document

MAX_MESSAGE = 64 * 1024
"""Bytes of a request: its four numbers take a few hundred."""


def read_request(incoming: Incoming, source: str) -> NewRequest:
    """A request as it is journalled; its id is that of the message if it names none itself.

    Ids of different sources do not meet. One that can never be performed says so in `invalid`.
    """
    fallback = incoming.id or incoming.origin
    try:
        document = _document(incoming.body)
        asked = document.get("request_id")
        own = _text(asked) if asked is not None else fallback
        return NewRequest(_key(source, own), _request(document), incoming.body, reply_to=incoming.reply_to)
    except InvalidScan as error:
        kept = incoming.body[:MAX_MESSAGE]
        name = _key(source, _asked_id(incoming.body) or fallback)
        return NewRequest(name, ScanRequest(), kept, invalid=str(error), reply_to=incoming.reply_to)


def reply_of(row: RequestRow, now: float) -> Reply:
    """The message that answers a finished request; `now` in seconds since the epoch."""
    reply: dict[str, Any] = {
        "request_id": row.request_id.removeprefix(_key(row.source, "")),
        "result": msgspec.Raw(row.answer) if row.answer else None,
        "timestamp": round(now, 6),
    }
    if row.error:
        reply["error"] = row.error
    elif row.seq is None:
        reply["cached"] = True
    return Reply.of(msgspec.json.encode(reply), row.reply_to)


def _key(source: str, own: str) -> str:
    return f"{source}/{own}"


def _document(body: bytes) -> dict[str, Any]:
    if len(body) > MAX_MESSAGE:
        raise InvalidScan(f"a request of {len(body)} bytes, and {MAX_MESSAGE} is the most")
    try:
        return decode_document(body)
    except InvalidScan as error:
        raise InvalidScan(str(error).replace("a scan is", "a request is")) from None


def _request(document: dict[str, Any]) -> ScanRequest:
    config = document.get("config", document if "config" not in document else None)
    try:
        return msgspec.convert(config, ScanRequest)
    except msgspec.ValidationError as error:
        raise InvalidScan(f"config: {error}") from None


def _text(value: Any) -> str:
    if isinstance(value, bool) or not isinstance(value, str | int) or not 0 < len(str(value)) <= MAX_ID_LENGTH:
        raise InvalidScan(f"request_id must be text or a number of at most {MAX_ID_LENGTH} characters")
    text = str(value)
    if any("\ud800" <= char <= "\udfff" for char in text):
        raise InvalidScan("request_id holds a lone surrogate")
    return text


def _asked_id(body: bytes) -> str:
    """The id of a request that is wrong elsewhere; empty if it has none."""
    try:
        return _text(_document(body).get("request_id"))
    except InvalidScan:
        return ""
